//! The schema: migrations apply to an empty database, and once more without effect.

mod support;

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    support::on_both(|store| async move {
        store.migrate().await.expect("second migration");
        store.ping().await.expect("ping");
    })
    .await;
}
