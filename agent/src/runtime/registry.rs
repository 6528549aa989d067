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
use super::detection::{Detection, detect};
use super::poll_backoff::PollBackoff;
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
pub fn watch_endpoints(settings: RegistrySettings) -> Registry {
    let (registry, feed) = Registry::new();
    tokio::spawn(keep_fresh(settings, feed));
    registry
}

/// Looks once.
pub async fn discover(settings: &RegistrySettings) -> Vec<FoundRuntime> {
    let mut endpoints = WatchedEndpoint::all(settings);
    join_all(
        endpoints
            .iter_mut()
            .map(|endpoint| endpoint.look(Depth::Deep)),
    )
    .await;
    endpoints
        .into_iter()
        .filter_map(|endpoint| endpoint.last)
        .collect()
}

async fn keep_fresh(settings: RegistrySettings, feed: RegistryFeed) {
    let RegistryFeed {
        list,
        asked,
        looked,
    } = feed;
    let endpoints = WatchedEndpoint::all(&settings);
    if endpoints.is_empty() {
        looked.send_replace(true);
    }
    let found_list = FoundList {
        seen: Mutex::new(vec![Seen::NotYet; endpoints.len()]),
        list,
        looked,
    };
    let began = Instant::now();
    let looking = endpoints.into_iter().enumerate().map(|(at, endpoint)| {
        endpoint.watch(at, &found_list, (began, settings.every), asked.clone())
    });
    tokio::select! {
        _ = join_all(looking) => {}
        () = found_list.list.closed() => {}
    }
}

/// The tick of all endpoints that is nearest to `due` and not long before it: endpoints that are looked at together wake
/// an idle machine once.
fn next_tick(began: Instant, every: Duration, due: Instant) -> Instant {
    if every.is_zero() {
        return due;
    }
    let ticks = due.duration_since(began).div_duration_f64(every).round();
    began + every.mul_f64(ticks.max(1.0))
}

/// What is known of an endpoint.
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

/// What was last seen at every endpoint, in the order of the endpoints, and the list that is made of it.
struct FoundList {
    seen: Mutex<Vec<Seen>>,
    list: watch::Sender<Arc<Vec<FoundRuntime>>>,
    looked: watch::Sender<bool>,
}

impl FoundList {
    fn put(&self, at: usize, found: Option<&FoundRuntime>) {
        let found = Seen::Found(found.cloned());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(endpoint) = seen.get_mut(at).filter(|endpoint| **endpoint != found) else {
            return;
        };
        let known = std::mem::replace(endpoint, found.clone());
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
struct WatchedEndpoint {
    named: NamedEndpoint,
    /// The owner named it, so that it is asked often whatever listens there.
    is_named: bool,
    last: Option<FoundRuntime>,
    misses: u32,
    backoff: PollBackoff,
}

impl WatchedEndpoint {
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
                backoff: PollBackoff::default(),
            })
            .collect()
    }

    async fn watch(
        mut self,
        at: usize,
        found_list: &FoundList,
        (began, every): (Instant, Duration),
        mut asked: watch::Receiver<LooksWanted>,
    ) {
        let mut answered = asked.borrow_and_update().at(&self.named.endpoint);
        let mut due = began;
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
            found_list.put(at, self.last.as_ref());
            due = next_tick(began, every, Instant::now() + self.backoff.pause(every));
        }
    }

    async fn look(&mut self, depth: Depth) {
        let seen = detect(&self.named, self.last.as_ref(), depth).await;
        match &seen {
            Detection::Unrelated(fingerprint) if !self.is_named => {
                self.backoff.saw_unrelated(*fingerprint)
            }
            Detection::Found(_)
            | Detection::Nothing
            | Detection::NoAnswer
            | Detection::Unrelated(_) => {
                self.backoff.saw_other();
            }
        }
        match seen {
            Detection::Found(found) => {
                self.misses = 0;
                self.last = Some(found);
            }
            Detection::Nothing | Detection::Unrelated(_) => self.last = None,
            Detection::NoAnswer => {
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
    fn looks_that_are_due_at_about_the_same_time_are_due_at_once() {
        let (began, every) = (Instant::now(), Duration::from_secs(4));
        let tick = |ms| next_tick(began, every, began + Duration::from_millis(ms)) - began;
        for (due_ms, tick_s) in [(1, 4), (4_010, 4), (4_900, 4), (7_990, 8), (68_003, 68)] {
            assert_eq!(tick(due_ms), Duration::from_secs(tick_s), "{due_ms}");
        }
        assert_eq!(next_tick(began, Duration::ZERO, began), began);
    }

    #[test]
    fn endpoints_are_looked_at_once_and_never_where_we_listen_ourselves() {
        let endpoints = WatchedEndpoint::all(&RegistrySettings {
            endpoints: vec![
                Endpoint::new("gpu-box", 8000).into(),
                Endpoint::new("localhost", 8000).into(),
            ],
            exclude: vec![Endpoint::new("localhost", 8080)],
            ..RegistrySettings::default()
        });
        let seen: Vec<_> = endpoints
            .iter()
            .map(|endpoint| endpoint.named.endpoint.authority())
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
