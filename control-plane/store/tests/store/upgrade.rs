//! What an earlier version left is there after the migrations that came since, and means the same.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use crate::support::{ALL, SERVER, of_org};
use dgon_control_plane_store::audit::AuditFacts;
use dgon_control_plane_store::receipt_queries::ReceiptFilter;
use dgon_control_plane_store::{Dialect, Store};
use dgon_testkit::postgres;

/// The last migration of the version that had one request id for all nodes and no owners of rows.
const BEFORE: i64 = 5;
/// A node of `org-1`, one of nobody, and what a third left that is gone. `x` is the type of bytes.
const ROWS: &str = "INSERT INTO nodes (node_id, region, state, state_reason, state_since_ms, enrolled_at_ms, org_id, agent_version, os, arch)
    VALUES ('own', 'eu-west', 'active', 'probe_passed', 1, 1, 'org-1', '1', 'linux', 'x86_64'),
           ('free', 'us-east', 'active', 'probe_passed', 1, 1, NULL, '1', 'linux', 'x86_64');
    INSERT INTO node_keys (node_id, key_id, public_key, valid_from_ms, head_seq, head_hash)
    VALUES ('own', 'k1', CAST('key 1' AS x), 1, 2, CAST('head' AS x)), ('free', 'k2', CAST('key 2' AS x), 1, 1, CAST('head' AS x));
    INSERT INTO receipts (request_id, node_id, node_key_id, seq, received_at_ms, version, region, model_id, runtime, source,
        status, ts_start, ts_end, tokens_input, tokens_output, entry_hash, entry)
    VALUES ('r_1', 'own', 1, 1, 10, '1.1', 'mars', 'm', 'vllm', 'local', 'ok', 1, 2, 3, 4, CAST('h1' AS x), CAST('e1' AS x)),
           ('r_2', 'own', 1, 2, 20, '1.1', NULL, 'm', 'vllm', 'local', 'error', 1, 2, 3, 4, CAST('h2' AS x), CAST('e2' AS x)),
           ('r_3', 'free', 2, 1, 30, '1.1', 'us-east', 'm', 'vllm', 'probe', 'ok', 1, 2, 3, 4, CAST('h3' AS x), CAST('e3' AS x)),
           ('r_4', 'gone', 3, NULL, 420040, '1.0', NULL, 'm', NULL, NULL, NULL, 1, 2, 3, 4, CAST('h4' AS x), CAST('e4' AS x));
    INSERT INTO audit (at_ms, actor, action, object, detail, ip) VALUES (1, 'cli', 'user.create', 'user:u', NULL, NULL),
           (2, 'user:u', 'flag.set', 'flag:f', '{\"enabled\":true}', '192.0.2.1');
    INSERT INTO orgs (org_id, name, created_at_ms) VALUES ('org-1', 'org-1', 1);
    INSERT INTO users (user_id, email, roles, org_id, created_at_ms) VALUES ('u', 'u@example.com', 'consumer,operator', 'org-1', 1);
    INSERT INTO session_families (family_id, user_id, created_at_ms, expires_at_ms) VALUES ('s', 'u', 1, 2);
    INSERT INTO heartbeats (node_id, at_ms, body) VALUES ('own', 1, '{}'), ('free', 1, '{}');
    INSERT INTO probes (probe_id, node_id, request_id, started_at_ms) VALUES ('p', 'own', 'r_p', 1);
    INSERT INTO receipt_evidence (node_id, kind, at_ms, bytes) VALUES ('own', 'forked_chain', 1, CAST('b' AS x));
    INSERT INTO chain_gaps (node_id, node_key_id, from_seq, to_seq, reason, detected_at_ms) VALUES ('own', 1, 3, 4, 'missing', 1);";

async fn check(url: &str) {
    let store = Store::open(url).await.expect("open");
    let inspect = store.inspect();
    inspect
        .migrate_to(BEFORE)
        .await
        .expect("the version before");
    assert!(!store.is_migrated().await.expect("known"));
    let bytes = match inspect.dialect() {
        Dialect::Sqlite => "BLOB",
        Dialect::Postgres => "BYTEA",
    };
    // A test's own constant, written for either database.
    let rows: &'static str = ROWS.replace("AS x", &format!("AS {bytes}")).leak();
    inspect.execute(rows).await.expect("rows");
    store.migrate().await.expect("the version now");
    assert!(store.is_migrated().await.expect("known"));

    let filter = ReceiptFilter::default();
    let list = store.receipts_list(&ALL, &filter, None, 10).await;
    let seen: Vec<_> = list
        .expect("list")
        .into_iter()
        .map(|row| (row.id, row.request_id, row.region))
        .collect();
    let wanted = [
        (4, "r_4", ""),
        (3, "r_3", "us-east"),
        (2, "r_2", "eu-west"),
        (1, "r_1", "eu-west"),
    ];
    assert_eq!(seen.len(), wanted.len());
    for ((id, request, region), row) in wanted.into_iter().zip(seen) {
        assert_eq!(row, (id, request.to_owned(), Some(region.to_owned())));
    }
    let scope = of_org("org-1");
    let own = store.receipts_list(&scope, &filter, None, 10);
    assert_eq!(own.await.expect("list").len(), 2);
    for table in [
        "SELECT org_id FROM heartbeats WHERE node_id = 'own'",
        "SELECT org_id FROM probes",
        "SELECT org_id FROM receipt_evidence",
        "SELECT org_id FROM chain_gaps",
        "SELECT org_id FROM session_families",
    ] {
        let found = inspect.texts(table).await.expect("rows");
        assert_eq!(found, [Some("org-1".to_owned())], "{table}");
    }
    let member = store.member_get(&ALL, "u").await.expect("get");
    let membership = &member.expect("a person").memberships[0];
    assert_eq!(membership.org_id, "org-1");
    assert_eq!(membership.roles, ["consumer", "operator"]);
    let log = inspect.audit_latest(None, 10).await.expect("audit");
    let facts = |at: usize| log[at].read_facts().expect("facts");
    let said = AuditFacts {
        ip: Some("192.0.2.1".to_owned()),
        after: Some(r#"{"enabled":true}"#.into()),
        ..AuditFacts::default()
    };
    assert_eq!((facts(0), facts(1)), (Some(said), None));
    // All that was stored was counted when it came. On PostgreSQL it always is.
    let border = match inspect.dialect() {
        Dialect::Sqlite => 7,
        Dialect::Postgres => i64::MAX,
    };
    let mut tx = store.ingest_begin(SERVER).await.expect("begin");
    assert_eq!(tx.rollups_sealed().await.expect("border"), border);
    drop(tx);
    store.close().await;
}

#[tokio::test]
async fn what_the_version_before_left_keeps_its_place_and_gets_an_owner() {
    let dir = tempfile::tempdir().expect("temporary directory");
    check(&format!("sqlite:{}", dir.path().join("test.db").display())).await;
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    check(&database.url()).await;
}
