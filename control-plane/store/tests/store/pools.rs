//! Private pools: what is in one is found by those who may see it and by nobody else, whatever becomes of the node, the pool,
//! the organisation or the flag.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use super::members::{entry, org, user};
use crate::support::{ALL, SERVER, enrol, of_org, on_both};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::node_queries::{NodeFilter, NodeOrder, NodePage};
use dgon_control_plane_store::node_transfers::Transfer;
use dgon_control_plane_store::orgs::OrgChanged;
use dgon_control_plane_store::own_data::AccountDeleted;
use dgon_control_plane_store::pools::{
    InPool, MEMBERS, NewPool, POOLS, PRIVATE_POOLS, PoolChange, PoolChanged, PoolFilter,
};
use dgon_control_plane_store::{Dialect, Enrolment, LifecycleChange, NewNode, Scope, Store};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::Sha256Hash;
use dgon_testkit::seed::{Seed, seed};
use std::collections::BTreeMap;

fn said(action: &str) -> AuditEntry {
    AuditEntry {
        actor: "user:u0".to_owned(),
        action: action.to_owned(),
        object: "test:pools".to_owned(),
        ..entry(7)
    }
}

pub(super) async fn flag(store: &Store, enabled: bool) {
    let entry = said("flag.set");
    let set = store.flag_set(&ALL, PRIVATE_POOLS, enabled, &entry).await;
    assert!(set.expect("flag"));
}

pub(super) async fn make(
    store: &Store,
    pool_id: &str,
    org_id: &str,
    existence: &'static str,
) -> PoolChanged {
    let new = NewPool {
        pool_id: pool_id.to_owned(),
        org_id: org_id.to_owned(),
        name: pool_id.to_owned(),
        labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
        existence,
    };
    let made = store.pool_create(&ALL, &new, &said("pool.create")).await;
    made.expect("pool")
}

/// A token for one node, perhaps of a pool; its hash, where it was made.
pub(super) async fn token(
    store: &Store,
    name: &str,
    org_id: &str,
    pool: Option<&str>,
) -> Option<[u8; 32]> {
    let token = NewEnrolmentToken {
        id: name.to_owned(),
        token_hash: Sha256Hash::of(name.as_bytes()).0,
        label: name.to_owned(),
        region: None,
        org_id: Some(org_id.to_owned()),
        pool_id: pool.map(str::to_owned),
        created_by: "test".to_owned(),
        created_at_ms: 1,
        expires_at_ms: 1_000,
        uses: 1,
        key_id: None,
    };
    let made = store.enrolment_token_create(&ALL, &token, &entry(1)).await;
    made.expect("token").then_some(token.token_hash)
}

pub(super) async fn node(store: &Store, node_id: &str, org_id: &str, seed: u8) {
    let hash = token(store, node_id, org_id, None).await.expect("a token");
    let enrolled = enrol(store, &hash, node_id, seed).await;
    assert!(matches!(enrolled, Enrolment::Enrolled { .. }));
}

pub(super) async fn put(store: &Store, pool_id: &str, node_id: &str) -> PoolChanged {
    let entry = said("pool.put_node");
    let put = store.pool_put_node(&ALL, (pool_id, node_id), &entry).await;
    put.expect("put")
}

async fn take(store: &Store, pool_id: &str, node_id: &str) -> PoolChanged {
    let entry = said("pool.take_node");
    let taken = store.pool_take_node(&ALL, (pool_id, node_id), &entry).await;
    taken.expect("taken")
}

async fn admit(store: &Store, pool_id: &str, org_id: &str) -> PoolChanged {
    let entry = said("pool.admit");
    let admitted = store.pool_admit(&ALL, (pool_id, org_id), &entry).await;
    admitted.expect("admitted")
}

async fn close(store: &Store, pool_id: &str) -> PoolChanged {
    let closed = store.pool_close(&ALL, pool_id, &said("pool.close")).await;
    closed.expect("closed")
}

/// Nodes that somebody finds, in every order, and as many as are counted.
async fn found(store: &Store, scope: &Scope, pool: Option<&str>) -> Vec<String> {
    let filter = NodeFilter {
        pool_id: pool.map(str::to_owned),
        ..NodeFilter::default()
    };
    let mut listed: Option<Vec<String>> = None;
    for order in [
        NodeOrder::Id,
        NodeOrder::Status,
        NodeOrder::Region,
        NodeOrder::P95,
        NodeOrder::LastHeartbeat,
    ] {
        let page = NodePage {
            order,
            limit: 10,
            ..NodePage::default()
        };
        let rows = store.nodes_list(scope, &filter, &page).await.expect("list");
        let mut ids: Vec<String> = rows.into_iter().map(|row| row.node_id).collect();
        ids.sort();
        assert!(
            listed.as_ref().is_none_or(|listed| *listed == ids),
            "{order:?}"
        );
        listed = Some(ids);
    }
    let listed = listed.unwrap_or_default();
    let count = store.nodes_count(scope, &filter).await.expect("count");
    assert_eq!(i64::try_from(listed.len()), Ok(count), "{scope:?}");
    listed
}

/// Whether somebody finds a node by its name: its row, its detail and its keys.
async fn sees(store: &Store, scope: &Scope, node_id: &str) -> bool {
    let row = store.node_list_row(scope, node_id).await.expect("row");
    let detail = store.node_detail(scope, node_id).await.expect("detail");
    let id = NodeId::parse(node_id).expect("id");
    let keys = store.node_keys(scope, &id).await.expect("keys");
    assert_eq!(row.is_some(), detail.is_some());
    assert_eq!(row.is_some(), !keys.is_empty(), "{scope:?}");
    row.is_some()
}

async fn pools_of(store: &Store, scope: &Scope) -> Vec<String> {
    let listed = store
        .pool_list(scope, &PoolFilter::default(), None, 100)
        .await;
    let mut ids: Vec<String> = listed
        .expect("pools")
        .into_iter()
        .map(|pool| pool.pool_id)
        .collect();
    ids.sort();
    ids
}

/// Three organisations, a node of the first in its pool `p1`, and one beside it.
async fn world(store: &Store) {
    user(store, "u0", "main", &["admin"]).await;
    for org_id in ["o1", "o2", "o3"] {
        org(store, org_id).await;
    }
    flag(store, true).await;
    node(store, "n1", "o1", 1).await;
    node(store, "n2", "o1", 2).await;
    node(store, "n3", "o2", 3).await;
    assert_eq!(
        make(store, "p1", "o1", "hidden").await,
        PoolChanged::Changed
    );
    assert_eq!(put(store, "p1", "n1").await, PoolChanged::Changed);
}

fn strangers() -> [Scope; 2] {
    [Scope::Stranger, Scope::Person("u0".to_owned())]
}

#[tokio::test]
async fn a_node_in_a_pool_is_found_by_its_own_people_and_those_who_are_admitted() {
    on_both(|store| async move {
        world(&store).await;
        for stranger in strangers() {
            assert_eq!(found(&store, &stranger, None).await, ["n2", "n3"]);
            assert!(found(&store, &stranger, Some("p1")).await.is_empty());
            assert!(!sees(&store, &stranger, "n1").await);
            assert!(sees(&store, &stranger, "n2").await);
            assert!(pools_of(&store, &stranger).await.is_empty());
        }
        let (own, other) = (of_org("o1"), of_org("o2"));
        assert_eq!(found(&store, &own, None).await, ["n1", "n2", "n3"]);
        assert_eq!(found(&store, &own, Some("p1")).await, ["n1"]);
        assert_eq!(found(&store, &ALL, None).await, ["n1", "n2", "n3"]);
        assert!(sees(&store, &own, "n1").await && sees(&store, &ALL, "n1").await);
        let row = store
            .node_list_row(&own, "n1")
            .await
            .expect("row")
            .expect("n1");
        assert_eq!(row.pool_name.as_deref(), Some("p1"));
        for org_id in ["o2", "o3"] {
            assert_eq!(found(&store, &of_org(org_id), None).await, ["n2", "n3"]);
            assert!(!sees(&store, &of_org(org_id), "n1").await);
            assert!(found(&store, &of_org(org_id), Some("p1")).await.is_empty());
        }
        assert_eq!(admit(&store, "p1", "o2").await, PoolChanged::Changed);
        assert_eq!(admit(&store, "p1", "o2").await, PoolChanged::Unchanged);
        assert!(sees(&store, &other, "n1").await);
        assert_eq!(found(&store, &other, Some("p1")).await, ["n1"]);
        assert_eq!(found(&store, &other, None).await, ["n1", "n2", "n3"]);
        assert!(!sees(&store, &of_org("o3"), "n1").await);
        assert_eq!(pools_of(&store, &other).await, ["p1"]);
        assert!(pools_of(&store, &of_org("o3")).await.is_empty());
        // Nothing of the node is theirs.
        let id = NodeId::parse("n1").expect("id");
        assert_eq!(store.node_get(&other, &id).await.expect("get"), None);
        let said = said("pool.dismiss");
        let ended = store.pool_dismiss(&ALL, ("p1", "o2"), &said).await;
        assert_eq!(ended.expect("ended"), PoolChanged::Changed);
        assert!(!sees(&store, &other, "n1").await);
        assert!(pools_of(&store, &other).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn without_the_flag_what_was_private_stays_so_and_nobody_is_admitted() {
    on_both(|store| async move {
        world(&store).await;
        assert_eq!(admit(&store, "p1", "o2").await, PoolChanged::Changed);
        flag(&store, false).await;
        for stranger in strangers() {
            assert_eq!(found(&store, &stranger, None).await, ["n2", "n3"]);
            assert!(!sees(&store, &stranger, "n1").await);
        }
        assert!(!sees(&store, &of_org("o2"), "n1").await);
        assert!(found(&store, &of_org("o2"), Some("p1")).await.is_empty());
        assert!(sees(&store, &of_org("o1"), "n1").await);
        // As in a network where nobody ever touched it.
        store
            .inspect()
            .execute("DELETE FROM flags")
            .await
            .expect("flags");
        assert!(!sees(&store, &of_org("o2"), "n1").await);
        assert!(!sees(&store, &Scope::Stranger, "n1").await);
        flag(&store, true).await;
        assert!(sees(&store, &of_org("o2"), "n1").await);
    })
    .await;
}

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

async fn retire(store: &Store, node_id: &str) {
    let node_id = NodeId::parse(node_id).expect("id");
    let change = LifecycleChange {
        node_id: &node_id,
        old: (State::Registered, Reason::Enrolled),
        new: (State::Retired, Reason::AdminRetired),
        at_ms: 9,
        actor: "user:u0",
        detail: None,
        audit: &entry(9),
    };
    assert_eq!(
        store
            .node_transitions(&ALL, &[change])
            .await
            .expect("retired"),
        [true]
    );
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

#[tokio::test]
async fn what_strangers_and_pools_are_asked_is_served_by_indexes() {
    on_both(|store| async move {
        seed(&store, &Seed::day(40, 1, 1_800_000_000_000), |_| {})
            .await
            .expect("seed");
        if store.inspect().dialect() == Dialect::Postgres {
            store.inspect().execute("ANALYZE").await.expect("analyze");
        }
        let plan = async |scope: &Scope, order, pool: Option<&str>| {
            let filter = NodeFilter {
                pool_id: pool.map(str::to_owned),
                ..NodeFilter::default()
            };
            let page = NodePage {
                order,
                limit: 4,
                ..NodePage::default()
            };
            let plan = store.inspect().nodes_list_plan(scope, &filter, &page).await;
            plan.expect("plan").join("\n")
        };
        for (order, index) in [
            (NodeOrder::Status, "nodes_by_status"),
            (NodeOrder::Region, "nodes_by_region"),
            (NodeOrder::P95, "nodes_by_p95"),
            (NodeOrder::LastHeartbeat, "nodes_by_heartbeat"),
        ] {
            let plan = plan(&Scope::Stranger, order, None).await;
            assert!(plan.contains(index), "{index}: {plan}");
        }
        for scope in [ALL, of_org("org-1")] {
            let plan = plan(&scope, NodeOrder::Id, Some("p1")).await;
            assert!(plan.contains("nodes_by_pool"), "{scope:?}: {plan}");
        }
        let plan = store
            .inspect()
            .nodes_count_plan(&Scope::Stranger)
            .await
            .expect("plan");
        let plan = plan.join("\n");
        assert!(plan.contains("nodes_by_state"), "{plan}");
        let plan = store
            .inspect()
            .pool_list_plan(&ALL)
            .await
            .expect("plan")
            .join("\n");
        assert!(plan.contains("pools_by_time"), "{plan}");
        assert!(
            !plan.contains("TEMP B-TREE") && !plan.contains("Sort"),
            "{plan}"
        );
    })
    .await;
}
