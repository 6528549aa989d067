//! Pools are made, changed and closed.

use super::{admit, close, make, pools_of, put, said, world};
use crate::members::{entry, org, retire, user};
use crate::support::{ALL, of_org, on_both};
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::orgs::OrgChanged;
use dgon_control_plane_store::own_data::AccountDeleted;
use dgon_control_plane_store::pools::{InPool, MEMBERS, POOLS, PoolChange, PoolChanged};

#[tokio::test]
async fn pools_are_changed_with_a_name_each_and_never_without_an_admin() {
    on_both(|store| async move {
        world(&store).await;
        assert_eq!(
            make(&store, "p2", "o1", "listed").await,
            PoolChanged::Changed
        );
        assert_eq!(
            make(&store, "p3", "nowhere", "listed").await,
            PoolChanged::NoOrganisation
        );
        let named = |name: &str| PoolChange {
            name: Some(name.to_owned()),
            ..PoolChange::default()
        };
        let change = async |scope: &Scope, change: &PoolChange| {
            let changed = store
                .pool_change(scope, "p2", change, &said("pool.change"))
                .await;
            changed.expect("changed")
        };
        assert_eq!(change(&ALL, &named("p1")).await, PoolChanged::NameTaken);
        assert_eq!(change(&ALL, &named("p2")).await, PoolChanged::Unchanged);
        assert_eq!(change(&ALL, &named("other")).await, PoolChanged::Changed);
        assert_eq!(
            change(&of_org("o1"), &named("mine")).await,
            PoolChanged::NoPool
        );
        let pool = store
            .pool_get(&of_org("o1"), "p2")
            .await
            .expect("pool")
            .expect("p2");
        assert_eq!(
            (pool.name.as_str(), pool.labels()["tier"].as_str()),
            ("other", "gold")
        );
        // What its owners may see they may not change.
        let own = of_org("o1");
        let (entry, node) = (said("pool.put_node"), ("p1", "n2"));
        let refused = [
            store.pool_put_node(&own, node, &entry).await,
            store.pool_take_node(&own, ("p1", "n1"), &entry).await,
            store.pool_admit(&own, ("p1", "o3"), &entry).await,
            store.pool_dismiss(&own, ("p1", "o3"), &entry).await,
            store.pool_close(&own, "p1", &entry).await,
        ];
        for refused in refused {
            assert_eq!(refused.expect("answer"), PoolChanged::NoPool);
        }
        // Whether it exists is told of what is listed, and to nobody else of what is not.
        assert_eq!(put(&store, "p2", "n2").await, PoolChanged::Changed);
        for (what, is_told) in [
            (InPool::Pool("p2"), true),
            (InPool::Node("n2"), true),
            (InPool::Pool("p1"), false),
            (InPool::Node("n1"), false),
            (InPool::Node("n3"), false),
        ] {
            let told = store
                .pool_restricts(&of_org("o3"), what)
                .await
                .expect("answer");
            assert_eq!(told, is_told, "{what:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn pools_and_who_is_admitted_have_limits() {
    on_both(|store| async move {
        world(&store).await;
        for n in 1..POOLS {
            assert_eq!(
                make(&store, &format!("more-{n}"), "o1", "hidden").await,
                PoolChanged::Changed
            );
        }
        assert_eq!(
            make(&store, "too-many", "o1", "hidden").await,
            PoolChanged::TooManyPools
        );
        assert_eq!(close(&store, "more-1").await, PoolChanged::Changed);
        assert_eq!(
            make(&store, "one-more", "o1", "hidden").await,
            PoolChanged::Changed
        );
        assert_eq!(admit(&store, "p1", "o1").await, PoolChanged::OwnPool);
        assert_eq!(
            admit(&store, "p1", "nowhere").await,
            PoolChanged::NoOrganisation
        );
        for n in 0..MEMBERS {
            let org_id = format!("member-{n}");
            org(&store, &org_id).await;
            assert_eq!(admit(&store, "p1", &org_id).await, PoolChanged::Changed);
        }
        assert_eq!(admit(&store, "p1", "o2").await, PoolChanged::TooManyMembers);
        let all = store
            .pool_members(&of_org("o1"), "p1")
            .await
            .expect("members");
        assert_eq!(i64::try_from(all.len()), Ok(MEMBERS));
        assert!(all.iter().all(|member| member.admitted_by_email.is_none()));
        let by_admin = store.pool_members(&ALL, "p1").await.expect("members");
        assert_eq!(
            by_admin[0].admitted_by_email.as_deref(),
            Some("u0@example.com")
        );
        // Who is admitted learns of nobody else.
        let one = store
            .pool_members(&of_org("member-7"), "p1")
            .await
            .expect("members");
        assert_eq!(one.len(), 1);
        assert!(
            store
                .pool_members(&of_org("o3"), "p1")
                .await
                .expect("members")
                .is_empty()
        );
    })
    .await;
}

#[tokio::test]
async fn an_organisation_that_closes_takes_its_pools_with_it() {
    on_both(|store| async move {
        world(&store).await;
        user(&store, "u3", "o3", &["operator"]).await;
        assert_eq!(
            make(&store, "p3", "o3", "hidden").await,
            PoolChanged::Changed
        );
        assert_eq!(admit(&store, "p3", "o2").await, PoolChanged::Changed);
        assert_eq!(admit(&store, "p1", "o3").await, PoolChanged::Changed);
        assert_eq!(admit(&store, "p1", "o2").await, PoolChanged::Changed);
        let closed = store
            .org_close(&ALL, "o1", &entry(8))
            .await
            .expect("answer");
        assert_eq!(closed, OrgChanged::HasNodes { nodes: 2 });
        assert_eq!(pools_of(&store, &ALL).await, ["p1", "p3"]);
        let own = Scope::Person("u3".to_owned());
        let entry = AuditEntry {
            object: "user:u3".to_owned(),
            ..said("user.delete")
        };
        let deleted = store.account_delete(&own, &entry).await.expect("answer");
        assert_eq!(deleted, AccountDeleted::Deleted);
        assert_eq!(pools_of(&store, &ALL).await, ["p1"]);
        // No word of theirs is left.
        let words = store
            .inspect()
            .texts("SELECT name || labels FROM pools WHERE org_id = 'o3'")
            .await;
        assert_eq!(words.expect("words"), [Some("p3{}".to_owned())]);
        let members = store.pool_members(&ALL, "p1").await.expect("members");
        assert_eq!(members.len(), 1, "{members:?}");
        retire(&store, "n3").await;
        let closed = store
            .org_close(&ALL, "o2", &self::entry(8))
            .await
            .expect("answer");
        assert_eq!(closed, OrgChanged::Changed);
        assert!(
            store
                .pool_members(&ALL, "p1")
                .await
                .expect("members")
                .is_empty()
        );
    })
    .await;
}
