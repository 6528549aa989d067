//! Runs a test on both databases.

use dgon_control_plane_store::Store;
use dgon_testkit::postgres;

/// Runs `test` on a fresh SQLite file and on a fresh PostgreSQL database, migrations applied.
pub async fn on_both<F, Fut>(test: F)
where
    F: Fn(Store) -> Fut,
    Fut: Future<Output = ()>,
{
    let dir = tempfile::tempdir().expect("temporary directory");
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    run(&url, &test).await;
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    run(&database.url(), &test).await;
}

async fn run<F, Fut>(url: &str, test: &F)
where
    F: Fn(Store) -> Fut,
    Fut: Future<Output = ()>,
{
    let store = Store::open(url).await.expect("open");
    store.migrate().await.expect("migrate");
    test(store.clone()).await;
    store.close().await;
}
