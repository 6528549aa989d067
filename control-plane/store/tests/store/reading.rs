//! Readings that never end harm nobody else, and end all the same.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use crate::support::{enrol, token};
use dgon_control_plane_store::audit::{AuditEntry, AuditFacts};
use dgon_control_plane_store::node_queries::{NodeFilter, NodeListRow, NodePage};
use dgon_control_plane_store::{ReadLimits, Scope, Store, StoreError, System};
use dgon_testkit::postgres;
use std::time::Duration;
use tokio::task::JoinSet;

/// Longest wait for what must come, far below [`FOR_EVER`].
const SOON: Duration = Duration::from_secs(30);
const SYSTEM: System = System::of_the_server();
const FOR_EVER: Duration = Duration::from_secs(3_600);
/// From here on a question for nodes of one runtime counts for ever.
const ENDLESS: &str = "ALTER TABLE node_models RENAME TO node_models_before;
    CREATE VIEW node_models AS
    WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT (x + 1) % 1000 FROM n)
    SELECT 'n' AS node_id, 'r' AS runtime, 'm' AS model_id FROM n WHERE x < 0";

/// Runs `test` on both databases, opened with these limits, where [`endless`] does not end.
async fn on_both<F, Fut>(limits: ReadLimits, test: F)
where
    F: Fn(Store) -> Fut,
    Fut: Future<Output = ()>,
{
    let dir = tempfile::tempdir().expect("temporary directory");
    let sqlite = format!("sqlite:{}", dir.path().join("test.db").display());
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    for url in [sqlite, database.url()] {
        let store = limits.open(&url).await.expect("open");
        store.migrate().await.expect("migrate");
        let token = token(&store, "t", 1).await;
        enrol(&store, &token, "n", 1).await;
        store.inspect().execute(ENDLESS).await.expect("view");
        test(store.clone()).await;
        store.close().await;
    }
}

async fn nodes(store: &Store, runtime: Option<&str>) -> Result<Vec<NodeListRow>, StoreError> {
    let filter = NodeFilter {
        runtime: runtime.map(str::to_owned),
        ..NodeFilter::default()
    };
    let page = NodePage {
        limit: 10,
        ..NodePage::default()
    };
    store.nodes_list(&Scope::Stranger, &filter, &page).await
}

async fn endless(store: &Store) -> Result<Vec<NodeListRow>, StoreError> {
    nodes(store, Some("r")).await
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_takes_too_long_is_given_up() {
    let limits = ReadLimits {
        // Long enough for a new connection to PostgreSQL on a slow machine, which this bounds as well.
        page_within: Duration::from_secs(3),
        page_connections: 1,
        ..ReadLimits::default()
    };
    on_both(limits, async |store| {
        let error = soon(endless(&store)).await.expect_err("no end");
        assert!(
            matches!(error, StoreError::Slow { op: "node.list" }),
            "{error:?}"
        );
        assert_eq!(soon(nodes(&store, None)).await.expect("nodes").len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_nobody_waits_for_makes_room() {
    let limits = ReadLimits {
        page_within: FOR_EVER,
        page_connections: 1,
        ..ReadLimits::default()
    };
    on_both(limits, async |store| {
        for _ in 0..3 {
            let asked = tokio::time::timeout(Duration::from_millis(300), endless(&store)).await;
            assert!(asked.is_err(), "it ended: {asked:?}");
        }
        assert_eq!(soon(nodes(&store, None)).await.expect("nodes").len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_without_end_hold_no_other_reading_and_no_writer_up() {
    let limits = ReadLimits {
        page_within: FOR_EVER,
        page_connections: 2,
        ..ReadLimits::default()
    };
    on_both(limits, async |store| {
        let mut pages = JoinSet::new();
        for _ in 0..20 {
            let store = store.clone();
            pages.spawn(async move { endless(&store).await.map(drop) });
        }
        // Until they have all connections for pages.
        let moment = Duration::from_millis(300);
        while tokio::time::timeout(moment, nodes(&store, None))
            .await
            .is_ok()
        {}
        for at_ms in 0..50 {
            assert_eq!(soon(store.user_count(SYSTEM)).await.expect("short"), 0);
            let audit = AuditEntry {
                at_ms,
                action: "test".to_owned(),
                ..AuditEntry::default()
            };
            soon(store.audit_write(SYSTEM, &audit))
                .await
                .expect("write");
            let tx = soon(store.ingest_begin(SYSTEM)).await.expect("begin");
            soon(tx.commit()).await.expect("commit");
        }
        assert!(pages.try_join_next().is_none(), "a page ended");
        pages.shutdown().await;
        assert_eq!(soon(nodes(&store, None)).await.expect("nodes").len(), 1);
    })
    .await;
}

/// Bytes of the write-ahead log from which on it is emptied, in the test below.
const LOG_BYTES: u64 = 256 * 1024;

async fn write(store: &Store, at_ms: i64) {
    let audit = AuditEntry {
        at_ms,
        facts: AuditFacts {
            reason: Some("x".repeat(64 * 1024)),
            ..AuditFacts::default()
        },
        ..AuditEntry::default()
    };
    // Far less than the 15 s that a writer waits for another.
    let written = store.audit_write(SYSTEM, &audit);
    let written = tokio::time::timeout(Duration::from_secs(5), written).await;
    written.expect("no wait").expect("write");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_sqlite_is_emptied_when_pages_have_ended_and_writers_wait_for_none_of_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let limits = ReadLimits {
        page_within: FOR_EVER,
        log_bytes: LOG_BYTES,
        ..ReadLimits::default()
    };
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    let store = limits.open(&url).await.expect("open");
    store.migrate().await.expect("migrate");
    let token = token(&store, "t", 1).await;
    enrol(&store, &token, "n", 1).await;
    store.inspect().execute(ENDLESS).await.expect("view");
    let page = tokio::spawn({
        let store = store.clone();
        async move { endless(&store).await.map(drop) }
    });
    let moment = Duration::from_millis(300);
    for at_ms in 0..20 {
        write(&store, at_ms).await;
    }
    assert!(store.log_bytes(SYSTEM) > LOG_BYTES);
    let mut emptied = Box::pin(store.truncate_log(SYSTEM));
    let waits = tokio::time::timeout(moment, &mut emptied).await;
    assert!(waits.is_err(), "a page runs: {waits:?}");
    let held_back = tokio::time::timeout(moment, nodes(&store, None)).await;
    assert!(held_back.is_err(), "pages wait: {held_back:?}");
    write(&store, 20).await;
    assert_eq!(soon(store.user_count(SYSTEM)).await.expect("short"), 0);
    page.abort();
    assert!(soon(emptied).await.expect("checkpoint"));
    assert!(store.log_bytes(SYSTEM) <= LOG_BYTES);
    assert_eq!(soon(nodes(&store, None)).await.expect("nodes").len(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_is_moved_beside_a_writer() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let url = format!("sqlite:{}", dir.path().join("test.db").display());
    let store = Store::open(&url).await.expect("open");
    store.migrate().await.expect("migrate");
    store.checkpoint_log(SYSTEM).await.expect("move");
    for at_ms in 0..5 {
        write(&store, at_ms).await;
    }
    let writing = store.ingest_begin(SYSTEM).await.expect("begin");
    // Far less than the 15 s that it would wait for the writer.
    let moved = tokio::time::timeout(Duration::from_secs(5), store.checkpoint_log(SYSTEM)).await;
    let moved = moved.expect("no wait").expect("move");
    drop(writing);
    assert!(moved >= 5 * 64 / 4, "pages of 4 KiB: {moved}");
    write(&store, 6).await;
    store.close().await;
}

/// As after a restart of the database, or where a firewall forgets who is silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_gone_is_no_failure_of_the_next_transaction() {
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    let store = Store::open(&database.url()).await.expect("open");
    store.migrate().await.expect("migrate");
    let tx = store.ingest_begin(SYSTEM).await.expect("begin");
    tx.commit().await.expect("commit");
    // It has to be idle for longer than a busy one ever is; the database measures that.
    let cut = "SELECT pg_sleep(1.2);
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    store.inspect().execute(cut).await.expect("cut");
    let tx = store.ingest_begin(SYSTEM).await.expect("another one");
    tx.commit().await.expect("commit");
    store.close().await;
}
