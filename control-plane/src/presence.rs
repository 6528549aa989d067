//! Who is connected and how they do, in memory.
//!
//! Heartbeats land here at once and are written in batches by a task. After a restart the database's last
//! heartbeat stands until the next one comes. One entry per enrolled node that was seen: bounded by the nodes.

use dgon_protocol::frame::{Heartbeat, Inventory};
use dgon_protocol::id::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known of one node now.
#[derive(Debug, Clone, Default)]
pub struct NodePresence {
    /// The session that is open, if one is.
    pub session_id: Option<String>,
    /// The last heartbeat and when it came, unix ms.
    pub heartbeat: Option<(i64, Arc<Heartbeat>)>,
    /// What the node has, as it said in this session.
    pub inventory: Option<Arc<Inventory>>,
    dirty: bool,
}

impl NodePresence {
    /// Whether a session is open.
    pub fn is_connected(&self) -> bool {
        self.session_id.is_some()
    }

    /// Whether a runtime that has a model takes requests.
    pub fn has_ready_runtime(&self) -> bool {
        self.inventory.as_ref().is_some_and(|inventory| {
            inventory
                .runtimes
                .iter()
                .any(|runtime| runtime.ready && !runtime.models.is_empty())
        })
    }
}

/// All nodes that were seen since this process started.
#[derive(Debug, Default)]
pub struct Presence(Mutex<HashMap<NodeId, NodePresence>>);

impl Presence {
    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeId, NodePresence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a node.
    pub fn get(&self, node_id: &NodeId) -> Option<NodePresence> {
        self.nodes().get(node_id).cloned()
    }

    /// A copy of everything; entries are small and share their parts.
    pub fn all(&self) -> Vec<(NodeId, NodePresence)> {
        self.nodes()
            .iter()
            .map(|(id, presence)| (id.clone(), presence.clone()))
            .collect()
    }

    /// How many sessions are open.
    pub fn connected(&self) -> usize {
        self.nodes()
            .values()
            .filter(|node| node.is_connected())
            .count()
    }

    /// A session opened; it replaces an older one.
    pub fn connect(&self, node_id: &NodeId, session_id: String, inventory: Inventory) {
        let mut nodes = self.nodes();
        let node = nodes.entry(node_id.clone()).or_default();
        node.session_id = Some(session_id);
        node.inventory = Some(Arc::new(inventory));
    }

    /// A session closed. False when a newer one had taken over.
    pub fn disconnect(&self, node_id: &NodeId, session_id: &str) -> bool {
        match self.nodes().get_mut(node_id) {
            Some(node) if node.session_id.as_deref() == Some(session_id) => {
                node.session_id = None;
                true
            }
            _ => false,
        }
    }

    /// The node says what it has.
    pub fn inventory(&self, node_id: &NodeId, inventory: Inventory) {
        self.nodes().entry(node_id.clone()).or_default().inventory = Some(Arc::new(inventory));
    }

    /// A heartbeat came.
    pub fn heartbeat(&self, node_id: &NodeId, at_ms: i64, heartbeat: Heartbeat) {
        let mut nodes = self.nodes();
        let node = nodes.entry(node_id.clone()).or_default();
        node.heartbeat = Some((at_ms, Arc::new(heartbeat)));
        node.dirty = true;
    }

    /// Takes the heartbeats that are not written yet.
    pub fn take_unwritten(&self) -> Vec<(NodeId, i64, Arc<Heartbeat>)> {
        self.nodes()
            .iter_mut()
            .filter_map(|(id, node)| {
                let (at, beat) = node.heartbeat.as_ref()?;
                std::mem::take(&mut node.dirty).then(|| (id.clone(), *at, Arc::clone(beat)))
            })
            .collect()
    }
}
