//! Which nodes the lifecycle task should look at.
//!
//! A node is in here once, however often something happens to it: the number of nodes is the limit, and nothing is
//! dropped.

use dgon_protocol::id::NodeId;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Nodes to which something happened.
#[derive(Debug, Default)]
pub struct Attention {
    nodes: Mutex<HashSet<NodeId>>,
    unsure: Mutex<HashSet<NodeId>>,
    wake: Notify,
}

impl Attention {
    /// Something happened to a node.
    pub fn look_at(&self, node_id: &NodeId) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.contains(node_id) {
            return;
        }
        nodes.insert(node_id.clone());
        drop(nodes);
        self.wake.notify_one();
    }

    /// What memory says of a node may not be what the database says: it is read again.
    pub fn unsure_of(&self, node_id: &NodeId) {
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        unsure.insert(node_id.clone());
        drop(unsure);
        self.wake.notify_one();
    }

    /// The nodes to be read again; they are forgotten here.
    pub fn take_unsure(&self) -> HashSet<NodeId> {
        std::mem::take(&mut *self.unsure.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there are some.
    pub async fn some(&self) {
        self.wake.notified().await;
    }

    /// All of them; they are forgotten here.
    pub fn take(&self) -> HashSet<NodeId> {
        std::mem::take(&mut *self.nodes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
