//! Probes: who is asked next, with what, and what follows from the answer.
//!
//! They go over the link on the path that consumers' requests take: a known prompt, few tokens, a request id of ours. So
//! many are open at once and no more; the others wait in line.

use super::decide::{Decision, Ended, Memory};
use super::{AGAIN, BATCH, Task, chance};
use crate::app::OpenProbe;
use dgon_control_plane_model::lifecycle::{Event, Probing, probing};
use dgon_control_plane_store::{Fault, NewProbe, ProbeEnd, System};
use dgon_protocol::frame::{Probe, ToAgent};
use dgon_protocol::id::{NodeId, RequestId};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

const PROBE_MAX_TOKENS: u32 = 16;
const PROBE_PROMPTS: [&str; 4] = [
    "Reply with the single word: ready",
    "Name one primary colour.",
    "What is two plus three? Answer with a digit.",
    "Write the first letter of the alphabet.",
];
/// Probes under way at once.
const PROBES_OPEN: usize = 512;
const RETRY_MAX: Duration = Duration::from_secs(600);
/// Time beyond the node's own limit for result and receipt to arrive.
pub(super) const GRACE: Duration = Duration::from_secs(5);

impl Task {
    pub(super) fn after_probe(&mut self, node_id: &NodeId, ended: &Ended) {
        let settings = &self.app.settings;
        let memory = self.memories.entry(node_id.clone()).or_default();
        if ended.event == Some(Event::ProbePassed) {
            (memory.failures, memory.not_before) = (0, None);
            let wait = settings.probe_again.mul_f64(0.5 + chance());
            memory.probe_again = Some(Instant::now() + wait);
        } else {
            failed(memory, settings.probe_retry);
        }
    }

    /// Probes those who wait, as far as there are places.
    pub(super) async fn probe_next(&mut self) {
        loop {
            let mut started = Vec::new();
            while started.len() < BATCH
                && let Some(node_id) = self.next_in_line(self.app.probes.count() + started.len())
            {
                started.extend(self.prepare(node_id));
            }
            if started.is_empty() {
                return;
            }
            if !self.begin(started).await {
                return;
            }
        }
    }

    /// Writes and sends probes; false where the database takes none now.
    async fn begin(&mut self, started: Vec<NewProbe>) -> bool {
        let Err(error) = self
            .app
            .store
            .probes_started(System::of_the_server(), &started)
            .await
        else {
            for probe in started {
                let life = self.app.lifecycles.get(&probe.node_id);
                // A node that serves does not ask for it.
                if life.is_some_and(|life| probing(life.state, life.reason) == Probing::Now) {
                    self.tried(&probe.node_id);
                }
                self.send(probe).await;
            }
            return true;
        };
        let is_data = error.fault() == Fault::Data;
        if is_data && started.len() > 1 {
            // One of them is to blame: the others are sent without it.
            for alone in started {
                Box::pin(self.begin(vec![alone])).await;
            }
            return true;
        }
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "probes not begun; it is tried again"
        );
        for probe in &started {
            let memory = self.memories.entry(probe.node_id.clone()).or_default();
            failed(memory, self.app.settings.probe_retry);
            let again = Some(Instant::now() + AGAIN);
            self.timers.set(&probe.node_id, again);
        }
        is_data
    }

    /// Who is probed next, with so many probes under way.
    fn next_in_line(&mut self, open: usize) -> Option<NodeId> {
        if open >= PROBES_OPEN {
            return None;
        }
        self.line.pop_front().or_else(|| {
            let second = (open < PROBES_OPEN / 2).then_some(&mut self.second_line);
            second.and_then(VecDeque::pop_front)
        })
    }

    /// A probe for a node that still wants one.
    fn prepare(&mut self, node_id: NodeId) -> Option<NewProbe> {
        let mut memory = self.memories.remove(&node_id)?;
        memory.queued = false;
        let life = self.app.lifecycles.get(&node_id);
        let presence = self.app.presence.get(&node_id).unwrap_or_default();
        let open = self.app.probes.get(&node_id);
        let mut wants = false;
        if let Some(life) = life {
            let seen = self.seen(life, &presence, open.as_ref(), &memory);
            wants = seen.decide() == Decision::Probe;
            if seen.starts_anew() {
                memory.failures = 0;
            }
        }
        self.memories.insert(node_id.clone(), memory);
        if !wants {
            return None;
        }
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).ok()?;
        let at_ms = self.app.clock.now_ms();
        let request_id = RequestId::generate(
            u64::try_from(at_ms).unwrap_or(0),
            u128::from_be_bytes(random),
        );
        Some(NewProbe {
            probe_id: format!("p{}", request_id.as_str().trim_start_matches('r')),
            model: presence.probe_model()?.to_owned(),
            node_id,
            request_id,
            at_ms,
        })
    }

    async fn send(&mut self, probe: NewProbe) {
        let timeout = self.app.settings.probe_timeout;
        self.asked = self.asked.wrapping_add(1);
        let order = Probe {
            probe_id: probe.probe_id.clone(),
            request_id: probe.request_id.clone(),
            model: Some(probe.model.clone()),
            prompt: PROBE_PROMPTS[self.asked % PROBE_PROMPTS.len()].to_owned(),
            max_tokens: PROBE_MAX_TOKENS,
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        };
        let presence = self.app.presence.get(&probe.node_id);
        let open = OpenProbe {
            probe_id: probe.probe_id,
            session_id: presence.and_then(|presence| presence.session_id),
            request_id: probe.request_id,
            model: probe.model,
            asked_mono_ms: self.app.clock.mono_ms(),
            deadline: Instant::now() + timeout + GRACE,
            result: None,
            receipt: None,
        };
        // Known before it is sent: the answer may be faster than this task.
        self.app.probes.open(probe.node_id.clone(), open.clone());
        self.timers.set(&probe.node_id, Some(open.deadline));
        if self
            .app
            .sessions
            .probe(&probe.node_id, ToAgent::Probe(order))
        {
            return;
        }
        self.app.probes.close(&probe.node_id);
        let ended = Ended {
            event: None,
            outcome: "timeout",
            message: Some("the link was cut".to_owned()),
        };
        self.after_probe(&probe.node_id, &ended);
        let end = probe_end(&open, &ended, self.app.clock.now_ms());
        if let Err(error) = self
            .app
            .store
            .probes_finished(System::of_the_server(), &[end])
            .await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the end of a probe was not written"
            );
        }
        self.app.attention.look_at(&probe.node_id);
    }
}

/// No probe for a while, longer each time.
pub(super) fn failed(memory: &mut Memory, retry: Duration) {
    let wait = retry
        .saturating_mul(1 << memory.failures.min(10))
        .min(RETRY_MAX);
    memory.failures = memory.failures.saturating_add(1);
    memory.not_before = Some(Instant::now() + wait);
}

pub(super) fn probe_end(open: &OpenProbe, ended: &Ended, at_ms: i64) -> ProbeEnd {
    let result = open.result.as_ref();
    ProbeEnd {
        probe_id: open.probe_id.clone(),
        at_ms,
        outcome: ended.outcome,
        message: ended.message.clone(),
        tokens_input: result.map_or(0, |result| column(result.tokens_input)),
        tokens_output: result.map_or(0, |result| column(result.tokens_output)),
        ttft_ms: result.and_then(|result| result.ttft_ms.map(column)),
        latency_ms: result.map_or(0, |result| column(result.latency_ms)),
    }
}

fn column(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
