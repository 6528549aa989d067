//! Whether this node takes work from the network, for every part that wants to know.
//!
//! The orders of the owner and of the control plane and the findings of the owner's limits meet here; what follows
//! from them is decided by [`dgon_agent_core::owner`]. Requests of the machine's own users are served in every mode;
//! only the network's work stops.

pub use dgon_agent_core::owner::{Decision, Judgement, Mode, NetworkOrder, Orders};

use dgon_agent_core::owner::decide;
use dgon_protocol::frame::PausedReason;
use std::sync::Arc;
use tokio::sync::watch;

/// The orders and findings in force, and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeState {
    /// What owner and control plane ordered.
    pub orders: Orders,
    /// What each limit that is set said last.
    pub judgements: Vec<Judgement>,
    /// What follows.
    pub decision: Decision,
}

impl ModeState {
    fn new(orders: Orders, judgements: Vec<Judgement>) -> Self {
        let decision = decide(orders, &judgements);
        Self {
            orders,
            judgements,
            decision,
        }
    }
}

/// The stance, shared by link, local socket and heartbeat.
#[derive(Debug, Clone)]
pub struct ModeSwitch(Arc<watch::Sender<ModeState>>);

impl Default for ModeSwitch {
    fn default() -> Self {
        Self::new(Orders::default())
    }
}

impl ModeSwitch {
    /// A switch with these orders in force and no limit judged yet.
    pub fn new(orders: Orders) -> Self {
        Self(Arc::new(watch::Sender::new(ModeState::new(
            orders,
            Vec::new(),
        ))))
    }

    /// The mode in force.
    pub fn get(&self) -> Mode {
        self.0.borrow().decision.mode
    }

    /// Everything that is in force.
    pub fn state(&self) -> ModeState {
        self.0.borrow().clone()
    }

    /// The first reason not to serve; `None` while the node serves.
    pub fn reason(&self) -> Option<PausedReason> {
        self.0.borrow().decision.reasons.first().copied()
    }

    /// The owner pauses the node, or takes that back.
    pub fn pause_by_owner(&self, paused: bool) {
        self.order(|orders| orders.owner_paused = paused);
    }

    /// The owner drains the node, or takes that back.
    pub fn drain_by_owner(&self, draining: bool) {
        self.order(|orders| orders.owner_draining = draining);
    }

    /// The control plane's order; `None` takes back its own and nothing of the owner's.
    pub fn order_by_network(&self, order: Option<NetworkOrder>) {
        self.order(|orders| orders.network = order);
    }

    /// What the limits say now.
    pub fn judged(&self, judgements: Vec<Judgement>) {
        self.change(|orders, _| ModeState::new(*orders, judgements));
    }

    /// Tells of every change of the decision.
    pub fn watch(&self) -> watch::Receiver<ModeState> {
        self.0.subscribe()
    }

    fn order(&self, give: impl FnOnce(&mut Orders)) {
        self.change(|orders, judgements| {
            let mut orders = *orders;
            give(&mut orders);
            ModeState::new(orders, judgements.to_vec())
        });
    }

    fn change(&self, next: impl FnOnce(&Orders, &[Judgement]) -> ModeState) {
        self.0.send_if_modified(|current| {
            let before = std::mem::replace(current, next(&current.orders, &current.judgements));
            // A temperature that moved is kept, but nobody needs to be woken for it.
            before.decision != current.decision
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_plane_lifts_only_its_own_order() {
        let mode = ModeSwitch::default();
        mode.pause_by_owner(true);
        mode.order_by_network(Some(NetworkOrder::Drain));
        mode.order_by_network(None);
        assert_eq!(
            (mode.get(), mode.reason()),
            (Mode::Paused, Some(PausedReason::Owner))
        );
        mode.order_by_network(Some(NetworkOrder::Pause));
        mode.pause_by_owner(false);
        assert_eq!(mode.reason(), Some(PausedReason::ControlPlane));
        mode.order_by_network(None);
        assert_eq!((mode.get(), mode.reason()), (Mode::Serving, None));
    }

    #[test]
    fn watchers_are_told_of_a_new_decision_only() {
        let mode = ModeSwitch::default();
        let mut watcher = mode.watch();
        watcher.mark_unchanged();
        mode.pause_by_owner(false);
        mode.order_by_network(None);
        assert!(!watcher.has_changed().unwrap());
        mode.drain_by_owner(true);
        assert!(watcher.has_changed().unwrap());
    }
}
