//! Makes the lifecycle true: who fell silent, who came back, who is due for a probe.
//!
//! The rules are `model::lifecycle`; `decide` says what is due for a node, `damping` how often, and this task does it. A
//! node is looked at when something happens to it or when its time has come, never all of them in turn; what is due for
//! many is written together. `probing` asks nodes, as far as there are places.

mod damping;
mod decide;
mod hearing;
mod probing;
mod timers;

use crate::app::{App, Cause, NodeLife, OpenProbe};
use crate::bus::Event as BusEvent;
use crate::presence::NodePresence;
use damping::Damping;
use decide::{Decision, Ended, Memory, Seen, is_a_try};
use dgon_control_plane_model::lifecycle::{Event, Reason, Transition, transition};
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::{Fault, LifecycleChange, ProbeEnd, StoreError, System};
use dgon_protocol::id::NodeId;
use hearing::Hearing;
use probing::{failed, probe_end};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use timers::Timers;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Nodes whose changes share a transaction: others wait no longer than for these.
const BATCH: usize = 128;
/// When to look again at nodes whose changes could not be written.
const AGAIN: Duration = Duration::from_secs(1);
/// Shortest time from one round to the next: thousands of agents that come back at once ring thousands of times.
const PAUSE: Duration = Duration::from_millis(25);

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let hearing = Arc::new(Hearing::new(app.clock.clone()));
    tokio::select! {
        () = hearing.keep() => {}
        () = rounds(app, stop, Arc::clone(&hearing)) => {}
    }
}

async fn rounds(app: Arc<App>, stop: CancellationToken, hearing: Arc<Hearing>) {
    let mut task = Task {
        hearing,
        app: Arc::clone(&app),
        memories: HashMap::new(),
        timers: Timers::default(),
        line: VecDeque::new(),
        second_line: VecDeque::new(),
        unread: HashSet::new(),
        asked: 0,
    };
    let mut clock = app.clock.watch();
    loop {
        let first = task.timers.first();
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.attention.some() => {}
            () = until(first) => {}
            () = clock.advanced() => {
                for (node_id, _) in app.lifecycles.all() {
                    app.attention.look_at(&node_id);
                }
            }
        }
        let mut nodes = app.attention.take();
        nodes.extend(task.timers.due(Instant::now()));
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        let mut unsure = app.attention.take_unsure();
        unsure.extend(nodes.iter().filter_map(|node_id| task.unread.take(node_id)));
        for node_id in unsure {
            task.read_again(&node_id).await;
        }
        for some in nodes.chunks(BATCH) {
            task.round(some).await;
        }
        task.probe_next().await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

struct Task {
    app: Arc<App>,
    hearing: Arc<Hearing>,
    memories: HashMap<NodeId, Memory>,
    timers: Timers,
    /// Nodes that wait for a place among the open probes.
    line: VecDeque<NodeId>,
    /// Those among them whose last probe failed: they leave half of the places to the others.
    second_line: VecDeque<NodeId>,
    /// Nodes whose state must be read from the database when their time comes.
    unread: HashSet<NodeId>,
    asked: usize,
}

/// What is due for some nodes.
#[derive(Default)]
struct Round {
    happened: Vec<Happened>,
    ended: Vec<(NodeId, OpenProbe, Ended)>,
}

struct Happened {
    node_id: NodeId,
    life: NodeLife,
    next: Transition,
    detail: Option<String>,
}

impl Task {
    /// Looks at nodes and does what is due.
    async fn round(&mut self, nodes: &[NodeId]) {
        let mut round = Round::default();
        for node_id in nodes {
            self.look(node_id, &mut round);
        }
        if let Err(error) = self.write(&round).await {
            if error.fault() == Fault::Data && nodes.len() > 1 {
                // One of them is to blame: the others are written without it.
                for alone in nodes.chunks(1) {
                    Box::pin(self.round(alone)).await;
                }
                return;
            }
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "lifecycles not advanced; it is tried again"
            );
            let again = Some(Instant::now() + AGAIN);
            let happened = round.happened.iter().map(|one| &one.node_id);
            let ended = round.ended.iter().map(|(node_id, _, _)| node_id);
            for node_id in happened.chain(ended) {
                self.timers.set(node_id, again);
            }
        }
    }

    fn seen<'a>(
        &'a self,
        life: NodeLife,
        presence: &'a NodePresence,
        open: Option<&'a OpenProbe>,
        memory: &'a Memory,
    ) -> Seen<'a> {
        Seen {
            life,
            presence,
            open,
            memory,
            settings: &self.app.settings,
            now: Instant::now(),
            mono_ms: self.app.clock.mono_ms(),
            heard_since_mono_ms: self.hearing.since_mono_ms(),
        }
    }

    fn look(&mut self, node_id: &NodeId, round: &mut Round) {
        let Some(life) = self.app.lifecycles.get(node_id) else {
            self.memories.remove(node_id);
            self.timers.set(node_id, None);
            self.app.probes.close(node_id);
            return;
        };
        let presence = self.app.presence.get(node_id).unwrap_or_default();
        let open = self.app.probes.get(node_id);
        let mut memory = self.memories.remove(node_id).unwrap_or_default();
        if memory.probe_again.is_none() {
            // Nodes that serve since before this process are not all probed at once.
            let wait = self.app.settings.probe_again.mul_f64(chance());
            memory.probe_again = Some(Instant::now() + wait);
        }
        if life.reason == Reason::AdminCleared && memory.cleared_mono_ms != Some(life.since_mono_ms)
        {
            // Somebody waits, and it was not the node that said so.
            memory.cleared_mono_ms = Some(life.since_mono_ms);
            memory.damping = Damping::default();
        }
        let is_ready = presence.is_connected() && presence.has_ready_runtime();
        if std::mem::replace(&mut memory.was_ready, is_ready) != is_ready {
            // A runtime that has just come up is a new chance.
            (memory.failures, memory.not_before) = (0, None);
        }
        let seen = self.seen(life, &presence, open.as_ref(), &memory);
        let (late, decision, next) = (seen.is_late(), seen.decide(), seen.next());
        if std::mem::replace(&mut memory.late, late) != late {
            self.changed(node_id);
        }
        self.timers.set(node_id, next);
        match (decision, open) {
            (Decision::Event(event, detail), _) => {
                if let Some(next) = transition(life.state, life.reason, event) {
                    if event == Event::ProbeRefused {
                        failed(&mut memory, self.app.settings.probe_retry);
                    }
                    round.happened.push(Happened {
                        node_id: node_id.clone(),
                        life,
                        next,
                        detail: detail.map(str::to_owned),
                    });
                }
            }
            (Decision::Ended(ended), Some(open)) => {
                if let Some(next) = ended
                    .event
                    .and_then(|event| transition(life.state, life.reason, event))
                {
                    round.happened.push(Happened {
                        node_id: node_id.clone(),
                        life,
                        next,
                        detail: ended.message.clone(),
                    });
                }
                round.ended.push((node_id.clone(), open, ended));
            }
            (Decision::Probe, _) => {
                if !std::mem::replace(&mut memory.queued, true) {
                    let line = match memory.failures {
                        0 => &mut self.line,
                        _ => &mut self.second_line,
                    };
                    line.push_back(node_id.clone());
                }
            }
            (Decision::Nothing | Decision::Ended(_), _) => {}
        }
        self.memories.insert(node_id.clone(), memory);
    }

    fn changed(&self, node_id: &NodeId) {
        self.app.bus.send(BusEvent::Node {
            node_id: node_id.clone(),
        });
    }

    /// Writes what is due, and follows in memory what was written.
    async fn write(&mut self, round: &Round) -> Result<(), StoreError> {
        let at_ms = self.app.clock.now_ms();
        if !round.ended.is_empty() {
            let ends: Vec<ProbeEnd> = round
                .ended
                .iter()
                .map(|(_, open, ended)| probe_end(open, ended, at_ms))
                .collect();
            self.app
                .store
                .probes_finished(System::of_the_server(), &ends)
                .await?;
        }
        if !round.happened.is_empty() {
            self.write_transitions(&round.happened, at_ms).await?;
        }
        for one in &round.happened {
            if is_a_try(one.next.reason) {
                self.tried(&one.node_id);
            }
        }
        for (node_id, _, ended) in &round.ended {
            self.app.probes.close(node_id);
            self.after_probe(node_id, ended);
            self.changed(node_id);
            self.app.attention.look_at(node_id);
        }
        Ok(())
    }

    async fn write_transitions(&self, happened: &[Happened], at_ms: i64) -> Result<(), StoreError> {
        let audits: Vec<AuditEntry> = happened
            .iter()
            .map(|one| {
                let cause = Cause::system(one.detail.as_deref());
                cause.audit(&one.node_id, one.life.state, one.next, at_ms)
            })
            .collect();
        let changes: Vec<LifecycleChange<'_>> = happened
            .iter()
            .zip(&audits)
            .map(|(one, audit)| LifecycleChange {
                node_id: &one.node_id,
                old: (one.life.state, one.life.reason),
                new: (one.next.to, one.next.reason),
                at_ms,
                actor: "system",
                detail: one.detail.as_deref(),
                audit,
            })
            .collect();
        let changed = self
            .app
            .store
            .node_transitions(&System::of_the_server().into(), &changes)
            .await?;
        for (one, changed) in happened.iter().zip(changed) {
            if changed {
                let old = (one.life.state, one.life.reason);
                self.app.node_changed(&one.node_id, old, one.next);
            } else {
                // Somebody else was faster; the database knows what holds now.
                self.app.lifecycle_read(&one.node_id).await?;
            }
        }
        Ok(())
    }

    /// A node came back, was asked for, or a probe of it began: durably, so that a database that is away costs nobody a wait.
    fn tried(&mut self, node_id: &NodeId) {
        let memory = self.memories.entry(node_id.clone()).or_default();
        memory.damping.tried(Instant::now());
    }

    /// Memory and database may disagree on a node: the database knows.
    async fn read_again(&mut self, node_id: &NodeId) {
        if let Err(error) = self.app.lifecycle_read(node_id).await {
            tracing::error!(
                %node_id,
                error = &error as &dyn std::error::Error,
                "the state of a node was not read; it is tried again"
            );
            self.unread.insert(node_id.clone());
            let again = Some(Instant::now() + AGAIN);
            self.timers.set(node_id, again);
        }
    }
}

/// A number from 0 to 1; without randomness the middle.
fn chance() -> f64 {
    let mut bytes = [0u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
