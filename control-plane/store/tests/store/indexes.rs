//! Each filter and each order is served by the index that was made for it, by name; without it the test fails.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{ALL, of_org, on_both};
use dgon_control_plane_store::audit::AuditFilter;
use dgon_control_plane_store::node_queries::{NodeFilter, NodeOrder, NodePage};
use dgon_control_plane_store::receipt_queries::ReceiptFilter;
use dgon_control_plane_store::{Dialect, Store};
use dgon_protocol::receipt::{Source, Status};
use dgon_testkit::seed::{Seed, seed};

const END_MS: i64 = 1_800_000_000_000;

/// Values that few rows have: for common ones the list itself is walked, as it should be.
fn receipt_filters() -> Vec<(ReceiptFilter, &'static str)> {
    let none = ReceiptFilter::default;
    let rare = || Some("rare".to_owned());
    vec![
        (
            ReceiptFilter {
                request_id: rare(),
                ..none()
            },
            "receipts_by_request",
        ),
        (
            ReceiptFilter {
                node_id: rare(),
                ..none()
            },
            "receipts_by_node",
        ),
        (
            ReceiptFilter {
                model_id: rare(),
                ..none()
            },
            "receipts_by_model",
        ),
        (
            ReceiptFilter {
                region: rare(),
                ..none()
            },
            "receipts_by_region",
        ),
        (
            ReceiptFilter {
                status: Some(Status::Error),
                ..none()
            },
            "receipts_not_ok",
        ),
        (
            ReceiptFilter {
                status: Some(Status::Cancelled),
                ..none()
            },
            "receipts_not_ok",
        ),
        (
            ReceiptFilter {
                source: Some(Source::Job),
                ..none()
            },
            "receipts_not_local",
        ),
        (
            ReceiptFilter {
                hedged: Some(true),
                ..none()
            },
            "receipts_hedged",
        ),
        (
            ReceiptFilter {
                cache_hit: Some(true),
                ..none()
            },
            "receipts_cached",
        ),
        (
            ReceiptFilter {
                search: Some("feedface".into()),
                ..none()
            },
            "receipts_by_hash",
        ),
    ]
}

/// The same among one's own receipts: what is rarer than an organisation keeps its index, for the rest it is theirs.
/// PostgreSQL chooses by how often a value comes.
fn own_filters(dialect: Dialect) -> Vec<(ReceiptFilter, &'static str)> {
    if dialect == Dialect::Postgres {
        return Vec::new();
    }
    let own_index = |index| match index {
        "receipts_by_request" | "receipts_by_node" | "receipts_by_hash" => index,
        "receipts_not_ok" => "receipts_own_not_ok",
        "receipts_hedged" => "receipts_own_hedged",
        _ => "receipts_by_org",
    };
    let all = receipt_filters().into_iter();
    let mut own: Vec<_> = all
        .map(|(filter, index)| (filter, own_index(index)))
        .collect();
    let search = ReceiptFilter {
        search: Some("a model".into()),
        ..ReceiptFilter::default()
    };
    own.push((search, "receipts_by_model"));
    own.push((failed_in_region(), "receipts_own_not_ok_by_region"));
    own.extend(rarer_and_failed());
    own
}

/// What is rarer keeps its index beside what few have.
fn rarer_and_failed() -> Vec<(ReceiptFilter, &'static str)> {
    let hedged = || ReceiptFilter {
        hedged: Some(true),
        ..failed_in_region()
    };
    vec![
        (
            ReceiptFilter {
                request_id: Some("rare".into()),
                ..hedged()
            },
            "receipts_by_request",
        ),
        (
            ReceiptFilter {
                search: Some("a model".into()),
                ..hedged()
            },
            "receipts_by_model",
        ),
    ]
}

fn failed_in_region() -> ReceiptFilter {
    ReceiptFilter {
        region: Some("rare".into()),
        status: Some(Status::Error),
        ..ReceiptFilter::default()
    }
}

fn node_queries() -> Vec<(NodeFilter, NodePage, &'static str)> {
    let none = NodeFilter::default;
    let rare = || Some("rare".to_owned());
    let page = |order, falling| NodePage {
        order,
        falling,
        after: None,
        limit: 4,
    };
    let by_id = || page(NodeOrder::Id, false);
    vec![
        (none(), page(NodeOrder::Status, false), "nodes_by_status"),
        (none(), page(NodeOrder::Region, true), "nodes_by_region"),
        (none(), page(NodeOrder::P95, false), "nodes_by_p95"),
        (none(), page(NodeOrder::P95, true), "nodes_by_p95_falling"),
        (
            none(),
            page(NodeOrder::LastHeartbeat, true),
            "nodes_by_heartbeat",
        ),
        (
            NodeFilter {
                region: rare(),
                ..none()
            },
            by_id(),
            "nodes_by_region",
        ),
        (
            NodeFilter {
                runtime: rare(),
                ..none()
            },
            by_id(),
            "node_models_by_runtime",
        ),
        (
            NodeFilter {
                model_id: rare(),
                ..none()
            },
            by_id(),
            "node_models_by_model",
        ),
        (
            NodeFilter {
                org_id: rare(),
                ..none()
            },
            by_id(),
            "nodes_by_org",
        ),
    ]
}

/// Plans with the index that each must have. As words, because one index name begins another.
async fn plans(store: &Store) -> Vec<(String, &'static str)> {
    let inspect = store.inspect();
    let mut plans = Vec::new();
    for (filter, index) in receipt_filters() {
        // Where the statement names an index that is gone, there is no plan.
        let plan = inspect.receipts_list_plan(&ALL, &filter).await;
        let plan = plan.unwrap_or_default();
        plans.push((format!("{filter:?}\n{}", plan.join("\n")), index));
    }
    if inspect.dialect() == Dialect::Sqlite {
        let plan = inspect.receipts_list_plan(&ALL, &failed_in_region()).await;
        plans.push((
            plan.unwrap_or_default().join("\n"),
            "receipts_not_ok_by_region",
        ));
        for (filter, index) in rarer_and_failed() {
            let plan = inspect.receipts_list_plan(&ALL, &filter).await;
            plans.push((plan.unwrap_or_default().join("\n"), index));
        }
    }
    for (filter, page, index) in node_queries() {
        let plan = inspect
            .nodes_list_plan(&ALL, &filter, &page)
            .await
            .expect("plan");
        plans.push((format!("{filter:?} {page:?}\n{}", plan.join("\n")), index));
    }
    let of_rare = of_org("rare");
    for (filter, index) in own_filters(inspect.dialect()) {
        let plan = inspect.receipts_list_plan(&of_rare, &filter).await;
        let plan = plan.unwrap_or_default().join("\n");
        plans.push((format!("own {filter:?}\n{plan}"), index));
    }
    let plan = inspect
        .receipts_list_plan(&of_rare, &ReceiptFilter::default())
        .await
        .expect("plan");
    plans.push((plan.join("\n"), "receipts_by_org"));
    let page = NodePage {
        limit: 4,
        ..NodePage::default()
    };
    // Their own of the list of all.
    let own = NodeFilter {
        org_id: Some("rare".to_owned()),
        ..NodeFilter::default()
    };
    let plan = inspect
        .nodes_list_plan(&of_rare, &own, &page)
        .await
        .expect("plan");
    plans.push((plan.join("\n"), "nodes_by_org"));
    let plan = inspect.receipt_bounds_plan().await.expect("plan");
    plans.push((plan.join("\n"), "receipts_by_time"));
    plans
}

fn uses(plan: &str, index: &str) -> bool {
    plan.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .any(|word| word == index)
}

#[tokio::test]
async fn every_filter_and_order_is_served_by_its_own_index() {
    on_both(|store| async move {
        seed(&store, &Seed::day(40, 40, END_MS), |_| {}).await.expect("seed");
        if store.inspect().dialect() == Dialect::Postgres {
            store.inspect().execute("ANALYZE").await.expect("analyze");
        }
        let all = plans(&store).await;
        for (plan, index) in &all {
            assert!(uses(plan, index), "{index} does not serve\n{plan}");
        }
        // Without them none is served, so that an index that goes is noticed.
        if store.inspect().dialect() == Dialect::Sqlite {
            let drop = "DROP INDEX receipts_own_not_ok; DROP INDEX receipts_own_not_ok_by_region; \
                 DROP INDEX receipts_own_hedged; DROP INDEX receipts_not_ok_by_region";
            store.inspect().execute(drop).await.expect("drop");
        }
        for drop in [
            "DROP INDEX receipts_by_request; DROP INDEX receipts_by_node; DROP INDEX receipts_by_model",
            "DROP INDEX receipts_by_region; DROP INDEX receipts_not_ok; DROP INDEX receipts_not_local",
            "DROP INDEX receipts_hedged; DROP INDEX receipts_cached; DROP INDEX receipts_by_org",
            "DROP INDEX receipts_by_hash; DROP INDEX receipts_by_time",
            "DROP INDEX nodes_by_status; DROP INDEX nodes_by_region; DROP INDEX nodes_by_p95",
            "DROP INDEX nodes_by_p95_falling; DROP INDEX nodes_by_heartbeat; DROP INDEX nodes_by_org",
            "DROP INDEX node_models_by_runtime; DROP INDEX node_models_by_model",
        ] {
            store.inspect().execute(drop).await.expect("drop");
        }
        for (plan, index) in plans(&store).await {
            assert!(!uses(&plan, index), "{index} is still said to serve\n{plan}");
        }
        let dialect = store.inspect().dialect();
        let (own, more) = (own_filters(dialect).len(), match dialect {
            Dialect::Sqlite => 1 + rarer_and_failed().len(),
            Dialect::Postgres => 0,
        });
        assert_eq!(all.len(), receipt_filters().len() + own + node_queries().len() + 3 + more);
    })
    .await;
}

#[tokio::test]
async fn filters_of_the_audit_log_are_served_by_their_indexes_in_order() {
    let none = AuditFilter::default;
    let one = || Some("one".to_owned());
    let filters = &[
        (none(), "audit_by_time"),
        (
            AuditFilter {
                actor: one(),
                ..none()
            },
            "audit_by_actor",
        ),
        (
            AuditFilter {
                actor: Some("one@example.org".to_owned()),
                ..none()
            },
            "audit_by_actor",
        ),
        (
            AuditFilter {
                action: one(),
                ..none()
            },
            "audit_by_action",
        ),
        (
            AuditFilter {
                object: one(),
                ..none()
            },
            "audit_by_object",
        ),
        (
            AuditFilter {
                request_id: one(),
                ..none()
            },
            "audit_by_request",
        ),
        (
            AuditFilter {
                object: one(),
                actor: one(),
                action: one(),
                ..none()
            },
            "audit_by_object",
        ),
    ];
    on_both(|store| async move {
        for (filter, index) in filters {
            let plan = store.inspect().audit_plan(filter).await.expect("plan");
            let plan = plan.join("\n");
            assert!(plan.contains(index), "{index}: {plan}");
            // Those of one request are few.
            let is_sorted = plan.contains("TEMP B-TREE") || plan.contains("Sort");
            assert!(!is_sorted || filter.request_id.is_some(), "{index}: {plan}");
        }
    })
    .await;
}
