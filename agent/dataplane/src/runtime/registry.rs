//! A handle on the list of runtimes. Whoever looks for them keeps the other end, [`RegistryFeed`].

use super::FoundRuntime;
use std::sync::Arc;
use tokio::sync::watch;

/// A handle on the list. Clones share it; looking stops when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Registry {
    found: watch::Receiver<Arc<Vec<FoundRuntime>>>,
    /// Counts the times that somebody asked for a look.
    look_now: Arc<watch::Sender<u64>>,
}

/// The other end of a [`Registry`]: where the list comes from.
#[derive(Debug)]
pub struct RegistryFeed {
    /// The list that every handle reads.
    pub list: watch::Sender<Arc<Vec<FoundRuntime>>>,
    /// Changes whenever somebody wants a look before the next one is due.
    pub asked: watch::Receiver<u64>,
}

impl Registry {
    /// An empty list, and the end that fills it.
    pub fn new() -> (Self, RegistryFeed) {
        let (list, found) = watch::channel(Arc::default());
        let (look_now, asked) = watch::channel(0);
        let registry = Self {
            found,
            look_now: Arc::new(look_now),
        };
        (registry, RegistryFeed { list, asked })
    }

    /// A registry whose list never changes.
    pub fn fixed(found: Vec<FoundRuntime>) -> Self {
        let (registry, feed) = Self::new();
        feed.list.send_replace(Arc::new(found));
        registry
    }

    /// What is there now.
    pub fn current(&self) -> Arc<Vec<FoundRuntime>> {
        self.found.borrow().clone()
    }

    /// Tells of every change. Load figures change often; who cares for less compares what it cares for.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Vec<FoundRuntime>>> {
        self.found.clone()
    }

    /// Asks for a look before the next one is due, for one who saw a runtime fail.
    pub fn look_now(&self) {
        self.look_now
            .send_modify(|times| *times = times.wrapping_add(1));
    }
}
