//! The keys of a node: one in use, all kept, and nobody's key twice.

use crate::ingest::{fields, receipt};
use crate::support::{ALL, SERVER, enrol, on_both, token};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::node_keys::{ClosingOutcome, Rotating};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::rotate::{Closing, Rotation};

fn key(seed: u8) -> NodeKey {
    NodeKey::from_seed(&[seed; 32])
}

fn rotation(node: &NodeId, old: u8, new: u8) -> Rotation {
    Rotation::sign(node, &key(old), &key(new), 7)
}

fn audit() -> AuditEntry {
    AuditEntry {
        object: "node:a".to_owned(),
        ..AuditEntry::default()
    }
}

#[tokio::test]
async fn keys_are_kept_with_their_intervals_and_one_is_in_use() {
    on_both(|store| async move {
        let hash = token(&store, "t", 2).await;
        enrol(&store, &hash, "a", 1).await;
        enrol(&store, &hash, "b", 9).await;
        let a = NodeId::parse("a").expect("id");
        let rotate = async |old, new, at_ms| {
            store
                .node_key_rotate(SERVER, &rotation(&a, old, new), at_ms, &audit())
                .await
                .expect("rotate")
        };
        assert_eq!(rotate(2, 3, 100).await, Rotating::NotInUse);
        assert_eq!(rotate(1, 9, 100).await, Rotating::KnownKey, "another's");
        let done = Rotating::Done { valid_from_ms: 100 };
        assert_eq!(rotate(1, 2, 100).await, done);
        assert_eq!(rotate(1, 2, 150).await, done, "the answer was lost");
        assert_eq!(rotate(1, 3, 150).await, Rotating::NotInUse);
        assert_eq!(
            rotate(2, 1, 150).await,
            Rotating::KnownKey,
            "its own old one"
        );
        assert_eq!(
            rotate(2, 3, 200).await,
            Rotating::Done { valid_from_ms: 200 }
        );
        assert_eq!(rotate(1, 2, 250).await, done, "a lost answer of long ago");

        let keys = store.node_keys(&ALL, &a).await.expect("keys");
        let times: Vec<_> = keys
            .iter()
            .map(|key| (key.valid_from_ms, key.valid_to_ms, key.rotation.is_some()))
            .collect();
        let expected = [
            (200, None, true),
            (100, Some(200), true),
            (10, Some(100), false),
        ];
        assert_eq!(times, expected);
        let current = store.node_key_current(SERVER, &a).await.expect("current");
        assert_eq!(current.expect("some").public_key, key(3).public());
        let owner = store
            .node_key_owner(SERVER, &key(1).public())
            .await
            .expect("owner");
        let owner = owner.expect("known");
        assert_eq!((owner.node_id.as_str(), owner.in_use), ("a", false));
        let unknown = store.node_key_owner(SERVER, &key(77).public()).await;
        assert_eq!(unknown.expect("owner"), None);
        let rows = store
            .inspect()
            .audit_latest(Some("node:a"), 10)
            .await
            .expect("audit");
        assert_eq!(rows.len(), 3, "one per rotation, and the enrolment");
    })
    .await;
}

#[tokio::test]
async fn of_a_race_of_rotations_one_wins() {
    on_both(|store| async move {
        let hash = token(&store, "t", 1).await;
        enrol(&store, &hash, "a", 1).await;
        let a = NodeId::parse("a").expect("id");
        let tries = (2..22u8).map(|new| {
            let (store, a) = (store.clone(), a.clone());
            tokio::spawn(async move {
                store
                    .node_key_rotate(SERVER, &rotation(&a, 1, new), 100, &audit())
                    .await
            })
        });
        let mut done = 0;
        for attempt in tries.collect::<Vec<_>>() {
            match attempt.await.expect("task").expect("rotate") {
                Rotating::Done { .. } => done += 1,
                other => assert_eq!(other, Rotating::NotInUse),
            }
        }
        assert_eq!(done, 1);
        assert_eq!(store.node_keys(&ALL, &a).await.expect("keys").len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_chain_ends_once_and_not_before_what_is_stored() {
    on_both(|store| async move {
        let hash = token(&store, "t", 1).await;
        enrol(&store, &hash, "a", 1).await;
        let a = NodeId::parse("a").expect("id");
        let close = async |seed, seq, of: &[u8]| {
            let closing = Closing::sign(&a, &key(seed), seq, Sha256Hash::of(of));
            store
                .node_key_close(SERVER, &closing, &audit())
                .await
                .expect("close")
        };
        assert_eq!(close(1, 5, b"x").await, ClosingOutcome::NotRetired);
        store
            .node_key_rotate(SERVER, &rotation(&a, 1, 2), 100, &audit())
            .await
            .expect("rotate");
        let id = store.node_keys(&ALL, &a).await.expect("keys")[1].id;
        let head = dgon_protocol::chain::Head {
            seq: 5,
            entry_hash: Sha256Hash::of(b"five"),
        };
        let mut tx = store.ingest_begin(SERVER).await.expect("begin");
        let (fields, entry) = (fields("r"), b"five");
        let rows = [receipt(&fields, id, Some(5), entry)];
        tx.insert(&rows).await.expect("insert");
        tx.set_heads(&[(id, head)], &rows).await.expect("head");
        tx.commit().await.expect("commit");
        assert_eq!(close(1, 4, b"four").await, ClosingOutcome::Contradicted);
        assert_eq!(close(1, 5, b"other").await, ClosingOutcome::Contradicted);
        assert_eq!(close(3, 5, b"five").await, ClosingOutcome::NotRetired);
        assert_eq!(close(1, 5, b"five").await, ClosingOutcome::Done);
        assert_eq!(close(1, 5, b"five").await, ClosingOutcome::Done);
        assert_eq!(close(1, 6, b"six").await, ClosingOutcome::Contradicted);
        let keys = store.node_keys(&ALL, &a).await.expect("keys");
        assert_eq!(keys[1].closed_seq, Some(5));
    })
    .await;
}
