//! A fleet as a load generator: how many receipts a control plane acknowledges, and how soon.

use super::agent::{Enrol, SavedAgent, SimAgent};
use super::node::{Habit, Node};
use super::{SimError, agent};
use dgon_protocol::frame::{LifecycleStatus, Refused};
use dgon_protocol::id::NodeId;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Enrolments at once.
const ENROLMENTS: usize = 16;
/// How long the last acks may take after the end.
const DRAIN: Duration = Duration::from_secs(15);
/// Kinds of faults that are told apart; more are counted together.
const FAULTS_KEPT: usize = 32;

/// What a fleet is told to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// Base URL of the control plane.
    pub api: String,
    /// Receipts per second of the whole fleet; 0 makes heartbeats only.
    pub rate: f64,
    /// How long receipts are made before counting begins: nodes join meanwhile, which is no part of what is measured.
    pub warm_up: Duration,
    /// How long receipts are made that count.
    pub duration: Duration,
    /// Receipts of one node that become due within this time go out in one frame.
    pub linger: Duration,
}

/// What a fleet tells while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Counting begins.
    Counting,
    /// No more receipts are made; the last acks are waited for, and count.
    Made,
}

#[derive(Default)]
struct Counts {
    made: u64,
    acked: u64,
    last_ack: Option<Instant>,
    refused: u64,
    left_over: u64,
    heartbeats: u64,
    sessions: u64,
    live: u64,
    active: u64,
    /// Nodes that were told so, and when the last of them was for the first time.
    active_nodes: usize,
    last_active: Option<Instant>,
    quarantined: u64,
    faults: BTreeMap<String, u64>,
    latencies_us: Vec<u32>,
}

/// What all nodes of a fleet count together.
#[derive(Default)]
pub(super) struct Counters(Mutex<Counts>);

impl Counters {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: String) {
        let mut counts = self.counts();
        let known = counts.faults.len() < FAULTS_KEPT || counts.faults.contains_key(&what);
        *counts
            .faults
            .entry(if known { what } else { "other".to_owned() })
            .or_default() += 1;
    }

    pub(super) fn fault(&self, fault: &SimError) {
        let cause = std::error::Error::source(fault)
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        self.note(format!("{fault}{cause}"));
    }

    /// Counting begins: the receipts before, and how soon they were acknowledged, are left out.
    fn begin_counting(&self) {
        let mut counts = self.counts();
        (counts.made, counts.acked, counts.last_ack) = (0, 0, None);
        counts.latencies_us.clear();
    }

    pub(super) fn connected(&self) {
        let mut counts = self.counts();
        (counts.sessions, counts.live) = (counts.sessions + 1, counts.live + 1);
    }

    pub(super) fn disconnected(&self) {
        self.counts().live -= 1;
    }

    pub(super) fn made(&self) {
        self.counts().made += 1;
    }

    pub(super) fn heartbeat(&self) {
        self.counts().heartbeats += 1;
    }

    pub(super) fn left_over(&self, receipts: usize) {
        self.counts().left_over += receipts as u64;
    }

    /// A node was told its status; `is_first` where it was not active before.
    pub(super) fn status(&self, status: LifecycleStatus, is_first: bool) {
        let mut counts = self.counts();
        match status {
            LifecycleStatus::Active => {
                counts.active += 1;
                if is_first {
                    counts.active_nodes += 1;
                    counts.last_active = Some(Instant::now());
                }
            }
            LifecycleStatus::Quarantine => counts.quarantined += 1,
            LifecycleStatus::Pending | LifecycleStatus::Offline => {}
        }
    }

    /// `waited` is absent where the receipt was acked over another session than the one it was sent in last.
    pub(super) fn acked(&self, waited: Option<Duration>) {
        let mut counts = self.counts();
        counts.acked += 1;
        counts.last_ack = Some(Instant::now());
        if let Some(waited) = waited {
            counts
                .latencies_us
                .push(u32::try_from(waited.as_micros()).unwrap_or(u32::MAX));
        }
    }

    pub(super) fn refused(&self, refused: &[Refused]) {
        self.counts().refused += refused.len() as u64;
        for one in refused {
            self.note(format!("refused: {}: {}", one.kind, one.message));
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Nodes of the fleet.
    pub nodes: usize,
    /// Sessions that were opened, reconnects included.
    pub sessions: u64,
    /// Times that a node was told it is active.
    pub active: u64,
    /// From the beginning until every node was told so once, s; absent where one was not.
    pub all_active_s: Option<f64>,
    /// Times that a node was told it is in quarantine.
    pub quarantined: u64,
    /// Receipts signed since counting began.
    pub made: u64,
    /// Receipts acknowledged since counting began, refused ones included.
    pub acked: u64,
    /// Receipts refused.
    pub refused: u64,
    /// Receipts neither acknowledged nor refused at the end.
    pub unacked: u64,
    /// Heartbeats sent.
    pub heartbeats: u64,
    /// From when counting began to the last ack, s.
    pub seconds: f64,
    /// Receipts acknowledged per second of it.
    pub acked_per_s: f64,
    /// Median time from sending to the ack, ms.
    pub ack_p50_ms: Option<f64>,
    /// 99th percentile of it, ms.
    pub ack_p99_ms: Option<f64>,
    /// Longest, ms.
    pub ack_max_ms: Option<f64>,
    /// What went wrong, and how often.
    pub faults: BTreeMap<String, u64>,
}

/// Enrols `nodes` new agents, an equal part of them with each token.
///
/// # Errors
/// The first enrolment that fails.
pub async fn enrol(
    api: &str,
    tokens: &[String],
    nodes: usize,
    prefix: Option<&str>,
) -> Result<Vec<SimAgent>, SimError> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(SimError::Http)?;
    let enrolments = (0..nodes).map(|number| {
        let http = http.clone();
        let token = tokens.get(number * tokens.len() / nodes);
        let name = prefix.and_then(|prefix| NodeId::parse(format!("{prefix}-{number:05}")).ok());
        async move {
            SimAgent::enrol(
                &http,
                api,
                token.map_or("", String::as_str),
                Enrol {
                    node_id: name,
                    region: None,
                },
            )
            .await
        }
    });
    futures_util::stream::iter(enrolments)
        .buffered(ENROLMENTS)
        .try_collect()
        .await
}

/// Brings saved agents back.
///
/// # Errors
/// One of them is malformed.
pub fn restore(saved: &[SavedAgent]) -> Result<Vec<SimAgent>, SimError> {
    saved.iter().map(SimAgent::restore).collect()
}

/// Lets the fleet work and tells its moments; gives the agents back with their chains moved on.
pub async fn run(
    agents: Vec<SimAgent>,
    load: &Load,
    tell: impl Fn(Moment),
) -> (Report, Vec<SimAgent>) {
    let counters = Arc::new(Counters::default());
    let (stop, give_up) = (CancellationToken::new(), CancellationToken::new());
    let nodes = agents.len();
    let interval = (load.rate > 0.0).then(|| Duration::from_secs_f64(nodes as f64 / load.rate));
    let begin = Instant::now();
    let tasks: Vec<_> = agents
        .into_iter()
        .enumerate()
        .map(|(number, agent)| {
            // Spread over one interval, so that the fleet's rate is even.
            let phase = interval
                .unwrap_or(Duration::from_secs(10))
                .mul_f64(number as f64 / nodes as f64);
            let node = Node::new(
                agent,
                Habit {
                    interval,
                    phase,
                    linger: load.linger,
                },
                Arc::clone(&counters),
            );
            tokio::spawn(node.run(stop.clone(), give_up.clone()))
        })
        .collect();
    tokio::time::sleep(load.warm_up).await;
    counters.begin_counting();
    let counting = Instant::now();
    tell(Moment::Counting);
    tokio::time::sleep(load.duration).await;
    tell(Moment::Made);
    stop.cancel();
    let drain = {
        let give_up = give_up.clone();
        tokio::spawn(async move {
            tokio::time::sleep(DRAIN).await;
            give_up.cancel();
        })
    };
    let mut back = Vec::with_capacity(nodes);
    for task in tasks {
        if let Ok(agent) = task.await {
            back.push(agent);
        }
    }
    drain.abort();
    (report(&counters, nodes, begin, counting), back)
}

fn report(counters: &Counters, nodes: usize, begin: Instant, counting: Instant) -> Report {
    let mut counts = counters.counts();
    counts.latencies_us.sort_unstable();
    let sorted = &counts.latencies_us;
    let quantile = |q: f64| {
        let index = ((sorted.len() as f64 * q).ceil() as usize).saturating_sub(1);
        sorted.get(index).map(|us| f64::from(*us) / 1e3)
    };
    let seconds = counts
        .last_ack
        .map_or(0.0, |last| (last - counting).as_secs_f64());
    Report {
        nodes,
        sessions: counts.sessions,
        active: counts.active,
        all_active_s: counts
            .last_active
            .filter(|_| counts.active_nodes == nodes)
            .map(|last| (last - begin).as_secs_f64()),
        quarantined: counts.quarantined,
        made: counts.made,
        acked: counts.acked,
        refused: counts.refused,
        unacked: counts.left_over,
        heartbeats: counts.heartbeats,
        seconds,
        acked_per_s: if seconds > 0.0 {
            counts.acked as f64 / seconds
        } else {
            0.0
        },
        ack_p50_ms: quantile(0.5),
        ack_p99_ms: quantile(0.99),
        ack_max_ms: quantile(1.0),
        faults: counts.faults.clone(),
    }
}

/// Reads the agents of an earlier run.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn read_saved(path: &std::path::Path) -> std::io::Result<Vec<SavedAgent>> {
    serde_json::from_slice(&std::fs::read(path)?).map_err(std::io::Error::other)
}

/// Writes the agents for a later run, readable by the owner alone.
///
/// # Errors
/// The file cannot be written.
pub fn write_saved(path: &std::path::Path, agents: &[SimAgent]) -> std::io::Result<()> {
    use std::io::Write as _;
    let saved: Vec<SavedAgent> = agents.iter().map(agent::SimAgent::save).collect();
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)?
        .write_all(&serde_json::to_vec(&saved).map_err(std::io::Error::other)?)
}
