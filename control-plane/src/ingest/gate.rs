//! Who verifies next: as fair to nodes as the queue of the committer, and by the same rule.

use super::share::{Shares, Turn};
use dgon_protocol::id::NodeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Places for work that takes a CPU; who finds none waits his turn.
#[derive(Debug)]
pub(super) struct FairGate(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    shares: Shares,
    waiting: BTreeMap<Turn, oneshot::Sender<Place>>,
}

/// A place; given back when dropped, also by a caller who gives up at the moment that it comes.
#[derive(Debug)]
pub(super) struct Place(Option<Arc<FairGate>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            gate.pass_on();
        }
    }
}

impl FairGate {
    /// A gate with so many places.
    pub(super) fn new(places: usize) -> Self {
        Self(Mutex::new(State {
            free: places.max(1),
            shares: Shares::default(),
            waiting: BTreeMap::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place for work of this size.
    pub(super) async fn enter(self: &Arc<Self>, node_id: &NodeId, size: usize) -> Place {
        let turn = {
            let mut state = self.lock();
            let key = state.shares.begin(node_id, size);
            if state.free > 0 && state.waiting.is_empty() {
                state.free -= 1;
                state.shares.served(key);
                None
            } else {
                let (sender, turn) = oneshot::channel();
                state.waiting.insert(key, sender);
                Some((key, turn))
            }
        };
        let Some((key, turn)) = turn else {
            return Place(Some(Arc::clone(self)));
        };
        let _in_line = InLine {
            gate: self,
            key,
            node_id,
            size,
        };
        // The senders are kept until they have sent.
        turn.await.unwrap_or(Place(None))
    }

    /// Gives a place to the first who still waits.
    fn pass_on(self: &Arc<Self>) {
        let mut state = self.lock();
        while let Some((key, turn)) = state.waiting.pop_first() {
            match turn.send(Place(Some(Arc::clone(self)))) {
                Ok(()) => return state.shares.served(key),
                // Gave up; the place is still in hand.
                Err(mut place) => place.0 = None,
            }
        }
        state.free += 1;
    }
}

/// A place in the line. Who leaves it before its turn does not pay for it.
struct InLine<'a> {
    gate: &'a FairGate,
    key: Turn,
    node_id: &'a NodeId,
    size: usize,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if state.waiting.remove(&self.key).is_some() {
            state.shares.undo(self.node_id, self.key, self.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_small_work_goes_before_the_next_of_a_large_one_and_no_place_is_lost() {
        let gate = Arc::new(FairGate::new(1));
        let (flood, calm) = (
            NodeId::parse("flood").expect("id"),
            NodeId::parse("calm").expect("id"),
        );
        let first = gate.enter(&flood, 256).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (node, size) in [(&flood, 256), (&flood, 256), (&calm, 2)] {
            let (gate, order, node) = (Arc::clone(&gate), Arc::clone(&order), node.clone());
            waiting.push(tokio::spawn(async move {
                let _place = gate.enter(&node, size).await;
                order.lock().expect("order").push(node.to_string());
            }));
            tokio::task::yield_now().await;
        }
        // One that gives up while it waits takes no place with it.
        let given_up = tokio::spawn({
            let (gate, calm) = (Arc::clone(&gate), calm.clone());
            async move {
                let _place = gate.enter(&calm, 1).await;
            }
        });
        tokio::task::yield_now().await;
        given_up.abort();
        let _ = given_up.await;
        drop(first);
        for one in waiting {
            one.await.expect("served");
        }
        assert_eq!(*order.lock().expect("order"), ["calm", "flood", "flood"]);
        assert_eq!(gate.lock().free, 1);
    }
}
