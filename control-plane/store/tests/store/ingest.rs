//! The ingest transaction, heartbeats and probes.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{enrol, on_both, token};
use dgon_control_plane_store::{Evidence, Gap, NewHeartbeat, NewReceipt, ProbeEnd, Store};
use dgon_protocol::chain::Head;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Fields, Sha256Hash, Version};

fn fields(request_id: &str) -> Fields {
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

fn receipt<'a>(fields: &'a Fields, key: i64, seq: Option<i64>, entry: &'a [u8]) -> NewReceipt<'a> {
    NewReceipt {
        verified: true,
        node_key_id: key,
        seq,
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
        .node_key_current(&id)
        .await
        .expect("key")
        .expect("some");
    (id, key.id)
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
        let mut tx = store.ingest_begin().await.expect("begin");
        assert_eq!(tx.insert(&rows).await.expect("insert"), 75);
        assert_eq!(tx.insert(&rows[..9]).await.expect("again"), 0);
        tx.commit().await.expect("commit");

        let mut tx = store.ingest_begin().await.expect("begin");
        let known = tx.by_request(&all[74].request_id).await.expect("read");
        assert_eq!(known, Some(Sha256Hash::of(b"{}")));
        assert_eq!(tx.at_seq(key, 75).await.expect("read"), known);
        assert_eq!(tx.at_seq(key, 76).await.expect("read"), None);
        // Receipts outside of a chain share the key and no place.
        let (x, y) = (fields("x"), fields("y"));
        let loose = [receipt(&x, key, None, b"1"), receipt(&y, key, None, b"2")];
        assert_eq!(tx.insert(&loose).await.expect("insert"), 2);
    })
    .await;
}

#[tokio::test]
async fn nothing_stays_of_a_transaction_that_is_dropped() {
    on_both(|store| async move {
        let (_, key) = node(&store).await;
        let f = fields("r");
        let mut tx = store.ingest_begin().await.expect("begin");
        tx.insert(&[receipt(&f, key, Some(1), b"{}")])
            .await
            .expect("insert");
        drop(tx);
        let mut tx = store.ingest_begin().await.expect("begin");
        assert_eq!(tx.by_request(&f.request_id).await.expect("read"), None);
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
        let mut tx = store.ingest_begin().await.expect("begin");
        assert_eq!(tx.heads(&[key]).await.expect("heads")[&key], Head::EMPTY);
        tx.set_heads(&[(key, moved)]).await.expect("set");
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
        let gap = Gap {
            node_id: node_id.clone(),
            node_key_id: key,
            from_seq: 1,
            to_seq: 6,
            reason: "missing",
            at_ms: 1,
        };
        tx.gap(&gap).await.expect("gap");
        tx.commit().await.expect("commit");
        assert_eq!(store.evidence_count(&node_id).await.expect("count"), 200);
        let row = store
            .node_key_current(&node_id)
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
            store.heartbeats_write(&[beat]).await.expect("write");
        }
        let row = store.node_get(&node_id).await.expect("get").expect("some");
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
        let row = store.node_get(&node_id).await.expect("get").expect("some");
        assert_eq!(row.last_heartbeat_at_ms, Some(200));
    })
    .await;
}

#[tokio::test]
async fn a_probe_ends_once() {
    on_both(|store| async move {
        let (node_id, _) = node(&store).await;
        let request = RequestId::parse("r_p").expect("id");
        store
            .probe_started("p", &node_id, &request, 1)
            .await
            .expect("start");
        assert_eq!(store.probe_last(&node_id).await.expect("last"), None);
        let end = ProbeEnd {
            at_ms: 2,
            outcome: "ok",
            message: None,
            model: Some("m"),
            tokens_input: 1,
            tokens_output: 2,
            ttft_ms: Some(3),
            latency_ms: 4,
        };
        store.probe_finished("p", &end).await.expect("end");
        store
            .probe_finished(
                "p",
                &ProbeEnd {
                    outcome: "failed",
                    ..end
                },
            )
            .await
            .expect("late end");
        let last = store
            .probe_last(&node_id)
            .await
            .expect("last")
            .expect("some");
        assert_eq!((last.outcome.as_str(), last.ttft_ms), ("ok", Some(3)));
    })
    .await;
}
