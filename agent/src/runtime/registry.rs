//! The list of runtimes that is kept fresh, and its watch channel.
//!
//! Each round asks every endpoint at once, so a round takes as long as its slowest endpoint. A runtime whose port
//! refuses is gone at once; one that does not answer in time is kept for `MISSES` rounds, for busy runtimes do
//! that.

use super::adapter::Depth;
use super::look::{Look, look};
use super::{Endpoint, FoundRuntime};
use futures_util::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;

/// Rounds without an answer after which a runtime is gone.
const MISSES: u32 = 2;
/// Every how many rounds version and metrics are read.
const DEEP_EVERY: u32 = 3;

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
        let (list, found) = watch::channel(Arc::default());
        let look_now = Arc::new(Notify::new());
        tokio::spawn(keep_fresh(settings, list, Arc::clone(&look_now)));
        Self { found, look_now }
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
        self.look_now.notify_one();
    }
}

/// Looks once.
pub async fn discover(settings: &RegistrySettings) -> Vec<FoundRuntime> {
    let mut places = Place::all(settings);
    round(&mut places, Depth::Deep).await
}

async fn keep_fresh(
    settings: RegistrySettings,
    list: watch::Sender<Arc<Vec<FoundRuntime>>>,
    look_now: Arc<Notify>,
) {
    let mut places = Place::all(&settings);
    let mut due = tokio::time::interval(settings.every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0u32.. {
        tokio::select! {
            _ = due.tick() => {}
            () = look_now.notified() => due.reset(),
            () = list.closed() => return,
        }
        let depth = if number.is_multiple_of(DEEP_EVERY) {
            Depth::Deep
        } else {
            Depth::Shallow
        };
        let found = round(&mut places, depth).await;
        list.send_if_modified(|known| {
            let is_new = **known != found;
            if is_new {
                log_changes(known, &found);
                *known = Arc::new(found);
            }
            is_new
        });
    }
}

/// One endpoint and what was last seen there.
struct Place {
    endpoint: Endpoint,
    last: Option<FoundRuntime>,
    misses: u32,
}

impl Place {
    /// What the owner named first, then the well-known ports; each once, without the excluded ones.
    fn all(settings: &RegistrySettings) -> Vec<Self> {
        let excluded: Vec<_> = settings.exclude.iter().map(Endpoint::normalised).collect();
        let mut wanted = settings.endpoints.clone();
        if settings.detect {
            wanted.extend(Endpoint::defaults());
        }
        let mut taken: Vec<Endpoint> = Vec::new();
        wanted.retain(|endpoint| {
            let normalised = endpoint.normalised();
            let is_new = !excluded.contains(&normalised) && !taken.contains(&normalised);
            taken.push(normalised);
            is_new
        });
        wanted
            .into_iter()
            .map(|endpoint| Self {
                endpoint,
                last: None,
                misses: 0,
            })
            .collect()
    }

    async fn look(&mut self, depth: Depth) {
        match look(&self.endpoint, self.last.as_ref(), depth).await {
            Look::Found(found) => {
                self.misses = 0;
                self.last = Some(found);
            }
            Look::Nothing => self.last = None,
            Look::NoAnswer => {
                self.misses += 1;
                if self.misses > MISSES {
                    self.last = None;
                }
            }
        }
    }
}

async fn round(places: &mut [Place], depth: Depth) -> Vec<FoundRuntime> {
    join_all(places.iter_mut().map(|place| place.look(depth))).await;
    places
        .iter()
        .filter_map(|place| place.last.clone())
        .collect()
}

fn log_changes(known: &[FoundRuntime], found: &[FoundRuntime]) {
    let is_same = |a: &FoundRuntime, b: &FoundRuntime| a.kind == b.kind && a.endpoint == b.endpoint;
    for new in found
        .iter()
        .filter(|new| !known.iter().any(|old| is_same(old, new)))
    {
        tracing::info!(runtime = new.kind.as_str(), endpoint = %new.endpoint, version = new.version, "runtime found");
    }
    for gone in known
        .iter()
        .filter(|old| !found.iter().any(|new| is_same(old, new)))
    {
        tracing::info!(runtime = gone.kind.as_str(), endpoint = %gone.endpoint, "runtime gone");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_looked_at_once_and_never_where_we_listen_ourselves() {
        let places = Place::all(&RegistrySettings {
            endpoints: vec![
                Endpoint::new("gpu-box", 8000),
                Endpoint::new("localhost", 8000),
            ],
            exclude: vec![Endpoint::new("localhost", 8080)],
            ..RegistrySettings::default()
        });
        let seen: Vec<_> = places
            .iter()
            .map(|place| place.endpoint.authority())
            .collect();
        assert_eq!(
            seen,
            [
                "gpu-box:8000",
                "localhost:8000",
                "127.0.0.1:11434",
                "127.0.0.1:3000",
                "127.0.0.1:80"
            ]
        );
    }
}
