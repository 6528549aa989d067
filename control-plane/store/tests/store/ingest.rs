//! The ingest transaction, heartbeats and probes.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{ALL, SERVER, enrol, on_both, token};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::node_windows::NodeWindow;
use dgon_control_plane_store::{
    Dialect, Evidence, Fault, Gap, LifecycleChange, NewHeartbeat, NewProbe, NewReceipt, ProbeEnd,
    Store, StoreError,
};
use dgon_protocol::chain::Head;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Fields, Sha256Hash, Status, TokensSource, Version};
use std::collections::HashMap;

pub(crate) fn fields(request_id: &str) -> Fields {
    Fields {
        version: Version::V1_1,
        request_id: RequestId::parse(request_id).expect("id"),
        node_id: NodeId::parse("a").expect("id"),
        region: None,
        ts_start: 1,
        ts_end: 2,
        model_id: "m".into(),
        model_hash: None,
        prompt_hash: None,
        tokens_input: 3,
        tokens_output: 4,
        p95_ms: None,
        s3_checkpoints: None,
        hedged: Some(false),
        cache_hit: None,
        seq: None,
        prev_hash: None,
        status: None,
        ttft_ms: Some(5),
        latency_ms: None,
        runtime: Some("ollama".into()),
        source: None,
        tokens_cached: None,
        tokens_source: None,
        output_hash: None,
        energy_mwh: None,
        order_hash: None,
        key_id: None,
    }
}

pub(crate) fn receipt<'a>(
    fields: &'a Fields,
    key: i64,
    seq: Option<i64>,
    entry: &'a [u8],
) -> NewReceipt<'a> {
    NewReceipt {
        verified: true,
        node_key_id: key,
        seq,
        region: "eu",
        org_id: None,
        fields,
        entry_hash: Sha256Hash::of(entry),
        entry,
        received_at_ms: 9,
    }
}

async fn node(store: &Store) -> (NodeId, i64) {
    let hash = token(store, "t", 1).await;
    enrol(store, &hash, "a", 1).await;
    let id = NodeId::parse("a").expect("id");
    let key = store
        .node_key_current(SERVER, &id)
        .await
        .expect("key")
        .expect("some");
    (id, key.id)
}

#[tokio::test]
async fn a_receipt_whose_place_is_taken_is_no_conflict_of_its_request_id() {
    on_both(|store| async move {
        let (_, key) = node(&store).await;
        let (first, second) = (fields("r1"), fields("r2"));
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        let rows = [receipt(&first, key, Some(1), b"{}")];
        assert!(tx.insert(&rows).await.expect("insert").is_empty());
        let rows = [receipt(&second, key, Some(1), b"[]")];
        let error = tx.insert(&rows).await.expect_err("its place is taken");
        assert_eq!(error.fault(), Fault::Corrupt);
    })
    .await;
}

#[tokio::test]
async fn receipts_of_any_batch_size_are_stored_once() {
    on_both(|store| async move {
        let (_, key) = node(&store).await;
        let all: Vec<Fields> = (0..75).map(|n| fields(&format!("r{n}"))).collect();
        let rows: Vec<NewReceipt<'_>> = (1..)
            .zip(&all)
            .map(|(seq, f)| receipt(f, key, Some(seq), b"{}"))
            .collect();
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert!(tx.insert(&rows).await.expect("insert").is_empty());
        tx.commit().await.expect("commit");

        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        let hash = Sha256Hash::of(b"{}");
        let found = tx.hashes_at(&[(key, 75), (key, 76), (key, 1)]).await;
        let expected = HashMap::from([((key, 75), hash), ((key, 1), hash)]);
        assert_eq!(found.expect("read"), expected);
        let entries = tx.entries_at(&[(key, 2), (key + 1, 2)]).await;
        let expected = HashMap::from([((key, 2), b"{}".to_vec())]);
        assert_eq!(entries.expect("read"), expected);
        let found = tx
            .by_request(&[("a", "r74"), ("b", "r74"), ("a", "r75")])
            .await;
        let expected = HashMap::from([(("a".to_owned(), "r74".to_owned()), hash)]);
        assert_eq!(found.expect("read"), expected);
        // Receipts outside of a chain share the key and no place.
        let (x, y) = (fields("x"), fields("y"));
        let loose = [receipt(&x, key, None, b"1"), receipt(&y, key, None, b"2")];
        assert!(tx.insert(&loose).await.expect("insert").is_empty());
    })
    .await;
}

/// A receipt of each status and each word on its counts, with and without an input that was counted.
fn of_all_kinds() -> Vec<Fields> {
    let statuses = Status::ALL.map(Some).into_iter().chain([None]);
    let mut all = Vec::new();
    for status in statuses {
        for source in TokensSource::ALL.map(Some).into_iter().chain([None]) {
            for tokens_input in [0, 7] {
                let mut one = fields(&format!("r{}", all.len()));
                (one.status, one.tokens_source) = (status, source);
                one.tokens_input = tokens_input;
                one.cache_hit = [None, Some(false), Some(true)][all.len() % 3];
                one.latency_ms = Some(9);
                all.push(one);
            }
        }
    }
    all
}

#[tokio::test]
async fn a_receipt_adds_the_same_to_sums_when_it_is_stored_and_when_it_is_read() {
    on_both(|store| async move {
        let (_, key) = node(&store).await;
        let all = of_all_kinds();
        let rows: Vec<NewReceipt<'_>> = (1..)
            .zip(&all)
            .map(|(seq, one)| receipt(one, key, Some(seq), b"{}"))
            .collect();
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert!(tx.insert(&rows).await.expect("insert").is_empty());
        tx.commit().await.expect("commit");
        let read = store.rollups_receipts_after(SERVER, (0, 0), 1_000).await;
        let read: Vec<_> = read
            .expect("read")
            .into_iter()
            .map(|(_, facts)| facts)
            .collect();
        let stored: Vec<_> = rows.iter().map(NewReceipt::facts).collect();
        assert_eq!(read, stored);
    })
    .await;
}

#[tokio::test]
async fn a_request_id_belongs_to_the_node_that_used_it() {
    on_both(|store| async move {
        let (_, key) = node(&store).await;
        let mut other = fields("r1");
        other.node_id = NodeId::parse("b").expect("id");
        let (first, second, new) = (fields("r1"), fields("r1"), fields("r2"));
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        let row = receipt(&first, key, Some(1), b"{}");
        assert!(tx.insert(&[row]).await.expect("insert").is_empty());
        let rows = [
            receipt(&other, key + 1, Some(1), b"{\"of\":\"b\"}"),
            receipt(&second, key, Some(2), b"{\"more\":1}"),
            receipt(&new, key, Some(3), b"{\"more\":2}"),
        ];
        assert_eq!(tx.insert(&rows).await.expect("insert"), [1]);
        let places = [(key, 1), (key, 2), (key, 3), (key + 1, 1)];
        let stored = tx.hashes_at(&places).await.expect("read");
        assert_eq!(stored.len(), 3);
        assert!(!stored.contains_key(&(key, 2)));
    })
    .await;
}

#[tokio::test]
async fn a_gap_is_kept_with_its_chain_and_grows_in_its_row() {
    on_both(|store| async move {
        let (node_id, key) = node(&store).await;
        let gap = |id, to_seq| Gap {
            id,
            from_seq: 3,
            to_seq,
            reason: "missing".to_owned(),
        };
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        tx.gap_write((&node_id, key), &gap(None, 3), 1)
            .await
            .expect("write");
        let stored = tx.gaps(&[key, key + 1]).await.expect("read");
        let id = stored[&key][0].id;
        assert_eq!(stored, HashMap::from([(key, vec![gap(id, 3)])]));
        tx.gap_write((&node_id, key), &gap(id, 9), 2)
            .await
            .expect("write");
        let stored = tx.gaps(&[key]).await.expect("read");
        assert_eq!(stored[&key], [gap(id, 9)]);
    })
    .await;
}

#[tokio::test]
async fn a_node_is_stopped_with_the_receipts_or_not_at_all() {
    on_both(|store| async move {
        let (node_id, _) = node(&store).await;
        let old = (State::Registered, Reason::Enrolled);
        let new = (State::Quarantine, Reason::InvalidSignature);
        let change = LifecycleChange {
            node_id: &node_id,
            old,
            new,
            at_ms: 5,
            actor: "system",
            detail: None,
            audit: &AuditEntry::default(),
        };
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert_eq!(tx.lifecycle(&node_id).await.expect("read"), Some(old));
        assert!(tx.transition(&change).await.expect("change"));
        assert!(!tx.transition(&change).await.expect("changed already"));
        drop(tx);
        let row = store
            .node_get(&ALL, &node_id)
            .await
            .expect("get")
            .expect("some");
        assert_eq!(row.lifecycle().expect("known"), old);
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert!(tx.transition(&change).await.expect("change"));
        tx.commit().await.expect("commit");
        let row = store
            .node_get(&ALL, &node_id)
            .await
            .expect("get")
            .expect("some");
        assert_eq!(row.lifecycle().expect("known"), new);
    })
    .await;
}

#[tokio::test]
async fn nothing_stays_of_a_transaction_that_is_dropped() {
    on_both(|store| async move {
        let (_, key) = node(&store).await;
        let f = fields("r");
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        tx.insert(&[receipt(&f, key, Some(1), b"{}")])
            .await
            .expect("insert");
        drop(tx);
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert!(tx.by_request(&[("a", "r")]).await.expect("read").is_empty());
    })
    .await;
}

/// The head of a chain is its last receipt, a place after it that holds none, or, when the receipts are gone, what it was.
#[tokio::test]
async fn a_head_is_the_last_place_of_its_chain_whatever_holds_it() {
    on_both(|store| async move {
        let (node_id, key) = node(&store).await;
        let at = |seq: u64, bytes: &[u8]| Head {
            seq,
            entry_hash: Sha256Hash::of(bytes),
        };
        let (first, second) = (fields("r1"), fields("r2"));
        // After each transaction: its receipts, where it left the head, and what everybody is told.
        let steps = [
            (Some((&first, 1, "1")), at(1, b"1")),
            (None, at(2, b"refused")),
            (Some((&second, 3, "3")), at(3, b"3")),
        ];
        for (stored, head) in steps {
            let rows: Vec<_> = stored
                .iter()
                .map(|(fields, seq, entry)| receipt(fields, key, Some(*seq), entry.as_bytes()))
                .collect();
            let mut tx = store.ingest_begin(SERVER).await.expect("begin");
            tx.insert(&rows).await.expect("insert");
            tx.set_heads(&[(key, head)], &rows).await.expect("set");
            tx.commit().await.expect("commit");
            let mut tx = store.ingest_begin(SERVER).await.expect("begin");
            assert_eq!(tx.heads(&[key]).await.expect("heads")[&key], head);
            drop(tx);
            let keys = store.node_keys(&ALL, &node_id).await.expect("keys");
            assert_eq!(keys[0].head, head);
            let row = store.node_key_current(SERVER, &node_id).await.expect("key");
            assert_eq!(row.expect("some").head_seq, head.seq);
        }
        let inspect = store.inspect();
        let written = "SELECT CAST(head_seq AS TEXT) FROM node_keys";
        let written = inspect.texts(written).await.expect("row");
        let wanted = match inspect.dialect() {
            Dialect::Sqlite => "2",
            Dialect::Postgres => "3",
        };
        assert_eq!(written, [Some(wanted.to_owned())]);
    })
    .await;
}

#[tokio::test]
async fn heads_move_and_evidence_is_bounded() {
    on_both(|store| async move {
        let (node_id, key) = node(&store).await;
        let moved = Head {
            seq: 7,
            entry_hash: Sha256Hash::of(b"7"),
        };
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        assert_eq!(tx.heads(&[key]).await.expect("heads")[&key], Head::EMPTY);
        tx.set_heads(&[(key, moved)], &[]).await.expect("set");
        let nobodys = tx.set_heads(&[(key, moved), (key + 1, moved)], &[]).await;
        assert!(
            matches!(nobodys, Err(StoreError::Corrupt { .. })),
            "{nobodys:?}"
        );
        let evidence = Evidence {
            node_id: node_id.clone(),
            kind: "forked_chain",
            request_id: None,
            seq: Some(3),
            at_ms: 1,
            session_id: None,
            bytes: vec![0, 255],
        };
        for _ in 0..205 {
            tx.evidence(&evidence).await.expect("evidence");
        }
        tx.commit().await.expect("commit");
        assert_eq!(
            store
                .inspect()
                .evidence_count(&node_id)
                .await
                .expect("count"),
            200
        );
        let row = store
            .node_key_current(SERVER, &node_id)
            .await
            .expect("key")
            .expect("some");
        assert_eq!((row.head_seq, row.head_hash), (7, moved.entry_hash));
    })
    .await;
}

#[tokio::test]
async fn heartbeats_are_kept_raw_for_a_while_and_the_last_one_on_the_node() {
    on_both(|store| async move {
        let (node_id, _) = node(&store).await;
        for at_ms in [100, 200] {
            let beat = NewHeartbeat {
                node_id: node_id.clone(),
                at_ms,
                body: format!("{{\"at\":{at_ms}}}"),
                keep_raw: at_ms < 200,
            };
            store
                .heartbeats_write(SERVER, &[beat])
                .await
                .expect("write");
        }
        let row = store
            .node_get(&ALL, &node_id)
            .await
            .expect("get")
            .expect("some");
        assert_eq!(row.last_heartbeat_at_ms, Some(200));
        assert_eq!(row.last_heartbeat.as_deref(), Some("{\"at\":200}"));
        // Thirty days later the only raw row is too old, and the last one stays on the node.
        let now_ms = 300 + 30 * 86_400_000;
        for gone in [1, 0] {
            assert_eq!(
                crate::retention::expire(&store, "heartbeats", now_ms, 10).await,
                gone
            );
        }
        let row = store
            .node_get(&ALL, &node_id)
            .await
            .expect("get")
            .expect("some");
        assert_eq!(row.last_heartbeat_at_ms, Some(200));
    })
    .await;
}

#[tokio::test]
async fn heartbeats_and_days_of_many_nodes_each_reach_their_own() {
    on_both(|store| async move {
        let hash = token(&store, "t", 75).await;
        let ids: Vec<NodeId> = (1..=75_u8)
            .map(|n| NodeId::parse(format!("n{n:02}")).expect("id"))
            .collect();
        for (seed, id) in (1..).zip(&ids) {
            enrol(&store, &hash, id.as_str(), seed).await;
        }
        let body = |at_ms: i64| format!("{{\"says\":\"'\\\\\\\"{at_ms}\"}}");
        let beats: Vec<NewHeartbeat> = (1..)
            .zip(&ids)
            .map(|(at_ms, id)| NewHeartbeat {
                node_id: id.clone(),
                at_ms,
                body: body(at_ms),
                keep_raw: at_ms % 2 == 0,
            })
            .collect();
        store.heartbeats_write(SERVER, &beats).await.expect("write");
        let windows: Vec<NodeWindow> = (1..)
            .zip(&ids)
            .map(|(n, id)| NodeWindow {
                node_id: id.to_string(),
                minute: 10 + n,
                requests: n,
                p95_ms: (n % 2 == 0).then_some(100 + n),
            })
            .collect();
        store.windows_set(SERVER, &windows).await.expect("set");
        let told = "SELECT node_id || ' ' || last_heartbeat_at_ms || ' ' || last_heartbeat || ' ' || requests_24h || ' ' \
                    || COALESCE(p95_ms, -1) || ' ' || window_minute FROM nodes ORDER BY node_id";
        let told = store.inspect().texts(told).await.expect("nodes");
        let expected = (1..=75).map(|n| {
            let p95 = if n % 2 == 0 { 100 + n } else { -1 };
            Some(format!("n{n:02} {n} {} {n} {p95} {}", body(n), 10 + n))
        });
        assert_eq!(told, expected.collect::<Vec<_>>());
        let raw = "SELECT node_id || ' ' || at_ms || ' ' || body FROM heartbeats ORDER BY node_id";
        let raw = store.inspect().texts(raw).await.expect("raw");
        let expected = (2..=75).step_by(2).map(|n| Some(format!("n{n:02} {n} {}", body(n))));
        assert_eq!(raw, expected.collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_probe_ends_once() {
    on_both(|store| async move {
        let (node_id, _) = node(&store).await;
        let probe = NewProbe {
            probe_id: "p".to_owned(),
            node_id: node_id.clone(),
            request_id: RequestId::parse("r_p").expect("id"),
            model: "m".to_owned(),
            at_ms: 1,
        };
        store.probes_started(SERVER, &[probe]).await.expect("start");
        assert_eq!(
            store.inspect().probe_last(&node_id).await.expect("last"),
            None
        );
        let end = ProbeEnd {
            probe_id: "p".to_owned(),
            at_ms: 2,
            outcome: "ok",
            message: None,
            tokens_input: 1,
            tokens_output: 2,
            ttft_ms: Some(3),
            latency_ms: 4,
        };
        let later = ProbeEnd {
            outcome: "failed",
            ..end.clone()
        };
        store
            .probes_finished(SERVER, &[end, later])
            .await
            .expect("end");
        let last = store.inspect().probe_last(&node_id).await.expect("last");
        let last = last.expect("one");
        assert_eq!((last.outcome.as_str(), last.ttft_ms), ("ok", Some(3)));
    })
    .await;
}
