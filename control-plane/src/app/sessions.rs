//! Open links, one per node at most, and how the rest of the program reaches them.
//!
//! A session opens and closes here and in [`crate::presence`] in one step, under the lock of this map: which of several
//! sessions of a node stays is decided once, and what is shown of the node is that session.

use super::App;
use super::queues::{Latest, Queue};
use crate::bus::Event;
use crate::presence::Report;
use crate::relay::{Lost, OpenError, Request, Room, Stream, Streams};
use dgon_protocol::frame::{NodeStatus, ToAgent};
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::FRAMES_QUEUED;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A frame for an agent.
pub type Outbound = Box<ToAgent>;

/// Why a session is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// A newer session of the same node took over.
    Replaced,
    /// The node was retired.
    Retired,
    /// The node was passed on to another organisation.
    PassedOn,
    /// The control plane stops.
    Draining,
    /// The node does not read what it is told.
    Behind,
    /// It has had as many relay streams as a session can have.
    Spent,
}

/// What waits for one session, of its own node.
#[derive(Debug)]
pub struct Mailbox {
    /// Why it must end.
    pub ended: Latest<SessionEnd>,
    /// The node's status, the latest alone: it cannot pile up and cannot be lost.
    pub status: Latest<NodeStatus>,
    /// What the node must be told. One that does not fit ends the session: the next one begins with the whole truth.
    pub urgent: Queue<Outbound>,
    /// Probes. Each is a row in the database as well, so one that does not fit is sent later.
    pub probes: Queue<Outbound>,
    /// Rung when an order of a person waits in the database.
    pub rows: Notify,
    /// Rung when the live set of order keys is another; it is read when it is sent, so it cannot pile up and cannot be lost.
    pub order_keys: Notify,
    /// Relayed requests and their answers.
    pub relay: Arc<Streams>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            ended: Latest::default(),
            status: Latest::default(),
            urgent: Queue::new(FRAMES_QUEUED),
            probes: Queue::new(FRAMES_QUEUED),
            rows: Notify::new(),
            order_keys: Notify::new(),
            relay: Arc::default(),
        }
    }
}

impl Mailbox {
    /// Ends the session, and its streams at once.
    fn end(&self, why: SessionEnd) {
        self.relay.lose(match why {
            SessionEnd::Replaced => Lost::Replaced,
            SessionEnd::Retired
            | SessionEnd::PassedOn
            | SessionEnd::Draining
            | SessionEnd::Behind
            | SessionEnd::Spent => Lost::Ended,
        });
        self.ended.set(why);
    }
}

/// The mailbox in the hands of its session: when that is over, however it ended, so are its streams.
#[derive(Debug)]
pub struct OwnMailbox(Arc<Mailbox>);

impl Deref for OwnMailbox {
    type Target = Mailbox;

    fn deref(&self) -> &Mailbox {
        &self.0
    }
}

impl Drop for OwnMailbox {
    fn drop(&mut self) {
        self.0.relay.lose(Lost::Ended);
    }
}

/// How to reach one session.
#[derive(Debug)]
pub struct SessionHandle {
    /// Name of the session.
    pub session_id: String,
    mailbox: Arc<Mailbox>,
}

impl SessionHandle {
    /// A handle, and what the session itself reads.
    pub fn new(session_id: String) -> (Self, OwnMailbox) {
        let mailbox = Arc::new(Mailbox::default());
        let handle = Self {
            session_id,
            mailbox: Arc::clone(&mailbox),
        };
        (handle, OwnMailbox(mailbox))
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
            older.mailbox.end(SessionEnd::Replaced);
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
            handle.mailbox.status.set(status);
        }
    }

    /// Tells a node something that it must not miss; a session whose queue is full ends.
    pub fn tell(&self, node_id: &NodeId, frame: ToAgent) {
        if let Some(handle) = self.lock().get(node_id)
            && !handle.mailbox.urgent.try_push(Box::new(frame))
        {
            handle.mailbox.end(SessionEnd::Behind);
        }
    }

    /// An order for a node waits in the database. Where it has no session, its next one begins with it.
    pub fn orders_wait(&self, node_id: &NodeId) {
        if let Some(handle) = self.lock().get(node_id) {
            handle.mailbox.rows.notify_one();
        }
    }

    /// The live set of order keys is another: all open sessions tell their nodes.
    pub fn order_keys_changed(&self) {
        for handle in self.lock().values() {
            handle.mailbox.order_keys.notify_one();
        }
    }

    /// Opens a relay stream to a node, from whatever task or thread.
    ///
    /// # Errors
    /// [`OpenError`]: the node has heard nothing of it.
    pub fn open_stream(
        &self,
        node_id: &NodeId,
        request: &Request<'_>,
        room: &Room,
    ) -> Result<Stream, OpenError> {
        let mailbox = {
            let sessions = self.lock();
            let handle = sessions.get(node_id).ok_or(OpenError::NoSession)?;
            Arc::clone(&handle.mailbox)
        };
        let opened = mailbox.relay.open(request, room);
        if let Err(OpenError::Spent) = opened {
            mailbox.end(SessionEnd::Spent);
        }
        opened
    }

    /// Sends a node a probe. False when it has no session or its queue is full: it is sent again later.
    pub fn probe(&self, node_id: &NodeId, frame: ToAgent) -> bool {
        self.lock()
            .get(node_id)
            .is_some_and(|handle| handle.mailbox.probes.try_push(Box::new(frame)))
    }

    /// Ends the session of a node.
    pub fn end(&self, node_id: &NodeId, why: SessionEnd) {
        if let Some(handle) = self.lock().get(node_id) {
            handle.mailbox.end(why);
        }
    }

    /// Ends all sessions.
    pub fn end_all(&self, why: SessionEnd) {
        for handle in self.lock().values() {
            handle.mailbox.end(why);
        }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().len()
    }
}

impl App {
    /// Asks a node for an answer.
    ///
    /// # Errors
    /// [`OpenError`]: the node has heard nothing of it.
    pub fn open_stream(
        &self,
        node_id: &NodeId,
        request: &Request<'_>,
    ) -> Result<Stream, OpenError> {
        self.sessions
            .open_stream(node_id, request, &self.relay_room)
    }

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

    /// A node belongs to another organisation now: whoever spoke for it until then does no longer.
    pub fn node_passed_on(&self, node_id: &NodeId) {
        self.forget_node(node_id);
        self.sessions.end(node_id, SessionEnd::PassedOn);
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
        let (handle, mailbox) = SessionHandle::new("s".to_owned());
        let node_id = NodeId::parse("gone").expect("id");
        app.session_opened(&node_id, handle, Report::default());
        assert_eq!(mailbox.ended.take().await, SessionEnd::Retired);
    }
}
