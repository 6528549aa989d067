//! Writers of many nodes at once never wait for each other in a circle.

use crate::support::{ALL, SERVER, enrol, token};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::{Connected, LifecycleChange, NewHeartbeat, Store};
use dgon_protocol::frame::Inventory;
use dgon_protocol::id::NodeId;
use dgon_testkit::postgres;

const NODES: u8 = 60;
const ROUNDS: usize = 40;

fn beats(ids: impl Iterator<Item = NodeId>) -> Vec<NewHeartbeat> {
    ids.map(|node_id| NewHeartbeat {
        node_id,
        at_ms: 20,
        body: "{}".to_owned(),
        keep_raw: false,
    })
    .collect()
}

/// Two servers, or two tasks of one, write the same nodes in opposite orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_nodes_in_opposite_orders_do_not_lock_each_other_out() {
    let database = postgres::Database::create().expect("throwaway PostgreSQL");
    let store = Store::open(&database.url()).await.expect("open");
    store.migrate().await.expect("migrate");
    let hash = token(&store, "t", u32::from(NODES)).await;
    let mut ids = Vec::new();
    for seed in 1..=NODES {
        // A collation other than C would sort these otherwise.
        let name = match seed % 3 {
            0 => format!("n{seed:03}"),
            1 => format!("N-{seed:03}"),
            _ => format!("n_{seed:03}"),
        };
        enrol(&store, &hash, &name, seed).await;
        ids.push(NodeId::parse(name).expect("id"));
    }
    ids.sort();
    let forward = beats(ids.iter().cloned());
    let backward = beats(ids.iter().rev().cloned());
    let inventory = Inventory::default();
    let connected: Vec<(i64, Connected<'_>)> = ids
        .iter()
        .rev()
        .map(|node_id| {
            let connected = Connected {
                node_id,
                agent_version: "1",
                os: "linux",
                arch: "x86_64",
                inventory: &inventory,
                allow_list: "[]",
            };
            (20, connected)
        })
        .collect();
    let audit = AuditEntry::default();
    let changes: Vec<LifecycleChange<'_>> = ids
        .iter()
        .rev()
        .map(|node_id| LifecycleChange {
            node_id,
            old: (State::Registered, Reason::Enrolled),
            new: (State::Registered, Reason::Enrolled),
            at_ms: 20,
            actor: "system",
            detail: None,
            audit: &audit,
        })
        .collect();
    for _ in 0..ROUNDS {
        let (a, b, c, d) = tokio::join!(
            store.heartbeats_write(SERVER, &forward),
            store.heartbeats_write(SERVER, &backward),
            store.nodes_connected(SERVER, &connected),
            store.node_transitions(&ALL, &changes),
        );
        a.and(b).and(c).and(d.map(drop)).expect("no deadlock");
    }
    store.close().await;
}
