//! A private pool while others take it, its organisation or its nodes away: no node comes out of it unseen, and nobody waits in a
//! circle.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]
use super::members::{entry, org};
use super::pools::{flag, make, node, put, token};
use crate::support::{ALL, enrol, on_both};
use dgon_control_plane_store::node_transfers::Transfer;
use dgon_control_plane_store::orgs::OrgChanged;
use dgon_control_plane_store::pools::PoolChanged;
use dgon_control_plane_store::{Enrolment, Store};

async fn row(store: &Store, node_id: &str) -> (Option<String>, Option<String>) {
    let row = store.node_list_row(&ALL, node_id).await.expect("row");
    let row = row.expect("the node");
    (row.org_id, row.pool_id)
}

#[tokio::test]
async fn a_node_that_is_passed_on_while_it_is_put_in_is_in_no_pool_of_others() {
    on_both(|store| async move {
        for org_id in ["o1", "o2"] {
            org(&store, org_id).await;
        }
        flag(&store, true).await;
        assert_eq!(
            make(&store, "p1", "o1", "hidden").await,
            PoolChanged::Changed
        );
        for n in 10..26_u8 {
            let name = format!("node-{n}");
            node(&store, &name, "o1", n).await;
            let passed_at = entry(20);
            let (put, passed) = tokio::join!(
                put(&store, "p1", &name),
                store.node_transfer(&ALL, (&name, "o2"), &passed_at),
            );
            assert_eq!(passed.expect("no circle of locks"), Transfer::Done);
            assert!(matches!(
                put,
                PoolChanged::Changed | PoolChanged::OtherOrganisation
            ));
            assert_eq!(row(&store, &name).await, (Some("o2".to_owned()), None));
        }
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_closes_lets_no_node_in() {
    on_both(|store| async move {
        org(&store, "o1").await;
        flag(&store, true).await;
        for n in 10..26_u8 {
            let (name, pool_id) = (format!("node-{n}"), format!("pool-{n}"));
            assert_eq!(
                make(&store, &pool_id, "o1", "hidden").await,
                PoolChanged::Changed
            );
            let closed_at = entry(20);
            let close = store.pool_close(&ALL, &pool_id, &closed_at);
            // A token that is there, or is made meanwhile.
            let before = match n % 2 {
                0 => token(&store, &name, "o1", Some(&pool_id)).await,
                _ => None,
            };
            let join = async {
                let hash = match before {
                    Some(hash) => Some(hash),
                    None => token(&store, &name, "o1", Some(&pool_id)).await,
                };
                match hash {
                    Some(hash) => enrol(&store, &hash, &name, n).await,
                    None => Enrolment::InvalidToken,
                }
            };
            let (closed, enrolled) = tokio::join!(close, join);
            match (closed.expect("no circle of locks"), enrolled) {
                (PoolChanged::Changed, Enrolment::InvalidToken) => {}
                (PoolChanged::HasNodes { nodes: 1 }, Enrolment::Enrolled { .. }) => {
                    assert_eq!(row(&store, &name).await.1, Some(pool_id));
                }
                both => unreachable!("{both:?}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_organisation_that_closes_keeps_no_pool_and_no_admission() {
    on_both(|store| async move {
        org(&store, "o1").await;
        flag(&store, true).await;
        assert_eq!(
            make(&store, "p1", "o1", "hidden").await,
            PoolChanged::Changed
        );
        for n in 10..22_u8 {
            let (org_id, pool_id) = (format!("closing-{n}"), format!("pool-{n}"));
            org(&store, &org_id).await;
            let (closed_at, admitted_at) = (entry(20), entry(20));
            let (closed, _, admitted) = tokio::join!(
                store.org_close(&ALL, &org_id, &closed_at),
                make(&store, &pool_id, &org_id, "hidden"),
                store.pool_admit(&ALL, ("p1", &org_id), &admitted_at),
            );
            assert_eq!(closed.expect("no circle of locks"), OrgChanged::Changed);
            admitted.expect("no circle of locks");
            let members = store.pool_members(&ALL, "p1").await.expect("members");
            assert_eq!(members, [], "{n}");
            if let Some(pool) = store.pool_get(&ALL, &pool_id).await.expect("pool") {
                assert!(pool.closed_at_ms.is_some(), "{n}");
            }
        }
    })
    .await;
}
