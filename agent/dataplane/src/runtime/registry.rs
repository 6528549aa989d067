//! A handle on the list of runtimes. Whoever looks for them keeps the other end, [`RegistryFeed`].

use super::{Endpoint, FoundRuntime};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A handle on the list. Clones share it; looking stops when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Registry {
    found: watch::Receiver<Arc<Vec<FoundRuntime>>>,
    look_now: Arc<watch::Sender<LooksWanted>>,
    looked: watch::Receiver<bool>,
}

/// How often looks were asked for before they were due.
#[derive(Debug, Clone, Default)]
pub struct LooksWanted {
    everywhere: u64,
    /// By endpoint. Only endpoints of the list are asked for, so there are few.
    at: HashMap<Endpoint, u64>,
}

/// Endpoints that are told apart; a look at one beyond them is a look everywhere.
const ENDPOINTS: usize = 256;

impl LooksWanted {
    /// A number that changes with every look that is wanted at this endpoint.
    pub fn at(&self, endpoint: &Endpoint) -> u64 {
        let alone = self.at.get(endpoint).copied().unwrap_or_default();
        self.everywhere.wrapping_add(alone)
    }
}

/// The other end of a [`Registry`]: where the list comes from.
#[derive(Debug)]
pub struct RegistryFeed {
    /// The list that every handle reads.
    pub list: watch::Sender<Arc<Vec<FoundRuntime>>>,
    /// Changes whenever somebody wants a look before the next one is due.
    pub asked: watch::Receiver<LooksWanted>,
    /// To be set once every endpoint was looked at.
    pub looked: watch::Sender<bool>,
}

/// How long the first look at all endpoints may hold up what waits for it. A runtime that answers does so in milliseconds.
pub const FIRST_LOOK: Duration = Duration::from_secs(3);

impl Registry {
    /// An empty list, and the end that fills it.
    pub fn new() -> (Self, RegistryFeed) {
        let (list, found) = watch::channel(Arc::default());
        let (look_now, asked) = watch::channel(LooksWanted::default());
        let (looked, looked_once) = watch::channel(false);
        let registry = Self {
            found,
            look_now: Arc::new(look_now),
            looked: looked_once,
        };
        let feed = RegistryFeed {
            list,
            asked,
            looked,
        };
        (registry, feed)
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

    /// Waits until every endpoint was looked at once, so that an empty list means that no runtime is there; ends also
    /// where nobody looks any more.
    pub async fn looked_once(&self) {
        drop(self.looked.clone().wait_for(|looked| *looked).await);
    }

    /// Whether every endpoint was looked at once.
    pub fn has_looked(&self) -> bool {
        *self.looked.borrow()
    }

    /// Tells of every change. Load figures change often; who cares for less compares what it cares for.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Vec<FoundRuntime>>> {
        self.found.clone()
    }

    /// Asks for a look at every endpoint before the next one is due.
    pub fn look_now(&self) {
        self.look_now.send_modify(|wanted| {
            wanted.everywhere = wanted.everywhere.wrapping_add(1);
        });
    }

    /// Asks for a look at this endpoint alone, for one who saw its runtime fail: the others have nothing to do with it.
    pub fn look_at(&self, endpoint: &Endpoint) {
        self.look_now.send_modify(|wanted| {
            let is_known = wanted.at.contains_key(endpoint) || wanted.at.len() < ENDPOINTS;
            let times = match is_known {
                true => wanted.at.entry(endpoint.clone()).or_default(),
                false => &mut wanted.everywhere,
            };
            *times = times.wrapping_add(1);
        });
    }
}
