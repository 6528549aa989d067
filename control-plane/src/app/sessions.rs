//! Open links, one per node at most, and how the rest of the program reaches them.

use dgon_protocol::frame::{NodeStatus, ToAgent};
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::FRAMES_QUEUED;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

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
    orders: mpsc::Sender<Outbound>,
    end: watch::Sender<Option<SessionEnd>>,
}

/// What the session itself reads, the most important first.
#[derive(Debug)]
pub struct SessionQueues {
    /// Why it must end.
    pub ended: watch::Receiver<Option<SessionEnd>>,
    /// The node's status, the latest alone: it cannot pile up and cannot be lost.
    pub status: watch::Receiver<Option<NodeStatus>>,
    /// What the node must be told. One that does not fit ends the session: the next one begins with the whole truth.
    pub urgent: mpsc::Receiver<Outbound>,
    /// What the node is asked to do. Each is a row in the database as well, so one that does not fit is sent later.
    pub orders: mpsc::Receiver<Outbound>,
}

impl SessionHandle {
    /// A handle, and the ends that the session itself reads.
    pub fn new(session_id: String) -> (Self, SessionQueues) {
        let (end, ended) = watch::channel(None);
        let (status_sender, status) = watch::channel(None);
        let (urgent_sender, urgent) = mpsc::channel(FRAMES_QUEUED);
        let (orders_sender, orders) = mpsc::channel(FRAMES_QUEUED);
        let handle = Self {
            session_id,
            status: status_sender,
            urgent: urgent_sender,
            orders: orders_sender,
            end,
        };
        let queues = SessionQueues {
            ended,
            status,
            urgent,
            orders,
        };
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

    /// A session opened. An older one of the same node is told to go.
    pub fn open(&self, node_id: &NodeId, handle: SessionHandle) {
        let older = self.lock().insert(node_id.clone(), handle);
        if let Some(older) = older {
            older.end.send_replace(Some(SessionEnd::Replaced));
        }
    }

    /// A session closed; nothing happens when a newer one is there.
    pub fn close(&self, node_id: &NodeId, session_id: &str) {
        let mut sessions = self.lock();
        if sessions
            .get(node_id)
            .is_some_and(|handle| handle.session_id == session_id)
        {
            sessions.remove(node_id);
        }
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

    /// Asks a node for work. False when it has no session or its queue is full: the order is sent again later.
    pub fn order(&self, node_id: &NodeId, frame: ToAgent) -> bool {
        self.lock()
            .get(node_id)
            .is_some_and(|handle| handle.orders.try_send(Box::new(frame)).is_ok())
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
