//! Every table has a rule; what is too old goes by an index, a few rows at a time, and nothing else goes.

#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use crate::support::{ALL, SERVER, enrol, on_both, token};
use dgon_control_plane_model::audit_chain::Head;
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_control_plane_model::rollup::{Sums, minute_of};
use dgon_control_plane_store::Ends;
use dgon_control_plane_store::Store;
use dgon_control_plane_store::audit::{AuditEntry, AuditRow};
use dgon_control_plane_store::node_orders::NewOrder;
use dgon_control_plane_store::receipt_queries::ReceiptFilter;
use dgon_control_plane_store::retention::{Keep, Periods, RULES, Rule};
use dgon_control_plane_store::rollups_range::{RollupRange, SumsOf};
use dgon_control_plane_store::{LifecycleChange, NewProbe, ProbeEnd, Seal, StoreError};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_testkit::seed::{Seed, seed};
use std::collections::BTreeSet;

const NOW_MS: i64 = 1_795_230_000_000;
const DAY_MS: i64 = 86_400_000;

fn rule(table: &str) -> &'static Rule {
    RULES
        .iter()
        .find(|rule| rule.table == table)
        .expect("a rule")
}

/// Deletes what is too old of a table, at most `rows`; how many went.
pub(crate) async fn expire(store: &Store, table: &str, now_ms: i64, rows: i64) -> u64 {
    let periods = Periods::default();
    let step = store.retention_expire(SERVER, rule(table), &periods, now_ms, rows);
    step.await.expect("expire").rows
}

/// Deletes until nothing is too old; how many went in each step.
async fn expire_all(store: &Store, table: &str, now_ms: i64, rows: i64) -> Vec<u64> {
    let mut steps = Vec::new();
    loop {
        match expire(store, table, now_ms, rows).await {
            0 => return steps,
            gone => steps.push(gone),
        }
    }
}

#[tokio::test]
async fn every_table_of_the_schema_has_one_rule() {
    on_both(|store| async move {
        let mut tables = store.inspect().schema_tables().await.expect("tables");
        tables.retain(|table| table != "_sqlx_migrations");
        tables.sort();
        let mut rules: Vec<&str> = RULES.iter().map(|rule| rule.table).collect();
        rules.sort_unstable();
        assert_eq!(rules, tables, "name each table in store::retention::RULES");
    })
    .await;
}

#[tokio::test]
async fn orders_to_nodes_go_after_a_month() {
    on_both(|store| async move {
        let hash = token(&store, "t", 1).await;
        enrol(&store, &hash, "a", 1).await;
        let node_id = NodeId::parse("a").expect("id");
        let audit = AuditEntry::default();
        for days in [31, 29] {
            let at_ms = NOW_MS - days * DAY_MS;
            let order = NewOrder {
                node_id: &node_id,
                kind: "refresh",
                body: "{}",
                at_ms,
                expires_at_ms: at_ms + 1,
                audit: &audit,
            };
            let added = store.node_order_add(&ALL, &order).await.expect("order");
            assert!(added.is_some());
        }
        assert_eq!(expire_all(&store, "node_orders", NOW_MS, 10).await, [1]);
        let inspect = store.inspect();
        let left = inspect.order_states(&node_id).await.expect("read");
        assert_eq!(left, ["queued"]);
    })
    .await;
}

#[tokio::test]
async fn what_stays_for_ever_says_why_and_the_rest_is_found_by_an_index() {
    on_both(|store| async move {
        for rule in &RULES {
            match (
                &rule.keep,
                store.inspect().retention_plan(rule).await.expect("plan"),
            ) {
                (Keep::ForEver(why), plan) => assert!(!why.is_empty() && plan.is_none()),
                // One row per name of a task.
                (Keep::Until(_), _) if rule.table == "task_leases" => {}
                (Keep::Until(_), plan) => {
                    let plan = plan.expect("a plan").join("\n");
                    let is_sorted = plan.contains("TEMP B-TREE") || plan.contains("Sort");
                    let is_scan = plan.lines().any(|line| {
                        (line.starts_with("SCAN") && !line.contains("INDEX"))
                            || line.contains("Seq Scan on")
                    });
                    assert!(!is_scan && !is_sorted, "{}: {plan}", rule.table);
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn old_receipts_go_in_small_steps_and_chains_keep_their_heads() {
    on_both(|store| async move {
        seed(&store, &Seed::day(2, 40, NOW_MS), |_| {})
            .await
            .expect("seed");
        let node_id = NodeId::parse("node-00000").expect("id");
        let heads = store.node_keys(&ALL, &node_id).await.expect("keys");
        let count = |store: Store| async move {
            let scan = store
                .receipts_scan(&ALL, &ReceiptFilter::default(), Ends::OfTime, 1_000)
                .await;
            scan.expect("scan").sums.requests
        };
        assert!(
            expire_all(&store, "receipts", NOW_MS + 179 * DAY_MS, 30)
                .await
                .is_empty()
        );
        assert_eq!(count(store.clone()).await, 80);
        let steps = expire_all(&store, "receipts", NOW_MS + 181 * DAY_MS, 30).await;
        assert_eq!(steps, [30, 30, 20]);
        assert_eq!(count(store.clone()).await, 0);
        assert_eq!(store.node_keys(&ALL, &node_id).await.expect("keys"), heads);
    })
    .await;
}

#[tokio::test]
async fn the_last_probe_of_a_node_stays() {
    on_both(|store| async move {
        let node_id = NodeId::parse("a").expect("id");
        for n in 0..3u8 {
            let (probe_id, at_ms) = (format!("p{n}"), i64::from(n));
            let probe = NewProbe {
                probe_id: probe_id.clone(),
                node_id: node_id.clone(),
                request_id: RequestId::generate(1, u128::from(n)),
                model: "m".to_owned(),
                at_ms,
            };
            store
                .probes_started(SERVER, &[probe])
                .await
                .expect("started");
            let end = ProbeEnd {
                probe_id,
                at_ms: at_ms + 1,
                outcome: "ok",
                message: None,
                tokens_input: 1,
                tokens_output: 1,
                ttft_ms: None,
                latency_ms: 1,
            };
            store
                .probes_finished(SERVER, &[end])
                .await
                .expect("finished");
        }
        assert_eq!(expire_all(&store, "probes", NOW_MS, 10).await, [2]);
        let last = store
            .inspect()
            .probe_last(&node_id)
            .await
            .expect("read")
            .expect("kept");
        assert_eq!(last.finished_at_ms, 3);
    })
    .await;
}

#[tokio::test]
async fn who_did_what_goes_after_400_days_and_the_last_event_of_a_node_stays() {
    on_both(|store| async move {
        let hash = token(&store, "t", 1).await;
        enrol(&store, &hash, "a", 1).await;
        let node_id = NodeId::parse("a").expect("id");
        let (old, young) = (NOW_MS - 401 * DAY_MS, NOW_MS - 399 * DAY_MS);
        let events = async || {
            let events = store.inspect().lifecycle_events(&node_id, 10).await;
            events.expect("read").len()
        };
        // An enrolment is an event of the node and a line of the audit.
        assert_eq!(events().await, 1);
        let gone = expire_all(&store, "lifecycle_events", NOW_MS, 10).await;
        assert!(gone.is_empty(), "{gone:?}");
        // What is not chained yet stays.
        let audits = expire_all(&store, "audit", NOW_MS, 10).await;
        assert!(audits.is_empty(), "{audits:?}");
        for at_ms in [old, young] {
            let audit = AuditEntry {
                at_ms,
                ..AuditEntry::default()
            };
            store.audit_write(SERVER, &audit).await.expect("audit");
            let (from, to) = match at_ms == old {
                true => (
                    (State::Registered, Reason::Enrolled),
                    (State::Registered, Reason::NoRuntime),
                ),
                false => (
                    (State::Registered, Reason::NoRuntime),
                    (State::PendingProbe, Reason::RuntimeReady),
                ),
            };
            let change = LifecycleChange {
                node_id: &node_id,
                old: from,
                new: to,
                at_ms,
                actor: "system",
                detail: None,
                audit: &audit,
            };
            let changed = store.node_transitions(&ALL, &[change]).await;
            assert_eq!(changed.expect("written"), [true]);
        }
        assert_eq!(events().await, 3);
        assert_eq!(
            expire_all(&store, "lifecycle_events", NOW_MS, 10).await,
            [2]
        );
        assert_eq!(events().await, 1);
        seal(&store).await;
        // The token and the enrolment, and what was written by hand and by the change. The chain goes on from the last one.
        let before = store.audit_chain(SERVER).await.expect("chain");
        assert_eq!(expire_all(&store, "audit", NOW_MS, 10).await, [4]);
        let after = store.audit_chain(SERVER).await.expect("chain");
        assert_eq!(
            (after.removed.seq, after.head),
            (before.head.seq - 2, before.head)
        );
        let rest = store.audit_sealed_after(SERVER, 0, 10).await.expect("rest");
        let follows = |head: Head, row: &AuditRow| head.after(&row.chained(None));
        assert_eq!(rest.iter().fold(after.removed, follows), after.head);
    })
    .await;
}

/// Chains what the audit log has, without facts.
async fn seal(store: &Store) {
    let mut head = store.audit_chain(SERVER).await.expect("chain").head;
    let from = head;
    let rows = store.audit_not_sealed(SERVER, 100).await.expect("rows");
    let seals: Vec<Seal> = rows
        .iter()
        .map(|row| {
            head = head.after(&row.chained(None));
            Seal {
                id: row.id,
                facts: None,
                head,
            }
        })
        .collect();
    let sealed = store.audit_seal(SERVER, from, &seals).await;
    assert!(sealed.expect("sealed"));
}

async fn range(store: &Store, of: SumsOf) -> (usize, Sums) {
    let range = RollupRange::whole(of);
    let written = store.inspect().rollups_range(&ALL, &range).await;
    let rows = written.expect("range").rows;
    let mut total = Sums::default();
    for (_, sums) in &rows {
        total.merge(sums);
    }
    (rows.len(), total)
}

/// Folds everything before a minute.
async fn fold(store: &Store, before: i64) -> Result<BTreeSet<i64>, StoreError> {
    let (mut from, mut hours) = (0, BTreeSet::new());
    while let Some(hour) = store.rollups_hour(SERVER, from, before).await? {
        while store.rollups_fold(SERVER, hour, 2).await?.rows > 0 {}
        hours.insert(hour);
        from = hour + 60;
    }
    Ok(hours)
}

#[tokio::test]
async fn minutes_become_hours_without_a_change_of_any_sum_and_go_after_a_year() {
    on_both(|store| async move {
        seed(&store, &Seed::day(3, 200, NOW_MS), |_| {})
            .await
            .expect("seed");
        let middle = minute_of(NOW_MS) - 600;
        let node = |name: &str| SumsOf::Node(name.to_owned());
        let folded = [
            node("node-00000"),
            node("node-00002"),
            SumsOf::Network,
            SumsOf::Organisation("org-1".to_owned()),
        ];
        let mut before = Vec::new();
        for of in &folded {
            before.push(range(&store, of.clone()).await);
        }
        let minutes = range(&store, SumsOf::NetworkMinutes).await.0;
        let hours = fold(&store, middle).await.expect("fold");
        assert!(
            hours
                .iter()
                .all(|hour| hour % 60 == 0 && hour + 60 <= middle)
        );
        assert_eq!(
            hours.len(),
            13,
            "the hour that is not over yet is left alone"
        );
        for (of, (rows, sums)) in folded.into_iter().zip(before) {
            let (fewer, same) = range(&store, of.clone()).await;
            assert!(fewer < rows, "{of:?}: {fewer} of {rows}");
            assert_eq!(same, sums, "{of:?}");
        }
        // Those over all nodes by minute serve what is not folded.
        let written = store
            .inspect()
            .rollups_range(&ALL, &RollupRange::whole(SumsOf::NetworkMinutes))
            .await;
        let written = written.expect("range").rows;
        assert!(!written.is_empty() && written.len() < minutes);
        let last = hours.last().expect("an hour") + 60;
        assert!(written.iter().all(|(key, _)| key.minute >= last));
        assert_eq!(fold(&store, middle).await.expect("again"), hours);
        assert!(
            expire_all(&store, "rollups", NOW_MS + 364 * DAY_MS, 100)
                .await
                .is_empty()
        );
        assert!(
            !expire_all(&store, "rollups", NOW_MS + 367 * DAY_MS, 100)
                .await
                .is_empty()
        );
        assert_eq!(range(&store, SumsOf::Network).await.0, 0);
    })
    .await;
}
