//! The nodes list in every order and by every filter, page by page, and a node's window of 24 hours.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use crate::support::{ALL, SERVER};
use dgon_control_plane_model::rollup::minute_of;
use dgon_control_plane_model::sketch::Sketch;
use dgon_control_plane_model::window::DayWindow;
use dgon_control_plane_store::node_queries::{NodeFilter, NodeListRow, NodeOrder, NodePage};
use dgon_control_plane_store::node_windows::NodeWindow;
use dgon_control_plane_store::{Connected, Dialect, Scope, Store};
use dgon_protocol::frame::{Inventory, LifecycleStatus};
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Status;
use dgon_testkit::seed::{Seed, Seeded, seed};

const END_MS: i64 = 1_800_000_000_000;
const ORDERS: [NodeOrder; 5] = [
    NodeOrder::Id,
    NodeOrder::Status,
    NodeOrder::Region,
    NodeOrder::P95,
    NodeOrder::LastHeartbeat,
];

async fn seeded(store: &Store, nodes: u32) -> Vec<Seeded> {
    let mut all = Vec::new();
    seed(store, &Seed::day(nodes, 8, END_MS), |receipt| {
        all.push(receipt.clone());
    })
    .await
    .expect("seed");
    // Every third node keeps an unknown latency.
    for position in (0..nodes).filter(|position| position % 3 != 0) {
        refresh(store, &Seed::node_id(position), minute_of(END_MS)).await;
    }
    all
}

async fn refresh(store: &Store, node_id: &str, minute: i64) {
    let written = store.rollups_day(SERVER, node_id, minute).await;
    let day = DayWindow::of_rows(&written.expect("day").rows);
    let window = NodeWindow::of(node_id, minute, &day);
    store.windows_set(SERVER, &[window]).await.expect("set");
}

async fn pages(store: &Store, filter: &NodeFilter, page: &NodePage) -> Vec<NodeListRow> {
    let (mut rows, mut page) = (Vec::new(), page.clone());
    loop {
        let more = store.nodes_list(&ALL, filter, &page).await.expect("page");
        let Some(last) = more.last() else { return rows };
        page.after = Some(page.cursor_after(last));
        rows.extend(more);
    }
}

/// The key of an order as a direct sort would have it.
fn direct_key(order: NodeOrder, falling: bool, row: &NodeListRow) -> (i64, String, String) {
    let number = match order {
        NodeOrder::Id | NodeOrder::Region => 0,
        NodeOrder::Status => ["quarantine", "offline", "registered", "active"]
            .iter()
            .position(|state| *state == row.state)
            .and_then(|at| i64::try_from(at).ok())
            .expect("a known state"),
        NodeOrder::P95 => row.p95_ms.unwrap_or(if falling { -1 } else { i64::MAX }),
        NodeOrder::LastHeartbeat => row.last_heartbeat_at_ms.unwrap_or(0),
    };
    let region = match order {
        NodeOrder::Region => row.region.clone(),
        _ => String::new(),
    };
    (number, region, row.node_id.clone())
}

#[tokio::test]
async fn every_order_is_right_and_complete_in_pages() {
    crate::support::on_both(|store| async move {
        seeded(&store, 25).await;
        for order in ORDERS {
            for falling in [false, true] {
                let page = NodePage {
                    order,
                    falling,
                    after: None,
                    limit: 4,
                };
                let rows = pages(&store, &NodeFilter::default(), &page).await;
                assert_eq!(rows.len(), 25, "{page:?}");
                let keys: Vec<_> = rows
                    .iter()
                    .map(|row| direct_key(order, falling, row))
                    .collect();
                let mut sorted = keys.clone();
                sorted.sort();
                if falling {
                    sorted.reverse();
                }
                assert_eq!(keys, sorted, "{page:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn every_filter_gives_what_it_says() {
    crate::support::on_both(|store| async move {
        seeded(&store, 25).await;
        let none = NodeFilter::default;
        let cases: [(NodeFilter, usize); 11] = [
            (
                NodeFilter {
                    statuses: vec![LifecycleStatus::Active, LifecycleStatus::Pending],
                    ..none()
                },
                25,
            ),
            (none(), 25),
            (
                NodeFilter {
                    statuses: vec![LifecycleStatus::Active],
                    ..none()
                },
                23,
            ),
            (
                NodeFilter {
                    statuses: vec![LifecycleStatus::Pending],
                    ..none()
                },
                2,
            ),
            (
                NodeFilter {
                    statuses: vec![LifecycleStatus::Offline],
                    ..none()
                },
                0,
            ),
            (
                NodeFilter {
                    region: Some("eu-west".into()),
                    ..none()
                },
                6,
            ),
            (
                NodeFilter {
                    runtime: Some("vllm".into()),
                    ..none()
                },
                8,
            ),
            (
                NodeFilter {
                    model_id: Some("phi4".into()),
                    ..none()
                },
                10,
            ),
            (
                NodeFilter {
                    id_part: Some("E-0000".into()),
                    ..none()
                },
                10,
            ),
            (
                NodeFilter {
                    id_part: Some("%".into()),
                    ..none()
                },
                0,
            ),
            (
                NodeFilter {
                    org_id: Some("org-1".into()),
                    ..none()
                },
                13,
            ),
        ];
        for (filter, count) in cases {
            let page = NodePage {
                limit: 7,
                ..NodePage::default()
            };
            let rows = pages(&store, &filter, &page).await;
            assert_eq!(rows.len(), count, "{filter:?}");
            let counted = store.nodes_count(&ALL, &filter).await.expect("count");
            assert_eq!(usize::try_from(counted), Ok(count), "{filter:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_window_equals_the_receipts_of_a_day() {
    crate::support::on_both(|store| async move {
        let all = seeded(&store, 4).await;
        let of_node: Vec<&Seeded> = all
            .iter()
            .filter(|r| r.fields.node_id.as_str() == "node-00001")
            .collect();
        let ttft: Sketch = of_node
            .iter()
            .filter(|r| r.fields.status == Some(Status::Ok))
            .filter_map(|r| u64::try_from(r.fields.ttft_ms?).ok())
            .collect();
        let row = store
            .node_list_row(&ALL, "node-00001")
            .await
            .expect("row")
            .expect("some");
        assert_eq!(usize::try_from(row.requests_24h), Ok(of_node.len()));
        assert_eq!(row.p95_ms.and_then(|ms| u64::try_from(ms).ok()), ttft.p95());

        // A day later nothing is left, and until then the window is known to be stale.
        let later = minute_of(END_MS) + 1_440;
        let stale = store.windows_stale(SERVER, later, 10).await.expect("stale");
        assert_eq!(stale, ["node-00001", "node-00002"]);
        refresh(&store, "node-00001", later).await;
        let row = store
            .node_list_row(&ALL, "node-00001")
            .await
            .expect("row")
            .expect("some");
        assert_eq!((row.requests_24h, row.p95_ms), (0, None));
        let stale = store.windows_stale(SERVER, later, 10).await.expect("stale");
        assert_eq!(stale, ["node-00002"]);
    })
    .await;
}

#[tokio::test]
async fn a_detail_says_whose_each_change_was() {
    crate::support::on_both(|store| async move {
        seeded(&store, 3).await;
        let org = Scope::Organisation("org-1".into());
        let detail = store
            .node_detail(&org, "node-00000")
            .await
            .expect("get")
            .expect("some");
        assert_eq!(detail.more.head_seq, 8);
        assert_eq!(detail.more.key_id.len(), 16);
        assert_eq!(
            detail.history.first().map(|event| event.to_state.as_str()),
            Some("active")
        );
        let of_then = detail
            .history
            .first()
            .and_then(|event| event.org_id.as_deref());
        assert_eq!(of_then, Some("org-1"));
        let others = store.node_detail(&org, "node-00001").await;
        let others = others.expect("get").expect("some");
        assert_eq!(others.row.org_id, None);
        assert!(!others.history.is_empty());
        assert!(others.last_probe.is_none());
        assert!(
            store
                .node_detail(&ALL, "nobody")
                .await
                .expect("get")
                .is_none()
        );
    })
    .await;
}

#[tokio::test]
async fn the_network_counts_models_of_active_nodes() {
    crate::support::on_both(|store| async move {
        seeded(&store, 3).await;
        let counts = store.network_counts(SERVER).await.expect("counts");
        assert_eq!(counts.by_state, [("active".to_owned(), 3)]);
        assert_eq!(counts.models, 4);
        let node_id = NodeId::parse("node-00000").expect("id");
        let bare = Connected {
            node_id: &node_id,
            agent_version: "1",
            os: "linux",
            arch: "x86_64",
            inventory: &Inventory::default(),
            allow_list: "[]",
        };
        store
            .nodes_connected(SERVER, &[(END_MS, bare)])
            .await
            .expect("connected");
        assert_eq!(
            store.network_counts(SERVER).await.expect("counts").models,
            3
        );
    })
    .await;
}

#[tokio::test]
async fn each_order_has_an_index() {
    crate::support::on_both(|store| async move {
        seeded(&store, 25).await;
        if store.inspect().dialect() == Dialect::Postgres {
            store.inspect().execute("ANALYZE").await.expect("analyze");
        }
        // Others' rows among one's own cost nothing that everybody's do not.
        let scopes = [ALL, Scope::Organisation("org-1".into()), Scope::Stranger];
        for (scope, order) in scopes
            .iter()
            .flat_map(|scope| ORDERS.map(|order| (scope, order)))
        {
            for falling in [false, true] {
                let mut page = NodePage {
                    order,
                    falling,
                    after: None,
                    limit: 4,
                };
                let rows = store
                    .nodes_list(scope, &NodeFilter::default(), &page)
                    .await
                    .expect("page");
                assert_eq!(rows.len(), 4, "{scope:?} {page:?}");
                for after in [None, rows.last().map(|row| page.cursor_after(row))] {
                    page.after = after;
                    let plan = store
                        .inspect()
                        .nodes_list_plan(scope, &NodeFilter::default(), &page)
                        .await
                        .expect("plan")
                        .join("\n");
                    assert!(
                        plan.contains("USING INDEX") || plan.contains("Index Scan"),
                        "{page:?}\n{plan}"
                    );
                    assert!(
                        !plan.contains("TEMP B-TREE") && !plan.contains("Sort "),
                        "{page:?}\n{plan}"
                    );
                }
            }
        }
    })
    .await;
}
