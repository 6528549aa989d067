//! The schema: migrations apply to an empty database, and once more without effect.

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    crate::support::on_both(|store| async move {
        store.migrate().await.expect("second migration");
        store.ping().await.expect("ping");
    })
    .await;
}

#[tokio::test]
async fn two_that_start_at_once_migrate_once() {
    let folder = tempfile::tempdir().expect("folder");
    let url = format!("sqlite:{}", folder.path().join("dgon.db").display());
    let migrated = (0..4).map(|_| {
        let url = url.clone();
        tokio::spawn(async move {
            let store = dgon_control_plane_store::Store::open(&url).await?;
            store.migrate().await
        })
    });
    for task in migrated.collect::<Vec<_>>() {
        task.await.expect("task").expect("migration");
    }
}
