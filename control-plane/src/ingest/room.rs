//! Memory for receipts on their way to the store: one budget, whichever way they came.
//!
//! A node holds a bounded part of it, and all nodes of an organisation together a larger one. Who finds no room waits
//! for his turn, by the fair order of `share`: whoever sent little is served before whoever sent much, so that no
//! number of large batches keeps a small one waiting for longer than until the next commit gives room back. What waits
//! is in memory too, so as much as there is room for may wait, and no more: whose piece is beyond it comes again later.

use super::IngestError;
use super::share::{Shares, Turn};
use crate::app::NodeSession;
use dgon_protocol::id::NodeId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Bytes of receipts between the socket and the commit, of all nodes, KiB.
const ROOM_KIB: usize = 128 * 1024;
/// The part of one organisation, KiB: its nodes are many, and all its own.
const ORG_KIB: usize = ROOM_KIB / 2;
/// The part of one node, KiB: a full frame that is verified and one that waits for its commit. A single body that is
/// larger passes while nothing else of the node is in memory.
const NODE_KIB: usize = 2 * 1024;

/// The budget.
#[derive(Debug)]
pub(super) struct Room(Mutex<State>);

#[derive(Debug)]
struct State {
    free_kib: usize,
    shares: Shares,
    waiting: BTreeMap<Turn, Waiter>,
    nodes: HashMap<NodeId, Used>,
    orgs: HashMap<String, Used>,
    /// What all pieces wait for, KiB: they are in memory too.
    waiting_kib: usize,
}

/// What one node or organisation has of it, KiB. Forgotten when that is nothing.
#[derive(Debug, Default, Clone, Copy)]
struct Used {
    held: usize,
    waiting: usize,
}

impl Used {
    const fn is_nothing(self) -> bool {
        self.held + self.waiting == 0
    }
}

#[derive(Debug)]
struct Waiter {
    part: Part,
    turn: oneshot::Sender<Reserved>,
}

/// Whose, and how much.
#[derive(Debug, Clone)]
struct Part {
    node_id: NodeId,
    org_id: Option<String>,
    kib: usize,
}

/// Room that is held; given back when dropped.
#[derive(Debug)]
pub struct Reserved {
    room: Arc<Room>,
    part: Part,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.room.lock().give_back(&self.part);
        self.room.serve();
    }
}

/// What to do where there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// Wait: the sender is one that reads nothing more meanwhile.
    Wait,
    /// Refuse what is beyond the node's own part; wait for that of others.
    RefuseOwn,
}

impl Room {
    pub(super) fn new() -> Arc<Self> {
        Self::with_kib(ROOM_KIB)
    }

    fn with_kib(free_kib: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            free_kib,
            shares: Shares::default(),
            waiting: BTreeMap::new(),
            nodes: HashMap::new(),
            orgs: HashMap::new(),
            waiting_kib: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is free, KiB.
    pub(super) fn free_kib(&self) -> usize {
        self.lock().free_kib
    }

    /// Waits until `bytes` more of a node's receipts may be in memory.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        node: &NodeSession,
        bytes: usize,
        full: Full,
    ) -> Result<Reserved, IngestError> {
        let part = Part {
            node_id: node.node_id.clone(),
            org_id: node.org_id.clone(),
            kib: (bytes / 1024 + 1).min(ROOM_KIB),
        };
        let turn = {
            let mut state = self.lock();
            if full == Full::RefuseOwn && !state.is_within_own(&part) {
                return Err(IngestError::Busy);
            }
            let key = state.shares.begin(&part.node_id, part.kib);
            if state.waiting.is_empty() && state.fits(&part) {
                state.shares.served(key);
                state.take(&part);
                None
            } else if !state.may_wait(&part) {
                state.shares.undo(&part.node_id, key, part.kib);
                return Err(IngestError::NoRoom);
            } else {
                let (sender, turn) = oneshot::channel();
                state.wait(&part);
                let waiter = Waiter {
                    part: part.clone(),
                    turn: sender,
                };
                state.waiting.insert(key, waiter);
                Some((InLine(self, key), turn))
            }
        };
        let Some((in_line, turn)) = turn else {
            return Ok(Reserved {
                room: Arc::clone(self),
                part,
            });
        };
        // Those before it may wait for room of their own alone.
        self.serve();
        // The senders are kept until they have sent.
        let reserved = turn.await.map_err(|_| IngestError::Stopped);
        drop(in_line);
        reserved
    }

    /// Gives room to those whose turn it is.
    fn serve(self: &Arc<Self>) {
        let served = self.lock().serve();
        // Outside of the lock: what nobody takes any more comes back.
        for (turn, part) in served {
            let room = Arc::clone(self);
            let _ = turn.send(Reserved { room, part });
        }
    }
}

/// A place in the line; left when dropped.
struct InLine<'a>(&'a Arc<Room>, Turn);

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let left = self.0.lock().leave(self.1);
        if left {
            // It may have been what the others waited behind.
            self.0.serve();
        }
    }
}

impl State {
    fn used(&self, node_id: &NodeId) -> Used {
        self.nodes.get(node_id).copied().unwrap_or_default()
    }

    /// Whether the node's own part has room beside what it holds and waits for.
    fn is_within_own(&self, part: &Part) -> bool {
        let Used { held, waiting } = self.used(&part.node_id);
        held + waiting == 0 || held + waiting + part.kib <= NODE_KIB
    }

    /// What its organisation has; nothing where it has none.
    fn of_org(&self, part: &Part) -> Used {
        let of_org = part.org_id.as_ref().and_then(|org| self.orgs.get(org));
        of_org.copied().unwrap_or_default()
    }

    /// Whether one more piece may wait: as much as there is room for, and of one organisation as much as its part.
    fn may_wait(&self, part: &Part) -> bool {
        self.waiting_kib + part.kib <= ROOM_KIB && self.of_org(part).waiting + part.kib <= ORG_KIB
    }

    fn is_within_node(&self, part: &Part) -> bool {
        let held = self.used(&part.node_id).held;
        held == 0 || held + part.kib <= NODE_KIB
    }

    /// Whether the parts of its node and of its organisation have room.
    fn is_within_parts(&self, part: &Part) -> bool {
        self.is_within_node(part) && self.of_org(part).held + part.kib <= ORG_KIB
    }

    fn fits(&self, part: &Part) -> bool {
        part.kib <= self.free_kib && self.is_within_parts(part)
    }

    fn wait(&mut self, part: &Part) {
        self.waiting_kib += part.kib;
        self.change(part, |used| used.waiting += part.kib);
    }

    fn take(&mut self, part: &Part) {
        self.free_kib -= part.kib;
        self.change(part, |used| used.held += part.kib);
    }

    fn give_back(&mut self, part: &Part) {
        self.free_kib += part.kib;
        self.change(part, |used| used.held -= part.kib);
    }

    /// Changes what the node and its organisation have.
    fn change(&mut self, part: &Part, change: impl Fn(&mut Used)) {
        let used = self.nodes.entry(part.node_id.clone()).or_default();
        change(used);
        if used.is_nothing() {
            self.nodes.remove(&part.node_id);
        }
        if let Some(org_id) = &part.org_id {
            let used = self.orgs.entry(org_id.clone()).or_default();
            change(used);
            if used.is_nothing() {
                self.orgs.remove(org_id);
            }
        }
    }

    fn no_longer_waits(&mut self, part: &Part) {
        self.waiting_kib -= part.kib;
        self.change(part, |used| used.waiting -= part.kib);
    }

    fn leave(&mut self, key: Turn) -> bool {
        let Some(waiter) = self.waiting.remove(&key) else {
            return false;
        };
        self.shares.undo(&waiter.part.node_id, key, waiter.part.kib);
        self.no_longer_waits(&waiter.part);
        true
    }

    /// Takes room for those whose turn it is. Who waits for room of his own is passed over; the first who waits for that
    /// of others is not, or small pieces would keep a large one waiting for ever; nor, within an organisation whose part
    /// is full, the first that waits for that.
    fn serve(&mut self) -> Vec<(oneshot::Sender<Reserved>, Part)> {
        let mut served = Vec::new();
        let mut full_orgs: HashSet<String> = HashSet::new();
        let mut after = None;
        while self.free_kib > 0
            && let Some(key) = self.next_waiting(after)
        {
            after = Some(key);
            let Some(Waiter { part, .. }) = self.waiting.get(&key) else {
                break;
            };
            if part
                .org_id
                .as_ref()
                .is_some_and(|org| full_orgs.contains(org))
            {
                continue;
            }
            if !self.is_within_parts(part) {
                full_orgs.extend(part.org_id.clone().filter(|_| self.is_within_node(part)));
                continue;
            }
            if part.kib > self.free_kib {
                break;
            }
            if let Some(Waiter { part, turn }) = self.waiting.remove(&key) {
                self.no_longer_waits(&part);
                self.shares.served(key);
                self.take(&part);
                served.push((turn, part));
            }
        }
        served
    }

    fn next_waiting(&self, after: Option<Turn>) -> Option<Turn> {
        let after = after.map_or(Unbounded, Excluded);
        self.waiting
            .range((after, Unbounded))
            .next()
            .map(|(key, _)| *key)
    }
}

#[cfg(test)]
impl Reserved {
    /// Room of a budget of its own.
    pub(super) fn alone() -> Self {
        let part = Part {
            node_id: NodeId::parse("n").expect("id"),
            org_id: None,
            kib: 1,
        };
        let room = Room::with_kib(1);
        room.lock().take(&part);
        Self { room, part }
    }
}

#[cfg(test)]
mod tests;
