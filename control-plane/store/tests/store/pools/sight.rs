//! Who finds what is in a pool, and what that costs.

use super::{admit, flag, found, pools_of, said, sees, strangers, world};
use crate::support::{ALL, of_org, on_both};
use dgon_control_plane_store::node_queries::{NodeFilter, NodeOrder, NodePage};
use dgon_control_plane_store::pools::PoolChanged;
use dgon_control_plane_store::{Dialect, Scope};
use dgon_protocol::id::NodeId;
use dgon_testkit::seed::{Seed, seed};

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
