//! What the hub has heard and not yet told: newest state per node, receipts in their order. Pure.
//!
//! Receipts go out at once when nothing went out lately, else every [`FAST`]; nodes and heartbeats every
//! [`SLOW`], the latest of each; the summary every [`SUMMARY`].

use super::newest::Newest;
use crate::bus::{CommittedReceipt, Event};
use dgon_protocol::id::NodeId;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::{Duration, Instant};

/// Shortest time between batches of receipts.
pub(super) const FAST: Duration = Duration::from_millis(200);
/// Shortest time between batches of nodes and heartbeats.
pub(super) const SLOW: Duration = Duration::from_millis(500);
/// Shortest time between summaries.
pub(super) const SUMMARY: Duration = Duration::from_secs(1);
/// Nodes, and heartbeats, in a batch; the others wait for the next.
pub(super) const NODES_PER_BATCH: usize = 100;

/// When something went out last.
#[derive(Debug, Clone, Copy, Default)]
struct Lane(Option<Instant>);

impl Lane {
    fn due(self, every: Duration, now: Instant) -> Instant {
        self.0.map_or(now, |last| last + every)
    }

    /// Whether it is time; then it counts as gone out.
    fn take(&mut self, every: Duration, now: Instant) -> bool {
        let is_due = self.due(every, now) <= now;
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Pending {
    receipts: Newest,
    nodes: Round,
    heartbeats: Round,
    is_summary_old: bool,
    is_gap: bool,
    fast: Lane,
    slow: Lane,
    summary: Lane,
}

/// What goes out now.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) receipts: Vec<CommittedReceipt>,
    /// Of each organisation.
    pub(super) receipts_left_out: Vec<(Option<String>, u64)>,
    pub(super) nodes: Vec<NodeId>,
    pub(super) heartbeats: Vec<NodeId>,
    pub(super) summary: bool,
    pub(super) is_gap: bool,
}

/// Nodes that wait to be told, each once. They are told in the order of their names, round and round, so that no name is
/// too late in the alphabet for its turn.
#[derive(Debug, Default)]
struct Round {
    waiting: BTreeSet<NodeId>,
    last: Option<NodeId>,
}

impl Round {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn take_some(&mut self) -> Vec<NodeId> {
        let mut taken: Vec<NodeId> = match self.last.take() {
            Some(last) => {
                let after = (Bound::Excluded(last), Bound::Unbounded);
                let after = self.waiting.range(after).take(NODES_PER_BATCH);
                after.cloned().collect()
            }
            None => Vec::new(),
        };
        for node_id in &taken {
            self.waiting.remove(node_id);
        }
        while taken.len() < NODES_PER_BATCH
            && let Some(node_id) = self.waiting.pop_first()
        {
            taken.push(node_id);
        }
        self.last = taken.last().cloned();
        taken
    }
}

impl Pending {
    /// Something happened.
    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Node { node_id } => {
                self.is_summary_old = true;
                self.nodes.waiting.insert(node_id);
            }
            Event::Heartbeat { node_id, .. } => {
                self.heartbeats.waiting.insert(node_id);
            }
            Event::Receipts(receipts) => {
                self.is_summary_old = true;
                for receipt in receipts.iter() {
                    self.receipts.push(receipt.clone());
                }
            }
        }
    }

    /// Events were lost on the way here.
    pub(super) fn lost(&mut self) {
        self.is_gap = true;
        self.is_summary_old = true;
    }

    /// The summary may have changed with time alone.
    pub(super) fn time_passed(&mut self) {
        self.is_summary_old = true;
    }

    /// When something is due; `None` while nothing waits.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let fast = !self.receipts.is_empty() || self.is_gap;
        let slow = !self.nodes.is_empty() || !self.heartbeats.is_empty();
        let lanes = [
            fast.then(|| self.fast.due(FAST, now)),
            slow.then(|| self.slow.due(SLOW, now)),
            self.is_summary_old.then(|| self.summary.due(SUMMARY, now)),
        ];
        lanes.into_iter().flatten().min()
    }

    /// Takes what is due.
    pub(super) fn take(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        if (!self.receipts.is_empty() || self.is_gap) && self.fast.take(FAST, now) {
            (due.receipts, due.receipts_left_out) = self.receipts.take();
            due.is_gap = std::mem::take(&mut self.is_gap);
        }
        if (!self.nodes.is_empty() || !self.heartbeats.is_empty()) && self.slow.take(SLOW, now) {
            due.nodes = self.nodes.take_some();
            due.heartbeats = self.heartbeats.take_some();
        }
        if self.is_summary_old && self.summary.take(SUMMARY, now) {
            self.is_summary_old = false;
            due.summary = true;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::super::newest::OF_ORG;
    use super::*;
    use dgon_protocol::receipt::Receipt;
    use std::sync::Arc;

    fn node(name: &str) -> NodeId {
        NodeId::parse(name).expect("id")
    }

    fn receipts(count: usize) -> Event {
        of_org("a", count)
    }

    fn of_org(org_id: &str, count: usize) -> Event {
        let json = br#"{"version":"1.0","request_id":"r","node_id":"n","ts_start":1,"ts_end":2,"model_id":"m",
            "tokens_input":1,"tokens_output":1,"signature":"ed25519:"}"#;
        let fields = Receipt::parse(json).expect("a receipt").fields;
        let one = CommittedReceipt {
            fields,
            region: String::new(),
            org_id: Some(org_id.to_owned()),
            received_at_ms: 1,
        };
        Event::Receipts(Arc::from(vec![one; count]))
    }

    #[test]
    fn a_first_receipt_goes_at_once_and_the_next_ones_together() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        assert_eq!(pending.deadline(start), None);
        pending.hear(receipts(1));
        assert_eq!(pending.deadline(start), Some(start));
        let due = pending.take(start);
        assert_eq!((due.receipts.len(), due.summary), (1, true));
        pending.hear(receipts(2));
        pending.hear(receipts(3));
        assert_eq!(pending.deadline(start), Some(start + FAST));
        assert!(pending.take(start).receipts.is_empty());
        let due = pending.take(start + FAST);
        assert_eq!((due.receipts.len(), due.summary), (5, false));
        assert!(pending.take(start + SUMMARY).summary);
        assert_eq!(pending.deadline(start + SUMMARY), None);
    }

    #[test]
    fn too_many_receipts_leave_the_oldest_out_and_say_how_many() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.hear(receipts(OF_ORG + 7));
        let due = pending.take(start);
        assert_eq!(due.receipts.len(), OF_ORG);
        assert_eq!(due.receipts_left_out, [(Some("a".to_owned()), 7)]);
        pending.hear(receipts(1));
        assert_eq!(pending.take(start + FAST).receipts_left_out, []);
    }

    #[test]
    fn one_organisation_pushes_nothing_of_another_out() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.hear(of_org("calm", 3));
        pending.hear(of_org("flood", 5_000));
        for number in 0..12 {
            pending.hear(of_org(&format!("busy-{number}"), OF_ORG));
        }
        let due = pending.take(start);
        let of = |org: &str| {
            let of_org = |one: &&CommittedReceipt| one.org_id.as_deref() == Some(org);
            due.receipts.iter().filter(of_org).count()
        };
        assert_eq!((of("calm"), due.receipts.len()), (3, 1_000));
        assert_eq!(due.receipts[0].org_id.as_deref(), Some("calm"));
        let left_out = |org: &str| {
            let left_out = due.receipts_left_out.iter();
            let mut of_org = left_out.filter(|(of, _)| of.as_deref() == Some(org));
            of_org.next().map(|(_, count)| *count)
        };
        assert_eq!(left_out("calm"), None);
        assert!(left_out("flood") >= Some(4_900));
    }

    #[test]
    fn nodes_that_change_all_the_time_keep_no_other_from_its_turn() {
        let (mut pending, mut now) = (Pending::default(), Instant::now());
        pending.hear(Event::Node {
            node_id: node("z-calm"),
        });
        let told = (0..3).any(|_| {
            for number in 0..2 * NODES_PER_BATCH {
                let node_id = node(&format!("a-{number}"));
                pending.hear(Event::Node { node_id });
            }
            now += SLOW;
            pending.take(now).nodes.contains(&node("z-calm"))
        });
        assert!(told);
    }

    #[test]
    fn heartbeats_of_a_node_become_one_and_many_nodes_wait_their_turn() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        for n in 0..NODES_PER_BATCH + 5 {
            for at_ms in 0..3 {
                let node_id = node(&format!("n{n:04}"));
                pending.hear(Event::Heartbeat { node_id, at_ms });
            }
        }
        assert_eq!(pending.take(start).heartbeats.len(), NODES_PER_BATCH);
        assert!(pending.take(start).heartbeats.is_empty());
        assert_eq!(pending.take(start + SLOW).heartbeats.len(), 5);
        assert_eq!(pending.deadline(start + SLOW), None);
    }

    #[test]
    fn a_gap_is_told_even_when_nothing_else_is() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.lost();
        assert!(pending.take(start).is_gap);
        assert_eq!(pending.deadline(start), None);
    }
}
