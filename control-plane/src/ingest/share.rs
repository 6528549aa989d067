//! Turns that are fair to nodes.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, 1996): a piece of work may start where its node's former one ended,
//! counted in receipts or in KiB. So a node that sends a handful is served before one that sends thousands, whoever came
//! first, and the work of one node keeps its order.

use dgon_protocol::id::NodeId;
use std::collections::HashMap;

/// Nodes whose share is remembered before those that are even are forgotten.
const REMEMBERED: usize = 1024;

/// When a piece of work is served: the smallest first.
pub(super) type Turn = (u64, u64);

/// What nodes had so far.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Where each node's last work ends.
    ends: HashMap<NodeId, u64>,
    /// Start of the work that was served last.
    now: u64,
    arrived: u64,
}

impl Shares {
    /// The turn of a piece of work: the smallest is served first.
    pub(super) fn begin(&mut self, node_id: &NodeId, size: usize) -> Turn {
        if self.ends.len() > REMEMBERED {
            let now = self.now;
            self.ends.retain(|_, end| *end > now);
        }
        let end = self.ends.entry(node_id.clone()).or_default();
        let start = self.now.max(*end);
        *end = start + size.max(1) as u64;
        self.arrived += 1;
        (start, self.arrived)
    }

    /// A piece of work was given up before its turn: its node does not pay for it, unless more of it came since.
    pub(super) fn undo(&mut self, node_id: &NodeId, turn: Turn, size: usize) {
        if let Some(end) = self.ends.get_mut(node_id)
            && *end == turn.0 + size.max(1) as u64
        {
            *end = turn.0;
        }
    }

    /// Work with this turn is being served.
    pub(super) fn served(&mut self, turn: Turn) {
        self.now = self.now.max(turn.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_nodes_is_bounded() {
        let mut shares = Shares::default();
        for number in 0..5_000 {
            let node_id = NodeId::parse(format!("n{number}")).expect("id");
            let (start, _) = shares.begin(&node_id, 1);
            shares.served((start + 1, 0));
        }
        assert!(shares.ends.len() <= REMEMBERED + 1, "{}", shares.ends.len());
    }
}
