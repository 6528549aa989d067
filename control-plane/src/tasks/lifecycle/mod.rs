//! Makes the lifecycle true: who fell silent, who came back, who is due for a probe.
//!
//! The rules are `model::lifecycle`; `decide` says what is due for a node, `damping` how often, and this task does it. A
//! node is looked at when something happens to it or when its time has come, never all of them in turn; what is due for
//! many is written together. `probing` asks nodes, as far as there are places.

mod damping;
mod decide;
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

/// A timer that was waited for and rings so much too late says that nothing ran.
const STOOD_STILL: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut task = Task {
        started_mono_ms: app.clock.mono_ms(),
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
        let (first, waits_since) = (task.timers.first(), Instant::now());
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
        if let Some(first) = first {
            task.note_standstill(standstill(first, waits_since, Instant::now()));
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

/// For how long nothing ran where a timer due at `first` was waited for since then and is seen now. One that was overdue
/// before, because this task had much to do, says nothing.
fn standstill(first: Instant, waits_since: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(first.max(waits_since))
}

struct Task {
    app: Arc<App>,
    started_mono_ms: i64,
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
    /// What this program did not hear while it did not run, as on a machine that slept, is not the nodes' silence.
    fn note_standstill(&mut self, standstill: Duration) {
        if standstill < STOOD_STILL {
            return;
        }
        tracing::warn!(
            seconds = standstill.as_secs(),
            "this program stood still; nodes have time to be heard again"
        );
        self.started_mono_ms = self.app.clock.mono_ms();
    }

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
            started_mono_ms: self.started_mono_ms,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_task_is_no_standstill() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(standstill(at(10), at(0), at(70)), Duration::from_secs(60));
        assert_eq!(standstill(at(10), at(70), at(70)), Duration::ZERO);
        // Something else happened before it was due.
        assert_eq!(standstill(at(10), at(0), at(5)), Duration::ZERO);
    }
}
