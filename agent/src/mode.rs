//! Whether this node takes work from the network: what its owner and the control plane have asked for.
//!
//! Requests of the machine's own users are served in every mode; only the network's work stops.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::watch;

/// What the node takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Work from the network.
    Serving,
    /// None until it is resumed.
    Paused,
    /// None any more; what runs is finished.
    Draining,
}

/// The mode, shared by link, local socket and heartbeat.
#[derive(Debug, Clone)]
pub struct ModeSwitch(Arc<watch::Sender<Mode>>);

impl Default for ModeSwitch {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Mode::Serving)))
    }
}

impl ModeSwitch {
    /// The mode in force.
    pub fn get(&self) -> Mode {
        *self.0.borrow()
    }

    /// Changes it; watchers are told only of a real change.
    pub fn set(&self, mode: Mode) {
        self.0.send_if_modified(|current| {
            let is_new = *current != mode;
            *current = mode;
            is_new
        });
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<Mode> {
        self.0.subscribe()
    }
}
