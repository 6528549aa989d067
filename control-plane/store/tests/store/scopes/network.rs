//! Nodes, what is done to them, receipts and figures.

use super::{END_MS, OWN, audit, audited, network, of_person, others, own};
use crate::support::{ALL, SERVER, of_org, on_both};
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_model::rollup::minute_of;
use dgon_control_plane_store::Ends;
use dgon_control_plane_store::assignments::Assigned;
use dgon_control_plane_store::node_orders::NewOrder;
use dgon_control_plane_store::node_queries::{NodeFilter, NodePage};
use dgon_control_plane_store::receipt_queries::{ReceiptDetail, ReceiptFilter, ReceiptFound};
use dgon_control_plane_store::rollups_range::{RollupRange, SumsOf, Total};
use dgon_control_plane_store::{Closing, LifecycleChange, Scope, Store};
use dgon_protocol::id::NodeId;

async fn quarantine(store: &Store, scope: &Scope) -> bool {
    let node_id = NodeId::parse(OWN).expect("id");
    let change = LifecycleChange {
        node_id: &node_id,
        old: (State::Active, Reason::ProbePassed),
        new: (State::Quarantine, Reason::AdminQuarantine),
        at_ms: END_MS,
        actor: "user:1",
        detail: None,
        audit: &audit("node.lifecycle"),
    };
    store
        .node_transitions(scope, &[change])
        .await
        .expect("transition")[0]
}

#[tokio::test]
async fn a_node_is_moved_in_its_scope_alone() {
    on_both(|store| async move {
        network(&store).await;
        let node_id = NodeId::parse(OWN).expect("id");
        let events = async || {
            store
                .inspect()
                .lifecycle_events(&node_id, 50)
                .await
                .expect("events")
        };
        let before = events().await;
        for scope in others() {
            assert!(!quarantine(&store, &scope).await, "{scope:?}");
            assert_eq!(
                store.node_get(&scope, &node_id).await.expect("get"),
                None,
                "{scope:?}"
            );
        }
        assert_eq!((events().await, audited(&store).await), (before.clone(), 0));
        let row = store
            .node_get(&own(), &node_id)
            .await
            .expect("get")
            .expect("own");
        assert_eq!(row.state, State::Active.as_str());
        assert!(quarantine(&store, &own()).await);
        assert_eq!(
            (events().await.len(), audited(&store).await),
            (before.len() + 1, 1)
        );
    })
    .await;
}

async fn order(store: &Store, scope: &Scope, at_ms: i64) -> Option<i64> {
    let node_id = NodeId::parse(OWN).expect("id");
    let entry = audit("node.refresh");
    let order = NewOrder {
        node_id: &node_id,
        kind: "refresh",
        body: "{}",
        at_ms,
        expires_at_ms: at_ms + 100,
        audit: &entry,
    };
    let added = store.node_order_add(scope, &order).await.expect("order");
    added.map(|row| row.id)
}

#[tokio::test]
async fn a_node_is_given_orders_in_its_scope_alone() {
    on_both(|store| async move {
        network(&store).await;
        for scope in others() {
            assert_eq!(order(&store, &scope, 1_000).await, None, "{scope:?}");
        }
        assert_eq!(audited(&store).await, 0);
        let first = order(&store, &own(), 1_000).await.expect("own");
        // Long after its time, which is for nobody else to notice.
        for scope in others() {
            assert_eq!(order(&store, &scope, 2_000).await, None, "{scope:?}");
        }
        let node_id = NodeId::parse(OWN).expect("id");
        let waiting = store
            .node_orders_queued(SERVER, &node_id, 1_050)
            .await
            .expect("queued");
        assert_eq!(
            waiting.iter().map(|row| row.id).collect::<Vec<_>>(),
            [first]
        );
        assert_eq!(audited(&store).await, 1);
    })
    .await;
}

fn one(found: ReceiptFound) -> ReceiptDetail {
    match found {
        ReceiptFound::One(one) => *one,
        ReceiptFound::Nothing | ReceiptFound::Several(_) => panic!("not one: {found:?}"),
    }
}

#[tokio::test]
async fn a_receipt_of_others_is_read_by_its_exact_id_and_only_where_all_are_public() {
    on_both(|store| async move {
        let receipts = network(&store).await;
        let middle = &receipts[1].fields;
        let id = middle.request_id.as_str();
        let neighbours = |detail: ReceiptDetail| (detail.prev_request_id, detail.next_request_id);
        let all_of = ReceiptFilter::default();
        for scope in others() {
            let got = store.receipt_get(&scope, id, None).await.expect("get");
            assert_eq!(got, ReceiptFound::Nothing, "{scope:?}");
            let place = store
                .receipt_order(&scope, &middle.node_id, &middle.request_id)
                .await;
            assert_eq!(place.expect("order"), None, "{scope:?}");
            let listed = store
                .receipts_list(&scope, &all_of, None, 100)
                .await
                .expect("list");
            assert!(listed.iter().all(|row| row.node_id != OWN), "{scope:?}");
            let scan = store
                .receipts_scan(&scope, &all_of, Ends::OfTime, 100)
                .await
                .expect("scan");
            let theirs = if scope.is_stranger() { 0 } else { 3 };
            assert_eq!(scan.sums.requests, theirs, "{scope:?}");
            let public = store
                .receipt_public(&scope, id, None)
                .await
                .expect("public");
            assert_eq!(neighbours(one(public)), (None, None), "{scope:?}");
        }
        for scope in [ALL, own()] {
            for found in [
                store.receipt_get(&scope, id, None).await.expect("get"),
                store
                    .receipt_public(&scope, id, None)
                    .await
                    .expect("public"),
            ] {
                let (before, after) = neighbours(one(found));
                assert_eq!(
                    before.as_deref(),
                    Some(receipts[0].fields.request_id.as_str())
                );
                assert_eq!(
                    after.as_deref(),
                    Some(receipts[2].fields.request_id.as_str())
                );
            }
        }
        let begins_so = &id[..id.len() - 1];
        let public = store
            .receipt_public(&Scope::Stranger, begins_so, None)
            .await;
        assert_eq!(public.expect("public"), ReceiptFound::Nothing);
    })
    .await;
}

/// Requests in the sums of something from a minute on.
async fn requests(store: &Store, scope: &Scope, of: SumsOf, from_minute: i64) -> i64 {
    let range = RollupRange {
        from_minute,
        ..RollupRange::whole(of)
    };
    let total = store.rollups_total(scope, &range).await;
    match total.expect("total") {
        Total::Whole { sums, .. } => sums.requests,
        Total::NotAll => panic!("few rows"),
    }
}

#[tokio::test]
async fn the_networks_figures_are_everybodys_and_a_nodes_its_organisations() {
    on_both(|store| async move {
        network(&store).await;
        let end = minute_of(END_MS);
        while let Closing::Closed(_) = store
            .rollups_close_next(SERVER, end, 0)
            .await
            .expect("close")
        {}
        let closed = store.rollups_closed(SERVER).await.expect("border");
        let organisation = || "org-1".to_owned();
        // What is closed, and what came since.
        let of_network = async |scope: &Scope| {
            requests(&store, scope, SumsOf::NetworkMinutes, 0).await
                + requests(&store, scope, SumsOf::Network, closed).await
        };
        let of_own = async |scope: &Scope| {
            let closed_sums = SumsOf::Organisation(organisation());
            let nodes = || SumsOf::OrganisationsNodes(organisation());
            [
                requests(&store, scope, SumsOf::Node(OWN.to_owned()), 0).await,
                requests(&store, scope, nodes(), 0).await,
                requests(&store, scope, closed_sums, 0).await
                    + requests(&store, scope, nodes(), closed).await,
            ]
        };
        for scope in others() {
            assert_eq!(requests(&store, &scope, SumsOf::Network, 0).await, 6);
            assert_eq!(of_network(&scope).await, 6, "{scope:?}");
            assert_eq!(of_own(&scope).await, [0; 3], "{scope:?}");
        }
        for scope in [ALL, own()] {
            assert_eq!(of_own(&scope).await, [3; 3], "{scope:?}");
        }
    })
    .await;
}

/// Nodes and regions that somebody counts, and the keys of the first organisation's node.
async fn seen(store: &Store, scope: &Scope) -> (i64, i64, i64, usize) {
    let listed = store
        .nodes_count(scope, &NodeFilter::default())
        .await
        .expect("nodes");
    let page = NodePage {
        limit: 10,
        ..NodePage::default()
    };
    let rows = store
        .nodes_list(scope, &NodeFilter::default(), &page)
        .await
        .expect("list");
    assert_eq!(usize::try_from(listed), Ok(rows.len()), "{scope:?}");
    let counts = store.network_counts(SERVER).await.expect("counts");
    let regions = store.nodes_by_region(SERVER).await.expect("regions");
    let keys = store
        .node_keys(scope, &NodeId::parse(OWN).expect("id"))
        .await
        .expect("keys");
    (
        listed,
        counts.by_state.iter().map(|(_, count)| count).sum(),
        regions.iter().map(|(_, count)| count).sum(),
        keys.len(),
    )
}

#[tokio::test]
async fn every_node_is_in_everybodys_sight() {
    on_both(|store| async move {
        network(&store).await;
        for scope in [ALL, own()].into_iter().chain(others()) {
            assert_eq!(seen(&store, &scope).await, (2, 2, 2, 1), "{scope:?}");
            let detail = store.node_detail(&scope, OWN).await.expect("get");
            assert!(detail.is_some(), "{scope:?}");
        }
    })
    .await;
}

/// What a trimmed row does not show must not be found by it either.
#[tokio::test]
async fn nobody_finds_the_nodes_of_another_organisation_by_what_is_its_own() {
    on_both(|store| async move {
        network(&store).await;
        let made = "INSERT INTO orgs (org_id, name, created_at_ms) VALUES ('org-2', 'org-2', 1); \
                    INSERT INTO users (user_id, email, org_id, created_at_ms) VALUES ('u-2', 'u@example.org', 'org-2', 1); \
                    INSERT INTO node_assignments (node_id, user_id, org_id, assigned_at_ms, assigned_by) \
                    SELECT node_id, 'u-2', org_id, 1, 'cli' FROM nodes WHERE org_id = 'org-2'";
        store.inspect().execute(made).await.expect("assignment");
        let none = NodeFilter::default;
        let of = |org_id: &str| NodeFilter {
            org_id: Some(org_id.to_owned()),
            ..none()
        };
        let assigned = |assigned| NodeFilter {
            assigned: Some(assigned),
            ..none()
        };
        let cared_for = || assigned(Assigned::To("u-2".to_owned()));
        let by_nobody = || assigned(Assigned::ToNobody);
        for (scope, found) in [
            (ALL, [1, 1, 1, 1]),
            (own(), [1, 0, 0, 1]),
            (of_org("org-2"), [0, 1, 1, 0]),
            (of_org("nobody"), [0; 4]),
        ] {
            let filters = [of("org-1"), of("org-2"), cared_for(), by_nobody()];
            for (filter, found) in filters.iter().zip(found) {
                let counted = store.nodes_count(&scope, filter).await;
                assert_eq!(counted.expect("nodes"), found, "{scope:?} {filter:?}");
            }
        }
        for scope in [Scope::Stranger, of_person("u-2")] {
            for filter in [cared_for(), by_nobody()] {
                let counted = store.nodes_count(&scope, &filter).await;
                assert_eq!(counted.expect("nodes"), 0, "{scope:?} {filter:?}");
            }
        }
        // The map of nodes and people has one's own alone, as their names are in it.
        for (scope, found) in [(ALL, 2), (own(), 1), (of_org("nobody"), 0), (Scope::Stranger, 0)] {
            let listed = store.assignment_list(&scope, &none(), None, 10).await;
            assert_eq!(listed.expect("nodes").len(), found, "{scope:?}");
        }
    })
    .await;
}
