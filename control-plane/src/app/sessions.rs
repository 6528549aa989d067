//! Open links, one per node at most, and how the rest of the program reaches them.
//!
//! A session opens and closes here and in [`crate::presence`] in one step, under the lock of this map: which of several
//! sessions of a node stays is decided once, and what is shown of the node is that session.

use super::App;
use crate::bus::Event;
use crate::presence::Report;
use dgon_protocol::frame::{NodeStatus, ToAgent};
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::FRAMES_QUEUED;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, watch};

/// A frame for an agent.
pub type Outbound = Box<ToAgent>;

/// Why a session is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// A newer session of the same node took over.
    Replaced,
    /// The node was retired.
    Retired,
    /// The control plane stops.
    Draining,
    /// The node does not read what it is told.
    Behind,
}

/// How to reach one session.
#[derive(Debug)]
pub struct SessionHandle {
    /// Name of the session.
    pub session_id: String,
    status: watch::Sender<Option<NodeStatus>>,
    urgent: mpsc::Sender<Outbound>,
    probes: mpsc::Sender<Outbound>,
    rows: Arc<Notify>,
    end: watch::Sender<Option<SessionEnd>>,
}

/// What the session itself reads.
#[derive(Debug)]
pub struct SessionQueues {
    /// Why it must end.
    pub ended: watch::Receiver<Option<SessionEnd>>,
    /// What its node is told.
    pub told: Told,
}

/// What a node is told, the most important first.
#[derive(Debug)]
pub struct Told {
    /// The node's status, the latest alone: it cannot pile up and cannot be lost.
    pub status: watch::Receiver<Option<NodeStatus>>,
    /// What the node must be told. One that does not fit ends the session: the next one begins with the whole truth.
    pub urgent: mpsc::Receiver<Outbound>,
    /// Probes. Each is a row in the database as well, so one that does not fit is sent later.
    pub probes: mpsc::Receiver<Outbound>,
    /// Rung when an order of a person waits in the database.
    pub rows: Arc<Notify>,
}

impl SessionHandle {
    /// A handle, and the ends that the session itself reads.
    pub fn new(session_id: String) -> (Self, SessionQueues) {
        let (end, ended) = watch::channel(None);
        let (status_sender, status) = watch::channel(None);
        let (urgent_sender, urgent) = mpsc::channel(FRAMES_QUEUED);
        let (probes_sender, probes) = mpsc::channel(FRAMES_QUEUED);
        let rows = Arc::new(Notify::new());
        let handle = Self {
            session_id,
            status: status_sender,
            urgent: urgent_sender,
            probes: probes_sender,
            rows: Arc::clone(&rows),
            end,
        };
        let told = Told {
            status,
            urgent,
            probes,
            rows,
        };
        let queues = SessionQueues { ended, told };
        (handle, queues)
    }
}

/// All open sessions.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<NodeId, SessionHandle>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, SessionHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session opened, and `show` shows it. An older one of the same node is told to go.
    fn open(&self, node_id: &NodeId, handle: SessionHandle, show: impl FnOnce()) {
        let mut sessions = self.lock();
        let older = sessions.insert(node_id.clone(), handle);
        show();
        drop(sessions);
        if let Some(older) = older {
            older.end.send_replace(Some(SessionEnd::Replaced));
        }
    }

    /// A session closed, and `hide` shows it no more. False, and nothing happens, when a newer one is there.
    fn close(&self, node_id: &NodeId, session_id: &str, hide: impl FnOnce()) -> bool {
        let mut sessions = self.lock();
        let is_current = sessions
            .get(node_id)
            .is_some_and(|handle| handle.session_id == session_id);
        if is_current {
            sessions.remove(node_id);
            hide();
        }
        is_current
    }

    /// Name of the session of a node that is open.
    pub fn session_id(&self, node_id: &NodeId) -> Option<String> {
        let sessions = self.lock();
        let handle = sessions.get(node_id)?;
        Some(handle.session_id.clone())
    }

    /// The node has another status.
    pub fn status(&self, node_id: &NodeId, status: NodeStatus) {
        if let Some(handle) = self.lock().get(node_id) {
            handle.status.send_replace(Some(status));
        }
    }

    /// Tells a node something that it must not miss; a session whose queue is full ends.
    pub fn tell(&self, node_id: &NodeId, frame: ToAgent) {
        if let Some(handle) = self.lock().get(node_id)
            && handle.urgent.try_send(Box::new(frame)).is_err()
        {
            handle.end.send_replace(Some(SessionEnd::Behind));
        }
    }

    /// An order for a node waits in the database. Where it has no session, its next one begins with it.
    pub fn orders_wait(&self, node_id: &NodeId) {
        if let Some(handle) = self.lock().get(node_id) {
            handle.rows.notify_one();
        }
    }

    /// Sends a node a probe. False when it has no session or its queue is full: it is sent again later.
    pub fn probe(&self, node_id: &NodeId, frame: ToAgent) -> bool {
        self.lock()
            .get(node_id)
            .is_some_and(|handle| handle.probes.try_send(Box::new(frame)).is_ok())
    }

    /// Ends the session of a node.
    pub fn end(&self, node_id: &NodeId, why: SessionEnd) {
        if let Some(handle) = self.lock().get(node_id) {
            handle.end.send_replace(Some(why));
        }
    }

    /// Ends all sessions.
    pub fn end_all(&self, why: SessionEnd) {
        for handle in self.lock().values() {
            handle.end.send_replace(Some(why));
        }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().len()
    }
}

impl App {
    /// A session stands, with what its node said of itself.
    pub(crate) fn session_opened(&self, node_id: &NodeId, handle: SessionHandle, report: Report) {
        let session_id = handle.session_id.clone();
        let at = (self.clock.now_ms(), self.clock.mono_ms());
        self.sessions.open(node_id, handle, || {
            self.presence.connect(node_id, session_id, at, report);
        });
        // Whoever retires a node takes its life away and then ends its session: one of the two sees the other.
        if self.lifecycles.get(node_id).is_none() {
            self.sessions.end(node_id, SessionEnd::Retired);
        }
        self.session_changed(node_id);
    }

    /// A session is over.
    pub(crate) fn session_closed(&self, node_id: &NodeId, session_id: &str) {
        let hide = || self.presence.disconnect(node_id, session_id);
        if self.sessions.close(node_id, session_id, hide) {
            self.session_changed(node_id);
        }
    }

    fn session_changed(&self, node_id: &NodeId) {
        metrics::gauge!("link_sessions").set(self.sessions.count() as f64);
        self.bus.send(Event::Node {
            node_id: node_id.clone(),
        });
        self.attention.look_at(node_id);
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::app::{Clock, MasterKey, Settings};
    use dgon_control_plane_store::Store;

    #[tokio::test]
    async fn a_node_that_was_retired_while_it_proved_itself_is_told_to_go() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let url = format!("sqlite:{}", dir.path().join("dgon.db").display());
        let store = Store::open(&url).await.expect("open");
        let key = MasterKey::from_bytes([7; 32]);
        let app = App::new(store, Settings::default(), key, Clock::system());
        let (handle, queues) = SessionHandle::new("s".to_owned());
        let node_id = NodeId::parse("gone").expect("id");
        app.session_opened(&node_id, handle, Report::default());
        assert_eq!(*queues.ended.borrow(), Some(SessionEnd::Retired));
    }
}
