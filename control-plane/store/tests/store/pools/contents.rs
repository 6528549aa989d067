//! What goes into a pool, and what leaves it.

use super::{admit, close, flag, found, make, pools_of, put, said, sees, take, token, world};
use crate::members::retire;
use crate::support::{ALL, SERVER, enrol, of_org, on_both};
use dgon_control_plane_store::node_transfers::Transfer;
use dgon_control_plane_store::pools::{NewPool, PoolChanged};
use dgon_control_plane_store::{Enrolment, NewNode, Scope};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use std::collections::BTreeMap;

#[tokio::test]
async fn a_pool_has_nodes_of_its_own_organisation_and_none_that_left() {
    on_both(|store| async move {
        world(&store).await;
        assert_eq!(put(&store, "p1", "n1").await, PoolChanged::Unchanged);
        assert_eq!(
            put(&store, "p1", "n3").await,
            PoolChanged::OtherOrganisation
        );
        assert_eq!(put(&store, "p1", "nowhere").await, PoolChanged::NoNode);
        assert_eq!(put(&store, "p0", "n1").await, PoolChanged::NoPool);
        // From one pool into another it goes without being anybody's in between.
        assert_eq!(
            make(&store, "p2", "o1", "hidden").await,
            PoolChanged::Changed
        );
        assert_eq!(put(&store, "p2", "n1").await, PoolChanged::Changed);
        let log = store
            .inspect()
            .audit_latest(Some("test:pools"), 1)
            .await
            .expect("log");
        let facts = format!("{:?}", log[0]);
        assert!(facts.contains("p1") && facts.contains("p2"), "{facts}");
        assert_eq!(take(&store, "p1", "n1").await, PoolChanged::Unchanged);
        assert!(!sees(&store, &Scope::Stranger, "n1").await);
        // Passed on, it is in no pool: the new organisation says whether it is private.
        let passed = store
            .node_transfer(&ALL, ("n1", "o2"), &said("node.transfer"))
            .await;
        assert_eq!(passed.expect("passed"), Transfer::Done);
        let row = store
            .node_list_row(&ALL, "n1")
            .await
            .expect("row")
            .expect("n1");
        assert_eq!((row.org_id.as_deref(), row.pool_id), (Some("o2"), None));
        assert!(sees(&store, &Scope::Stranger, "n1").await);
        // Of its own time the organisation before has the key still, also where the node is hidden.
        assert_eq!(
            make(&store, "p3", "o2", "hidden").await,
            PoolChanged::Changed
        );
        assert_eq!(put(&store, "p3", "n1").await, PoolChanged::Changed);
        let id = NodeId::parse("n1").expect("id");
        let keys = store.node_keys(&of_org("o1"), &id).await.expect("keys");
        assert_eq!(keys.len(), 1);
        assert!(
            store
                .node_keys(&of_org("o3"), &id)
                .await
                .expect("keys")
                .is_empty()
        );
        assert_eq!(take(&store, "p3", "n1").await, PoolChanged::Changed);
        assert!(sees(&store, &Scope::Stranger, "n1").await);
    })
    .await;
}

#[tokio::test]
async fn a_pool_is_closed_when_it_is_empty_and_retired_nodes_stay_hidden() {
    on_both(|store| async move {
        world(&store).await;
        assert_eq!(admit(&store, "p1", "o2").await, PoolChanged::Changed);
        let hash = token(&store, "t1", "o1", Some("p1"))
            .await
            .expect("a token");
        assert_eq!(
            close(&store, "p1").await,
            PoolChanged::HasNodes { nodes: 1 }
        );
        assert_eq!(pools_of(&store, &of_org("o2")).await, ["p1"]);
        retire(&store, "n1").await;
        assert_eq!(take(&store, "p1", "n1").await, PoolChanged::Retired);
        assert_eq!(put(&store, "p1", "n1").await, PoolChanged::Retired);
        assert_eq!(close(&store, "p1").await, PoolChanged::Changed);
        assert_eq!(close(&store, "p1").await, PoolChanged::NoPool);
        assert!(!sees(&store, &Scope::Stranger, "n1").await);
        assert!(!sees(&store, &of_org("o2"), "n1").await);
        // Its tokens enrol nothing, least of all something public.
        assert_eq!(enrol(&store, &hash, "n4", 4).await, Enrolment::InvalidToken);
        assert_eq!(token(&store, "t2", "o1", Some("p1")).await, None);
        assert_eq!(put(&store, "p1", "n2").await, PoolChanged::NoPool);
        assert_eq!(admit(&store, "p1", "o3").await, PoolChanged::NoPool);
        assert!(pools_of(&store, &of_org("o2")).await.is_empty());
        // Its name is free again.
        let again = NewPool {
            pool_id: "p9".to_owned(),
            org_id: "o1".to_owned(),
            name: "p1".to_owned(),
            labels: BTreeMap::new(),
            existence: "hidden",
        };
        let made = store.pool_create(&ALL, &again, &said("pool.create")).await;
        assert_eq!(made.expect("pool"), PoolChanged::Changed);
    })
    .await;
}

#[tokio::test]
async fn a_token_of_a_pool_enrols_into_it() {
    on_both(|store| async move {
        world(&store).await;
        assert_eq!(
            token(&store, "t1", "o2", Some("p1")).await,
            None,
            "another's"
        );
        assert_eq!(token(&store, "t2", "o1", Some("nowhere")).await, None);
        let hash = token(&store, "t3", "o1", Some("p1"))
            .await
            .expect("a token");
        let listed = store
            .enrolment_token_list(&of_org("o1"), None, 10)
            .await
            .expect("tokens");
        let of_pool = listed.iter().find(|row| row.id == "t3").expect("t3");
        assert_eq!(of_pool.pool_name.as_deref(), Some("p1"));
        // Also while the flag is off: it is hidden from its first moment.
        flag(&store, false).await;
        assert!(matches!(
            enrol(&store, &hash, "n4", 4).await,
            Enrolment::Enrolled { .. }
        ));
        assert!(!sees(&store, &Scope::Stranger, "n4").await);
        assert_eq!(found(&store, &of_org("o1"), Some("p1")).await, ["n1", "n4"]);
        // Enrolled again with a token of a pool it goes in; with one of none, or of another one, it stays where it is.
        assert_eq!(
            make(&store, "p2", "o1", "hidden").await,
            PoolChanged::Changed
        );
        for (name, pool, now) in [
            ("t4", Some("p1"), "p1"),
            ("t5", None, "p1"),
            ("t6", Some("p2"), "p1"),
        ] {
            let hash = token(&store, name, "o1", pool).await.expect("a token");
            let node_id = NodeId::parse("n2").expect("id");
            let again = NewNode {
                node_id: &node_id,
                region: None,
                public_key: &NodeKey::from_seed(&[2; 32]).public(),
                sealed_secret: b"sealed",
                agent_version: "1",
                os: "linux",
                arch: "x86_64",
                hardware_hash: None,
                at_ms: 11,
                ip: None,
                request_id: None,
            };
            let enrolled = store
                .enrol_again(SERVER, &hash, &again)
                .await
                .expect("enrol");
            assert!(matches!(enrolled, Enrolment::Enrolled { .. }));
            let row = store
                .node_list_row(&ALL, "n2")
                .await
                .expect("row")
                .expect("n2");
            assert_eq!(row.pool_id.as_deref(), Some(now), "{name}");
        }
    })
    .await;
}
