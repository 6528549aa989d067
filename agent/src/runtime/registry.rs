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
use super::{Endpoint, EndpointReport, EndpointState, FoundRuntime, NamedEndpoint, Registry};
use crate::timer_borders;
use dgon_agent_dataplane::runtime::{LooksWanted, RegistryFeed};
use futures_util::future::join_all;
use std::net::SocketAddr;
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
    /// Where the agent's own proxy listens, which is never a runtime.
    pub proxy: Option<SocketAddr>,
    /// The control plane, which is none either.
    pub control_plane: Option<Endpoint>,
    /// Time between two looks at one endpoint.
    pub every: Duration,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            detect: true,
            well_known: Endpoint::defaults(),
            proxy: None,
            control_plane: None,
            every: timer_borders::BORDER,
        }
    }
}

/// What is known of every endpoint that the owner named, and of every other one where a runtime answers.
pub type EndpointReports = watch::Receiver<Arc<Vec<EndpointReport>>>;

/// Starts to look, in a task of its own; it ends when the last handle on the list is dropped.
pub fn watch_endpoints(settings: RegistrySettings) -> Registry {
    watch_and_report(settings).0
}

/// The same, and what the looks come to.
pub fn watch_and_report(settings: RegistrySettings) -> (Registry, EndpointReports) {
    let (registry, feed) = Registry::new();
    let (reports_out, reports) = watch::channel(Arc::default());
    tokio::spawn(keep_fresh(settings, feed, reports_out));
    (registry, reports)
}

/// What one look came to.
#[derive(Debug)]
pub struct Look {
    /// The runtimes that answer.
    pub found: Vec<FoundRuntime>,
    /// The same for people, with the places that the owner named and where none answers.
    pub reports: Vec<EndpointReport>,
}

/// Looks once; the runtimes that answer.
pub async fn discover(settings: &RegistrySettings) -> Vec<FoundRuntime> {
    look_once(settings).await.found
}

/// Looks once.
pub async fn look_once(settings: &RegistrySettings) -> Look {
    let endpoints = looked_at(settings).await;
    let mut reports = never_asked(settings);
    reports.extend(endpoints.iter().filter_map(|endpoint| {
        let (named, seen) = (endpoint.told_as(), endpoint.seen());
        report(&named, &seen)
    }));
    let found = endpoints.into_iter().filter_map(|endpoint| endpoint.last);
    Look {
        found: found.collect(),
        reports,
    }
}

async fn looked_at(settings: &RegistrySettings) -> Vec<WatchedEndpoint> {
    let mut endpoints = WatchedEndpoint::all(settings);
    join_all(
        endpoints
            .iter_mut()
            .map(|endpoint| endpoint.look(Depth::Deep)),
    )
    .await;
    endpoints
}

impl RegistrySettings {
    /// Whether no runtime can be there.
    fn excludes(&self, endpoint: &Endpoint) -> bool {
        let (proxy, control_plane) = (self.proxy, self.control_plane.as_ref());
        proxy.is_some_and(|proxy| endpoint.reaches(proxy))
            || control_plane.is_some_and(|plane| plane.normalised() == endpoint.normalised())
    }
}

/// What the owner named and is no place for a runtime.
fn never_asked(settings: &RegistrySettings) -> Vec<EndpointReport> {
    settings
        .endpoints
        .iter()
        .filter(|named| settings.excludes(&named.endpoint))
        .map(|named| EndpointReport {
            url: named.endpoint.to_string(),
            is_named: true,
            state: EndpointState::Away {
                reason: "it is the agent's own proxy, or the control plane, and is never asked"
                    .to_owned(),
            },
        })
        .collect()
}

/// How an endpoint is told of: its address, and whether it is named.
type ToldAs = (String, bool);

/// Of a place that nobody named only a runtime is worth telling.
fn report((url, is_named): &ToldAs, seen: &Seen) -> Option<EndpointReport> {
    let state = match seen {
        Seen::NotYet => EndpointState::NotLookedAt,
        Seen::Away(reason) => EndpointState::Away {
            reason: reason.clone(),
        },
        Seen::Found(found) => EndpointState::Found((&**found).into()),
    };
    let is_told = *is_named || matches!(seen, Seen::Found(_));
    is_told.then(|| EndpointReport {
        url: url.clone(),
        is_named: *is_named,
        state,
    })
}

async fn keep_fresh(
    settings: RegistrySettings,
    feed: RegistryFeed,
    reports: watch::Sender<Arc<Vec<EndpointReport>>>,
) {
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
        told_as: endpoints.iter().map(WatchedEndpoint::told_as).collect(),
        never_asked: never_asked(&settings),
        list,
        reports,
        looked,
    };
    found_list.tell(&vec![Seen::NotYet; endpoints.len()]);
    let began = timer_borders::last(Instant::now());
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
    /// No runtime answers, and why.
    Away(String),
    /// One does.
    Found(Box<FoundRuntime>),
}

impl Seen {
    fn runtime(&self) -> Option<&FoundRuntime> {
        match self {
            Self::NotYet | Self::Away(_) => None,
            Self::Found(found) => Some(found),
        }
    }
}

/// What was last seen at every endpoint, in the order of the endpoints, and the list that is made of it.
struct FoundList {
    seen: Mutex<Vec<Seen>>,
    /// In the same order.
    told_as: Vec<ToldAs>,
    never_asked: Vec<EndpointReport>,
    list: watch::Sender<Arc<Vec<FoundRuntime>>>,
    reports: watch::Sender<Arc<Vec<EndpointReport>>>,
    looked: watch::Sender<bool>,
}

impl FoundList {
    fn put(&self, at: usize, found: Seen) {
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
        self.tell(&seen);
        // After the list, so that who waited for the looks finds what they found.
        if known == Seen::NotYet && !seen.contains(&Seen::NotYet) {
            self.looked.send_replace(true);
        }
    }

    fn tell(&self, seen: &[Seen]) {
        let mut reports = self.never_asked.clone();
        let told = self.told_as.iter().zip(seen);
        reports.extend(told.filter_map(|(told_as, seen)| report(told_as, seen)));
        self.reports.send_replace(Arc::new(reports));
    }
}

/// One endpoint and what was last seen there.
struct WatchedEndpoint {
    named: NamedEndpoint,
    /// The owner named it, so that it is asked often whatever listens there.
    is_named: bool,
    last: Option<FoundRuntime>,
    /// Why there is none; what it says of one that is there counts for nothing.
    why_away: String,
    misses: u32,
    backoff: PollBackoff,
}

impl WatchedEndpoint {
    /// What the owner named first, then the well-known ports; each once, without the excluded ones.
    fn all(settings: &RegistrySettings) -> Vec<Self> {
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
            let is_new = !settings.excludes(&named.endpoint) && !taken.contains(&normalised);
            taken.push(normalised);
            is_new
        });
        wanted
            .into_iter()
            .map(|named| Self {
                is_named: is_named(&named.endpoint),
                named,
                last: None,
                why_away: String::new(),
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
            found_list.put(at, self.seen());
            due = next_tick(began, every, Instant::now() + self.backoff.pause(every));
        }
    }

    fn told_as(&self) -> ToldAs {
        (self.named.endpoint.to_string(), self.is_named)
    }

    fn seen(&self) -> Seen {
        match &self.last {
            Some(found) => Seen::Found(Box::new(found.clone())),
            None => Seen::Away(self.why_away.clone()),
        }
    }

    async fn look(&mut self, depth: Depth) {
        let seen = detect(&self.named, self.last.as_ref(), depth).await;
        match &seen {
            Detection::Unrelated { fingerprint, .. } if !self.is_named => {
                self.backoff.saw_unrelated(*fingerprint)
            }
            Detection::Found(_)
            | Detection::Nothing(_)
            | Detection::NoAnswer(_)
            | Detection::Unrelated { .. } => {
                self.backoff.saw_other();
            }
        }
        match seen {
            Detection::Found(found) => {
                self.misses = 0;
                self.last = Some(found);
            }
            Detection::Nothing(why) => {
                self.last = None;
                self.why_away = why;
            }
            Detection::Unrelated { status, .. } => {
                self.last = None;
                self.why_away =
                    format!("something answers that is no LLM runtime (status {status})");
            }
            Detection::NoAnswer(why) => {
                self.misses += 1;
                self.why_away = why;
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
    use std::net::Ipv4Addr;

    #[test]
    fn a_change_is_noticed_within_five_seconds() {
        // What is left of the five is for the answer itself.
        assert!(RegistrySettings::default().every <= Duration::from_millis(4_100));
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
                Endpoint::new("localhost", 8081).into(),
                Endpoint::new("127.0.0.2", 8080).into(),
            ],
            proxy: Some((Ipv4Addr::LOCALHOST, 8080).into()),
            control_plane: Some(Endpoint::new("127.0.0.1", 8081)),
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
                "127.0.0.2:8080",
                "127.0.0.1:11434",
                "127.0.0.1:3000",
                "127.0.0.1:80"
            ]
        );
    }
}
