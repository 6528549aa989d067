//! Private pools: what is in one is found by those who may see it and by nobody else, whatever becomes of the node, the pool,
//! the organisation or the flag.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

mod contents;
mod life;
mod sight;

use super::members::{entry, org, user};
use crate::support::{ALL, enrol};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::node_queries::{NodeFilter, NodeOrder, NodePage};
use dgon_control_plane_store::pools::{NewPool, PRIVATE_POOLS, PoolChanged, PoolFilter};
use dgon_control_plane_store::{Enrolment, Scope, Store};
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Sha256Hash;
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
