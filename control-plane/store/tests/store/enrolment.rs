//! Tokens and enrolment.

use crate::support::{ALL, SERVER, enrol, on_both, token};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::{Enrolment, LifecycleChange};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;

#[tokio::test]
async fn a_race_of_fifty_enrols_exactly_as_many_as_the_token_allows() {
    on_both(|store| async move {
        let hash = token(&store, "t", 3).await;
        let tries = (0..50u8).map(|n| {
            let store = store.clone();
            tokio::spawn(async move { enrol(&store, &hash, &format!("node-{n}"), n + 1).await })
        });
        let mut enrolled = 0;
        for attempt in tries.collect::<Vec<_>>() {
            match attempt.await.expect("task") {
                Enrolment::Enrolled { region } => {
                    assert_eq!(region, "eu");
                    enrolled += 1;
                }
                other => assert_eq!(other, Enrolment::InvalidToken),
            }
        }
        assert_eq!(enrolled, 3);
        assert_eq!(
            store
                .enrolment_token_used_by(&ALL, "t")
                .await
                .expect("nodes")
                .len(),
            3
        );
        assert_eq!(
            store
                .enrolment_token_list(&ALL, None, 10)
                .await
                .expect("tokens")[0]
                .uses_left,
            0
        );
    })
    .await;
}

#[tokio::test]
async fn a_refused_enrolment_leaves_the_token_as_it_was() {
    on_both(|store| async move {
        let hash = token(&store, "t", 2).await;
        assert!(matches!(
            enrol(&store, &hash, "a", 1).await,
            Enrolment::Enrolled { .. }
        ));
        assert_eq!(enrol(&store, &hash, "a", 2).await, Enrolment::NameTaken);
        assert_eq!(enrol(&store, &hash, "b", 1).await, Enrolment::KnownKey);
        let b = NodeId::parse("b").expect("id");
        assert_eq!(store.node_get(&ALL, &b).await.expect("get"), None);
        assert_eq!(
            store
                .enrolment_token_list(&ALL, None, 10)
                .await
                .expect("tokens")[0]
                .uses_left,
            1
        );
        let revoke = AuditEntry {
            at_ms: 5,
            ..AuditEntry::default()
        };
        assert!(
            store
                .enrolment_token_revoke(&ALL, "t", &revoke)
                .await
                .expect("revoke")
        );
        assert_eq!(enrol(&store, &hash, "c", 3).await, Enrolment::InvalidToken);
    })
    .await;
}

#[tokio::test]
async fn an_enrolled_node_has_its_key_secret_and_history() {
    on_both(|store| async move {
        let hash = token(&store, "t", 1).await;
        enrol(&store, &hash, "a", 1).await;
        let a = NodeId::parse("a").expect("id");
        let key = store
            .node_key_current(SERVER, &a)
            .await
            .expect("key")
            .expect("some");
        assert_eq!(key.public_key, NodeKey::from_seed(&[1; 32]).public());
        assert_eq!(key.head_seq, 0);
        assert_eq!(
            store
                .node_secret(SERVER, &a)
                .await
                .expect("secret")
                .as_deref(),
            Some(&b"sealed"[..])
        );
        let row = store.node_get(&ALL, &a).await.expect("get").expect("some");
        assert_eq!(
            row.lifecycle().expect("typed"),
            (State::Registered, Reason::Enrolled)
        );
        assert_eq!(store.node_states(SERVER).await.expect("states").len(), 1);
        assert_eq!(
            store
                .inspect()
                .lifecycle_events(&a, 10)
                .await
                .expect("events")
                .len(),
            1
        );
    })
    .await;
}

#[tokio::test]
async fn a_transition_happens_once() {
    on_both(|store| async move {
        let hash = token(&store, "t", 1).await;
        enrol(&store, &hash, "a", 1).await;
        let a = NodeId::parse("a").expect("id");
        let change = LifecycleChange {
            node_id: &a,
            old: (State::Registered, Reason::Enrolled),
            new: (State::PendingProbe, Reason::RuntimeReady),
            at_ms: 20,
            actor: "system",
            detail: Some("ollama answers"),
            audit: &AuditEntry {
                object: "node:a".to_owned(),
                ..AuditEntry::default()
            },
        };
        // Twice in one transaction: only the first finds the state that it expects.
        let changed = store.node_transitions(&ALL, &[change, change]).await;
        assert_eq!(changed.expect("changes"), [true, false]);
        let events = store
            .inspect()
            .lifecycle_events(&a, 10)
            .await
            .expect("events");
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].to_state, "pending_probe");
        let audit = store.inspect().audit_latest(Some("node:a"), 10).await;
        assert_eq!(audit.expect("audit").len(), 2, "with the enrolment");
        assert_eq!(events[0].detail.as_deref(), Some("ollama answers"));
    })
    .await;
}
