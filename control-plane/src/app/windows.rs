//! Each node's last 24 hours in memory, which the nodes list shows and sorts by.
//!
//! The committer counts here what it has just committed, so a day in memory and the sums never disagree. A node is read
//! from its sums once, by the committer as well, some nodes at a time: what is committed before that is in the sums.

use super::App;
use dgon_control_plane_model::rollup::{Ending, minute_of};
use dgon_control_plane_model::window::{DayWindow, first_minute};
use dgon_control_plane_store::StoreError;
use dgon_control_plane_store::node_windows::NodeWindow;
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Fields;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nodes that are read from their rows between two commits.
const LOADS: usize = 8;

/// What a committed receipt adds to its node's day.
#[derive(Debug, Clone)]
pub struct DayFact {
    node_id: NodeId,
    ttft_ms: Option<u64>,
}

impl DayFact {
    /// Of a receipt.
    pub fn of(fields: &Fields) -> Self {
        let is_whole = Ending::of(fields.status) == Ending::Whole;
        let measured = fields.ttft_ms.filter(|_| is_whole);
        Self {
            node_id: fields.node_id.clone(),
            ttft_ms: measured.and_then(|ms| u64::try_from(ms).ok()),
        }
    }
}

/// Nodes in line, each once.
#[derive(Debug, Default)]
struct Line {
    order: VecDeque<NodeId>,
    members: HashSet<NodeId>,
}

impl Line {
    fn push(&mut self, node_id: &NodeId) {
        if self.members.insert(node_id.clone()) {
            self.order.push_back(node_id.clone());
        }
    }

    fn pop(&mut self) -> Option<NodeId> {
        let node_id = self.order.pop_front()?;
        self.members.remove(&node_id);
        Some(node_id)
    }
}

#[derive(Debug, Default)]
struct State {
    days: HashMap<NodeId, DayWindow>,
    /// Nodes with new receipts that are not in `days` yet.
    to_load: Line,
    /// Nodes whose day has changed since it was written.
    to_write: Line,
    /// First minute of the window that `days` have.
    first_minute: i64,
}

/// All nodes' days.
#[derive(Debug, Default)]
pub struct Windows(Mutex<State>);

impl Windows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what one transaction has made durable. Only the committer calls it, after the commit.
    pub fn count(&self, facts: &[DayFact], at_ms: i64) {
        let mut state = self.lock();
        let state = &mut *state;
        for fact in facts {
            match state.days.get_mut(&fact.node_id) {
                Some(day) => {
                    day.count(minute_of(at_ms), fact.ttft_ms);
                    state.to_write.push(&fact.node_id);
                }
                None => state.to_load.push(&fact.node_id),
            }
        }
    }

    /// Nodes of whom more may be stored than was counted here are read again. Only the committer calls it.
    pub fn read_again(&self, node_ids: &BTreeSet<NodeId>) {
        let mut state = self.lock();
        for node_id in node_ids {
            state.days.remove(node_id);
            state.to_load.push(node_id);
        }
    }

    /// Whether nodes wait to be read.
    pub fn is_behind(&self) -> bool {
        !self.lock().to_load.order.is_empty()
    }

    /// Reads some of the nodes that wait. Only the committer calls it, between two transactions.
    ///
    /// # Errors
    /// [`StoreError`]; the node is read another time.
    pub async fn load_some(&self, app: &App, now_ms: i64) -> Result<(), StoreError> {
        for _ in 0..LOADS {
            // It leaves the line when it is read: who waits for this may give up in between.
            let next = self.lock().to_load.order.front().cloned();
            let Some(node_id) = next else { return Ok(()) };
            let day = app.day_of(node_id.as_str(), minute_of(now_ms)).await;
            let mut state = self.lock();
            match day {
                Ok(day) => {
                    state.to_load.pop();
                    state.days.insert(node_id.clone(), day);
                    state.to_write.push(&node_id);
                }
                Err(error) => {
                    // Behind the others, whose rows may be sound.
                    state.to_load.pop();
                    state.to_load.push(&node_id);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether a node's day is here.
    pub fn has(&self, node_id: &NodeId) -> bool {
        self.lock().days.contains_key(node_id)
    }

    /// Lets the hours pass: every day that is here is written anew when one has ended.
    pub fn advance(&self, now_ms: i64) {
        let minute = minute_of(now_ms);
        let mut state = self.lock();
        let state = &mut *state;
        if std::mem::replace(&mut state.first_minute, first_minute(minute)) == first_minute(minute)
        {
            return;
        }
        for (node_id, day) in &mut state.days {
            day.forget_before(minute);
            state.to_write.push(node_id);
        }
    }

    /// Takes some of the days that are not written, as they are now.
    pub fn take(&self, limit: usize, now_ms: i64) -> Vec<NodeWindow> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(node_id) = state.to_write.pop()
        {
            let Some(day) = state.days.get(&node_id) else {
                continue;
            };
            taken.push(NodeWindow::of(node_id.as_str(), minute_of(now_ms), day));
            if day.is_empty() {
                state.days.remove(&node_id);
            }
        }
        taken
    }

    /// Days that could not be written are taken again.
    pub fn not_written(&self, windows: &[NodeWindow]) {
        let mut state = self.lock();
        for window in windows {
            if let Ok(node_id) = NodeId::parse(window.node_id.as_str()) {
                if window.requests == 0 {
                    state.days.entry(node_id.clone()).or_default();
                }
                state.to_write.push(&node_id);
            }
        }
    }
}
