//! Makes the lifecycle true: who fell silent, who came back, who is due for a probe.
//!
//! The rules are `model::lifecycle`; this task watches presence and feeds it events. Probes go over the link
//! on the path that consumers' requests take: a known prompt, few tokens, a request id of ours. A probe has
//! passed when the node says so and its receipt is stored.

use crate::app::{App, Cause, NodeLife};
use crate::bus::Event as BusEvent;
use crate::presence::NodePresence;
use dgon_control_plane_model::lifecycle::{Event, Reason, State, wants_probe};
use dgon_control_plane_store::{ProbeEnd, StoreError};
use dgon_protocol::frame::{Permission, Probe, ProbeOutcome, ProbeResult, ToAgent};
use dgon_protocol::id::{NodeId, RequestId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

const PROBE_MAX_TOKENS: u32 = 16;
const PROBE_PROMPTS: [&str; 4] = [
    "Reply with the single word: ready",
    "Name one primary colour.",
    "What is two plus three? Answer with a digit.",
    "Write the first letter of the alphabet.",
];
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Time beyond the node's own limit for result and receipt to arrive.
const GRACE: Duration = Duration::from_secs(5);
/// How often memory is compared with the database, where other processes may write.
const RELOAD: Duration = Duration::from_secs(30);

/// Shortest time from one look at all nodes to the next.
const PAUSE: Duration = Duration::from_millis(25);

/// A probe under way.
#[derive(Debug)]
struct Open {
    probe_id: String,
    request_id: RequestId,
    deadline: Instant,
    result: Option<ProbeResult>,
}

/// What the task remembers of a node.
#[derive(Debug, Default)]
struct Watched {
    open: Option<Open>,
    failures: u32,
    not_before: Option<Instant>,
    late: bool,
    was_ready: bool,
}

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let Some(mut results) = app.take_probe_inbox() else {
        return;
    };
    if let Err(error) = app.load().await {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "lifecycle states not read"
        );
    }
    let mut task = Task {
        started_ms: app.clock.now_ms(),
        app: Arc::clone(&app),
        watched: HashMap::new(),
        probes: 0,
    };
    let mut tick = tokio::time::interval(app.settings.lifecycle_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reload = tokio::time::interval(RELOAD);
    reload.set_missed_tick_behavior(MissedTickBehavior::Delay);
    reload.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some((node_id, result)) = results.recv() => {
                task.result(&node_id, result);
                while let Ok((node_id, result)) = results.try_recv() {
                    task.result(&node_id, result);
                }
            }
            () = app.lifecycle_wake.notified() => {}
            _ = tick.tick() => {}
            _ = reload.tick() => if let Err(error) = app.load().await {
                tracing::error!(error = &error as &dyn std::error::Error, "lifecycle states not read");
            },
        }
        task.look().await;
        // Thousands of agents that come back at once ring thousands of times.
        tokio::time::sleep(PAUSE).await;
    }
}

struct Task {
    app: Arc<App>,
    started_ms: i64,
    watched: HashMap<NodeId, Watched>,
    probes: usize,
}

impl Task {
    /// A result came: it counts only for the probe that is open.
    fn result(&mut self, node_id: &NodeId, result: ProbeResult) {
        let open = self
            .watched
            .get_mut(node_id)
            .and_then(|watched| watched.open.as_mut());
        match open {
            Some(open) if open.probe_id == result.probe_id => open.result = Some(result),
            _ => tracing::debug!(%node_id, "result of no open probe ignored"),
        }
    }

    /// Looks at every node once.
    async fn look(&mut self) {
        let lives = self.app.lifecycles.all();
        if self.watched.len() > lives.len() {
            let app = Arc::clone(&self.app);
            self.watched
                .retain(|node_id, _| app.lifecycles.get(node_id).is_some());
        }
        for (node_id, life) in lives {
            if let Err(error) = self.look_at(&node_id, life).await {
                tracing::error!(%node_id, error = &error as &dyn std::error::Error, "lifecycle not advanced");
            }
        }
    }

    async fn look_at(&mut self, node_id: &NodeId, life: NodeLife) -> Result<(), StoreError> {
        let presence = self.app.presence.get(node_id).unwrap_or_default();
        if let Some(event) = self.silence(node_id, life, &presence) {
            self.app
                .node_event(node_id, event, Cause::system(None))
                .await?;
            return Ok(());
        }
        if self.settle_probe(node_id, &presence).await? || !presence.is_connected() {
            return Ok(());
        }
        let is_pending = matches!(life.state, State::Registered | State::PendingProbe);
        let is_ready = presence.has_ready_runtime();
        let watched = self.watched.entry(node_id.clone()).or_default();
        if std::mem::replace(&mut watched.was_ready, is_ready) != is_ready {
            // A runtime that has just come up is a new chance.
            (watched.failures, watched.not_before) = (0, None);
        }
        let must_wait = watched.not_before.is_some_and(|at| Instant::now() < at);
        if !is_ready {
            if is_pending {
                self.app
                    .node_event(node_id, Event::NoRuntime, Cause::system(None))
                    .await?;
            }
            return Ok(());
        }
        let was_without = is_pending && life.reason == Reason::NoRuntime && !must_wait;
        if life.state == State::Registered || was_without {
            self.app
                .node_event(node_id, Event::RuntimeReady, Cause::system(None))
                .await?;
            return Ok(());
        }
        if wants_probe(life.state, life.reason) {
            self.probe_if_due(node_id, life, &presence).await?;
        }
        Ok(())
    }

    /// What the time since the last heartbeat means. Our own absence is not the node's silence.
    fn silence(
        &mut self,
        node_id: &NodeId,
        life: NodeLife,
        presence: &NodePresence,
    ) -> Option<Event> {
        let settings = &self.app.settings;
        let heard_ms = presence.heard_at_ms();
        let stored_ms = life.stored_heartbeat_ms.unwrap_or(0);
        let last_ms = heard_ms.max(stored_ms).max(self.started_ms);
        let silent = Duration::from_millis(
            u64::try_from(self.app.clock.now_ms().saturating_sub(last_ms)).unwrap_or(0),
        );
        let watched = self.watched.entry(node_id.clone()).or_default();
        let late = life.state == State::Active && silent >= settings.late_after;
        if std::mem::replace(&mut watched.late, late) != late {
            self.app.bus.send(BusEvent::Node {
                node_id: node_id.clone(),
            });
        }
        match life.state {
            State::Active | State::PendingProbe => {
                let calm_ms = self.app.clock.now_ms().saturating_sub(life.since_ms);
                let calm = Duration::from_millis(u64::try_from(calm_ms).unwrap_or(0));
                // A node that an admin has just cleared gets its time to come back.
                (silent.min(calm) >= settings.offline_after).then_some(Event::HeartbeatLost)
            }
            State::Offline => (heard_ms > life.since_ms).then_some(Event::HeartbeatResumed),
            State::Registered | State::Quarantine | State::Retired => None,
        }
    }

    /// Ends an open probe that has its answer or has had its time. True when one was open.
    async fn settle_probe(
        &mut self,
        node_id: &NodeId,
        presence: &NodePresence,
    ) -> Result<bool, StoreError> {
        let Some(open) = self
            .watched
            .get(node_id)
            .and_then(|watched| watched.open.as_ref())
        else {
            return Ok(false);
        };
        let has_receipt = match &open.result {
            Some(result) if result.outcome == ProbeOutcome::Ok => {
                self.app.store.receipt_exists(&open.request_id).await?
            }
            _ => false,
        };
        let is_over = Instant::now() >= open.deadline;
        let (event, outcome, message) = match &open.result {
            Some(result) => match result.outcome {
                ProbeOutcome::Ok if has_receipt => (Event::ProbePassed, "ok", None),
                ProbeOutcome::Ok if is_over => (
                    Event::ProbeFailed,
                    "failed",
                    Some("the probe's receipt did not come"),
                ),
                ProbeOutcome::Ok => return Ok(true),
                ProbeOutcome::Failed => (Event::ProbeFailed, "failed", result.message.as_deref()),
                ProbeOutcome::Timeout => (Event::ProbeFailed, "timeout", result.message.as_deref()),
                ProbeOutcome::NoRuntime => {
                    (Event::NoRuntime, "no_runtime", result.message.as_deref())
                }
                ProbeOutcome::Refused => {
                    (Event::ProbeRefused, "refused", result.message.as_deref())
                }
            },
            None if is_over => (
                Event::ProbeFailed,
                "timeout",
                Some("the node did not answer the probe"),
            ),
            // The session that had the probe is gone: nobody is to blame.
            None if !presence.is_connected() => {
                (Event::NoRuntime, "timeout", Some("the link was cut"))
            }
            None => return Ok(true),
        };
        let message: Option<String> = message.map(|text| text.chars().take(500).collect());
        let result = open.result.as_ref();
        let end = ProbeEnd {
            at_ms: self.app.clock.now_ms(),
            outcome,
            message: message.as_deref(),
            model: result.and_then(|result| result.model.as_deref()),
            tokens_input: result.map_or(0, |result| column(result.tokens_input)),
            tokens_output: result.map_or(0, |result| column(result.tokens_output)),
            ttft_ms: result.and_then(|result| result.ttft_ms.map(column)),
            latency_ms: result.map_or(0, |result| column(result.latency_ms)),
        };
        self.app.store.probe_finished(&open.probe_id, &end).await?;
        self.after_probe(node_id, event);
        // A cut link says nothing about the runtime, so it only ends the probe.
        if outcome != "timeout" || event != Event::NoRuntime {
            self.app
                .node_event(node_id, event, Cause::system(message.as_deref()))
                .await?;
        }
        self.app.bus.send(BusEvent::Node {
            node_id: node_id.clone(),
        });
        // What the caller knows of the node is out of date now.
        Ok(true)
    }

    fn after_probe(&mut self, node_id: &NodeId, event: Event) {
        let retry = self.app.settings.probe_retry;
        let watched = self.watched.entry(node_id.clone()).or_default();
        watched.open = None;
        if event == Event::ProbePassed {
            (watched.failures, watched.not_before) = (0, None);
        } else {
            let wait = retry
                .saturating_mul(1 << watched.failures.min(10))
                .min(RETRY_MAX);
            watched.failures = watched.failures.saturating_add(1);
            watched.not_before = Some(Instant::now() + wait);
        }
    }

    async fn probe_if_due(
        &mut self,
        node_id: &NodeId,
        life: NodeLife,
        presence: &NodePresence,
    ) -> Result<(), StoreError> {
        let watched = self.watched.entry(node_id.clone()).or_default();
        if life.reason == Reason::AdminCleared || life.reason == Reason::HeartbeatResumed {
            // Somebody waits, or the node was away: earlier failures do not count.
            watched.failures = 0;
        } else if watched.not_before.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        if !presence.allow.contains(&Permission::Probe) {
            self.after_probe(node_id, Event::ProbeRefused);
            let detail = Some("the node's allow list does not name probe");
            self.app
                .node_event(node_id, Event::ProbeRefused, Cause::system(detail))
                .await?;
            return Ok(());
        }
        let mut random = [0u8; 16];
        if getrandom::fill(&mut random).is_err() {
            return Ok(());
        }
        let now_ms = self.app.clock.now_ms();
        let request_id = RequestId::generate(
            u64::try_from(now_ms).unwrap_or(0),
            u128::from_be_bytes(random),
        );
        let probe_id = format!("p{}", request_id.as_str().trim_start_matches('r'));
        self.app
            .store
            .probe_started(&probe_id, node_id, &request_id, now_ms)
            .await?;
        self.probes = self.probes.wrapping_add(1);
        let timeout = self.app.settings.probe_timeout;
        let probe = Probe {
            probe_id: probe_id.clone(),
            request_id: request_id.clone(),
            model: None,
            prompt: PROBE_PROMPTS[self.probes % PROBE_PROMPTS.len()].to_owned(),
            max_tokens: PROBE_MAX_TOKENS,
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        };
        let watched = self.watched.entry(node_id.clone()).or_default();
        if self.app.sessions.order(node_id, ToAgent::Probe(probe)) {
            let deadline = Instant::now() + timeout + GRACE;
            watched.open = Some(Open {
                probe_id,
                request_id,
                deadline,
                result: None,
            });
        } else {
            watched.not_before = Some(Instant::now() + self.app.settings.probe_retry);
        }
        Ok(())
    }
}

fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
