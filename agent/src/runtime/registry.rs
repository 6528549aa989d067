//! The list of runtimes that is kept fresh, and its watch channel.
//!
//! Each endpoint is looked at on its own, so that one that hangs holds up no other. A runtime whose port refuses is
//! gone at once; one that does not answer in time is kept for `MISSES` looks, for busy runtimes do that.
//!
//! A change is noticed within [`RegistrySettings::every`] and the time that the endpoint takes to answer. A well-known
//! port on which something else listens is asked less and less, down to once a minute: its owner did not ask for our
//! questions, and its log fills with them. It is asked as often as any other again once nobody listens there or
//! something else does, and at once when somebody wants a look.

use super::adapter::Depth;
use super::look::{Look, look};
use super::pace::Pace;
use super::{Endpoint, FoundRuntime, NamedEndpoint, Registry};
use dgon_agent_dataplane::runtime::{LooksWanted, RegistryFeed};
use futures_util::future::join_all;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Looks without an answer after which a runtime is gone.
const MISSES: u32 = 2;
/// Every how many looks version and metrics are read.
const DEEP_EVERY: u32 = 3;

/// Where to look, and how often.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// Endpoints that the owner named.
    pub endpoints: Vec<NamedEndpoint>,
    /// Whether to look at the well-known ports too.
    pub detect: bool,
    /// Those ports.
    pub well_known: Vec<Endpoint>,
    /// Endpoints that are never runtimes: the agent's own proxy and the control plane.
    pub exclude: Vec<Endpoint>,
    /// Time between two looks at one endpoint.
    pub every: Duration,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            detect: true,
            well_known: Endpoint::defaults(),
            exclude: Vec::new(),
            every: Duration::from_secs(4),
        }
    }
}

/// Starts to look, in a task of its own; it ends when the last handle on the list is dropped.
pub fn keep_looking(settings: RegistrySettings) -> Registry {
    let (registry, feed) = Registry::new();
    tokio::spawn(keep_fresh(settings, feed));
    registry
}

/// Looks once.
pub async fn discover(settings: &RegistrySettings) -> Vec<FoundRuntime> {
    let mut places = Place::all(settings);
    join_all(places.iter_mut().map(|place| place.look(Depth::Deep))).await;
    places.into_iter().filter_map(|place| place.last).collect()
}

async fn keep_fresh(settings: RegistrySettings, feed: RegistryFeed) {
    let RegistryFeed {
        list,
        asked,
        looked,
    } = feed;
    let places = Place::all(&settings);
    if places.is_empty() {
        looked.send_replace(true);
    }
    let board = Board {
        seen: Mutex::new(vec![Seen::NotYet; places.len()]),
        list,
        looked,
    };
    let looking = places
        .into_iter()
        .enumerate()
        .map(|(at, place)| place.keep_looking(at, &board, settings.every, asked.clone()));
    tokio::select! {
        _ = join_all(looking) => {}
        () = board.list.closed() => {}
    }
}

/// What is known of a place.
#[derive(Clone, PartialEq)]
enum Seen {
    /// The first look at it has not ended.
    NotYet,
    /// What the last look found.
    Found(Option<FoundRuntime>),
}

impl Seen {
    fn runtime(&self) -> Option<&FoundRuntime> {
        match self {
            Self::NotYet => None,
            Self::Found(found) => found.as_ref(),
        }
    }
}

/// What was last seen at every place, in the order of the places, and the list that is made of it.
struct Board {
    seen: Mutex<Vec<Seen>>,
    list: watch::Sender<Arc<Vec<FoundRuntime>>>,
    looked: watch::Sender<bool>,
}

impl Board {
    fn put(&self, at: usize, found: Option<&FoundRuntime>) {
        let found = Seen::Found(found.cloned());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = seen.get_mut(at).filter(|place| **place != found) else {
            return;
        };
        let known = std::mem::replace(place, found.clone());
        if known.runtime() != found.runtime() {
            log_change(known.runtime(), found.runtime());
            let now: Vec<_> = seen.iter().filter_map(Seen::runtime).cloned().collect();
            self.list.send_replace(Arc::new(now));
        }
        // After the list, so that who waited for the looks finds what they found.
        if known == Seen::NotYet && !seen.contains(&Seen::NotYet) {
            self.looked.send_replace(true);
        }
    }
}

/// One endpoint and what was last seen there.
struct Place {
    named: NamedEndpoint,
    /// The owner named it, so that it is asked often whatever listens there.
    is_named: bool,
    last: Option<FoundRuntime>,
    misses: u32,
    pace: Pace,
}

impl Place {
    /// What the owner named first, then the well-known ports; each once, without the excluded ones.
    fn all(settings: &RegistrySettings) -> Vec<Self> {
        let excluded: Vec<_> = settings.exclude.iter().map(Endpoint::normalised).collect();
        let mut wanted = settings.endpoints.clone();
        let is_named = |endpoint: &Endpoint| {
            let mut named = settings.endpoints.iter();
            named.any(|named| named.endpoint == *endpoint)
        };
        if settings.detect {
            wanted.extend(settings.well_known.iter().cloned().map(NamedEndpoint::from));
        }
        let mut taken: Vec<Endpoint> = Vec::new();
        wanted.retain(|named| {
            let normalised = named.endpoint.normalised();
            let is_new = !excluded.contains(&normalised) && !taken.contains(&normalised);
            taken.push(normalised);
            is_new
        });
        wanted
            .into_iter()
            .map(|named| Self {
                is_named: is_named(&named.endpoint),
                named,
                last: None,
                misses: 0,
                pace: Pace::default(),
            })
            .collect()
    }

    async fn keep_looking(
        mut self,
        at: usize,
        board: &Board,
        every: Duration,
        mut asked: watch::Receiver<LooksWanted>,
    ) {
        let mut answered = asked.borrow_and_update().at(&self.named.endpoint);
        let mut due = Instant::now();
        for number in 0u32.. {
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => break,
                    // An error says that nobody can ask any more: then the list closes too.
                    changed = asked.changed() => if changed.is_err() { return },
                }
                let wanted = asked.borrow_and_update().at(&self.named.endpoint);
                if wanted != answered {
                    answered = wanted;
                    break;
                }
            }
            let depth = if number.is_multiple_of(DEEP_EVERY) {
                Depth::Deep
            } else {
                Depth::Shallow
            };
            self.look(depth).await;
            board.put(at, self.last.as_ref());
            due = Instant::now() + self.pace.pause(every);
        }
    }

    async fn look(&mut self, depth: Depth) {
        let seen = look(&self.named, self.last.as_ref(), depth).await;
        match &seen {
            Look::Stranger(face) if !self.is_named => self.pace.saw_stranger(*face),
            Look::Found(_) | Look::Nothing | Look::NoAnswer | Look::Stranger(_) => {
                self.pace.saw_other();
            }
        }
        match seen {
            Look::Found(found) => {
                self.misses = 0;
                self.last = Some(found);
            }
            Look::Nothing | Look::Stranger(_) => self.last = None,
            Look::NoAnswer => {
                self.misses += 1;
                if self.misses > MISSES {
                    self.last = None;
                }
            }
        }
    }
}

fn log_change(known: Option<&FoundRuntime>, found: Option<&FoundRuntime>) {
    if known.map(|known| known.kind) == found.map(|found| found.kind) {
        return;
    }
    if let Some(gone) = known {
        tracing::info!(runtime = gone.kind.as_str(), endpoint = %gone.endpoint, "runtime gone");
    }
    if let Some(new) = found {
        tracing::info!(runtime = new.kind.as_str(), endpoint = %new.endpoint, version = new.version, "runtime found");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_noticed_within_five_seconds() {
        // One question more than the interval is left for the answer itself.
        assert!(RegistrySettings::default().every <= Duration::from_secs(4));
    }

    #[test]
    fn places_are_looked_at_once_and_never_where_we_listen_ourselves() {
        let places = Place::all(&RegistrySettings {
            endpoints: vec![
                Endpoint::new("gpu-box", 8000).into(),
                Endpoint::new("localhost", 8000).into(),
            ],
            exclude: vec![Endpoint::new("localhost", 8080)],
            ..RegistrySettings::default()
        });
        let seen: Vec<_> = places
            .iter()
            .map(|place| place.named.endpoint.authority())
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
