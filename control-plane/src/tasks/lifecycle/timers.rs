//! When each node is looked at next, if nothing happens to it: one time per node.

use dgon_protocol::id::NodeId;
use std::collections::{BTreeSet, HashMap};
use tokio::time::Instant;

/// Times of nodes.
#[derive(Debug, Default)]
pub(super) struct Timers {
    times: BTreeSet<(Instant, NodeId)>,
    of_node: HashMap<NodeId, Instant>,
}

impl Timers {
    /// Sets or clears a node's time.
    pub(super) fn set(&mut self, node_id: &NodeId, at: Option<Instant>) {
        if self.of_node.get(node_id).copied() == at {
            return;
        }
        if let Some(old) = self.of_node.remove(node_id) {
            self.times.remove(&(old, node_id.clone()));
        }
        if let Some(at) = at {
            self.of_node.insert(node_id.clone(), at);
            self.times.insert((at, node_id.clone()));
        }
    }

    /// The first time of all.
    pub(super) fn first(&self) -> Option<Instant> {
        self.times.first().map(|(at, _)| *at)
    }

    /// Takes the nodes whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<NodeId> {
        let mut due = Vec::new();
        while let Some((at, node_id)) = self.times.pop_first() {
            if at > now {
                self.times.insert((at, node_id));
                break;
            }
            self.of_node.remove(&node_id);
            due.push(node_id);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_node_has_one_time_and_is_due_once() {
        let (a, b) = (
            NodeId::parse("a").expect("id"),
            NodeId::parse("b").expect("id"),
        );
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set(&a, Some(at(5)));
        timers.set(&b, Some(at(3)));
        timers.set(&a, Some(at(1)));
        assert_eq!(timers.first(), Some(at(1)));
        assert_eq!(timers.due(at(2)), std::slice::from_ref(&a));
        timers.set(&b, None);
        assert_eq!(timers.first(), None);
        assert!(timers.due(at(9)).is_empty() && timers.of_node.is_empty());
    }
}
