//! Open links, one per node at most, and how the rest of the program reaches them.

use dgon_protocol::frame::ToAgent;
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
}

/// How to reach one session.
#[derive(Debug)]
pub struct SessionHandle {
    /// Name of the session.
    pub session_id: String,
    frames: mpsc::Sender<Outbound>,
    end: watch::Sender<Option<SessionEnd>>,
}

impl SessionHandle {
    /// A handle, and the two ends that the session itself reads.
    pub fn new(
        session_id: String,
    ) -> (
        Self,
        mpsc::Receiver<Outbound>,
        watch::Receiver<Option<SessionEnd>>,
    ) {
        let (frames, outbox) = mpsc::channel(FRAMES_QUEUED);
        let (end, ended) = watch::channel(None);
        (
            Self {
                session_id,
                frames,
                end,
            },
            outbox,
            ended,
        )
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

    /// Queues a frame. False when the node has no session or its queue is full.
    pub fn send(&self, node_id: &NodeId, frame: ToAgent) -> bool {
        self.lock()
            .get(node_id)
            .is_some_and(|handle| handle.frames.try_send(Box::new(frame)).is_ok())
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
