//! Typed events, in memory, bounded.
//!
//! A slow reader loses the oldest events and is told how many ([`RecvError::Lagged`]); it then reads the
//! state anew. Nobody waits for a reader. Events say what changed; what it is now, the store and
//! [`crate::presence`] say.

use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Fields;
use std::sync::Arc;
use tokio::sync::broadcast;

pub use tokio::sync::broadcast::error::RecvError;

const EVENTS_KEPT: usize = 1024;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A node's status, inventory or connection changed, or it is new.
    Node {
        /// Which node.
        node_id: NodeId,
    },
    /// A heartbeat came; presence has it.
    Heartbeat {
        /// Which node.
        node_id: NodeId,
        /// When, unix ms.
        at_ms: i64,
    },
    /// Receipts of one transaction are durable.
    Receipts(Arc<[CommittedReceipt]>),
}

/// One durable receipt.
#[derive(Debug, Clone)]
pub struct CommittedReceipt {
    /// What it says.
    pub fields: Fields,
    /// The region that the network has its node in.
    pub region: String,
    /// The organisation whose it is.
    pub org_id: Option<String>,
    /// When it was committed, unix ms.
    pub received_at_ms: i64,
}

/// Where events go.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Event>);

impl Default for Bus {
    fn default() -> Self {
        Self(broadcast::channel(EVENTS_KEPT).0)
    }
}

impl Bus {
    /// Tells every reader.
    pub fn send(&self, event: Event) {
        // No reader is no fault.
        let _ = self.0.send(event);
    }

    /// Reads events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }

    /// Whether anybody reads, so that a sender can skip preparing an event.
    pub fn has_readers(&self) -> bool {
        self.0.receiver_count() > 0
    }
}
