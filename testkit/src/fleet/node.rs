//! One node of a simulated fleet: makes receipts at its rate, sends them, resends after a reconnect.

use super::SimError;
use super::agent::{MODEL, SimAgent, SimReceipt, unix_now};
use super::link::{Event, SimLink};
use super::load::Counters;
use dgon_protocol::frame::{
    Ack, Heartbeat, LifecycleStatus, Need, Probe, ProbeOutcome, ProbeResult, ToAgent,
    ToControlPlane,
};
use dgon_protocol::limits::{BACKOFF_BASE, BACKOFF_CAP, RECEIPTS_IN_FLIGHT, RECEIPTS_PER_BATCH};
use dgon_protocol::receipt::Source;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How a node behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habit {
    /// Time between two receipts; `None` makes none.
    pub interval: Option<Duration>,
    /// When the first is due, so that a fleet does not speak in one voice.
    pub phase: Duration,
    /// Receipts that become due within this time go out together.
    pub linger: Duration,
}

struct Pending {
    receipt: SimReceipt,
    sent: Option<Instant>,
}

/// A node at work.
pub(super) struct Node {
    pub agent: SimAgent,
    pub habit: Habit,
    pub counters: Arc<Counters>,
    pending: VecDeque<Pending>,
    due: Instant,
    started: Instant,
    was_active: bool,
}

impl Node {
    pub(super) fn new(agent: SimAgent, habit: Habit, counters: Arc<Counters>) -> Self {
        let now = Instant::now();
        Self {
            agent,
            habit,
            counters,
            pending: VecDeque::new(),
            due: now + habit.phase,
            started: now,
            was_active: false,
        }
    }

    /// Works until `stop`, then waits for the last acks until `give_up`; gives the agent back.
    pub(super) async fn run(
        mut self,
        stop: CancellationToken,
        give_up: CancellationToken,
    ) -> SimAgent {
        let mut backoff = BACKOFF_BASE;
        loop {
            let connected = tokio::select! {
                connected = self.agent.connect() => connected,
                () = give_up.cancelled() => break,
            };
            match connected {
                Ok(link) => {
                    backoff = BACKOFF_BASE;
                    self.counters.connected();
                    let ended = tokio::select! {
                        ended = self.session(link, &stop) => ended,
                        () = give_up.cancelled() => break,
                    };
                    match ended {
                        Ok(()) => break,
                        Err(fault) => self.counters.fault(&fault),
                    }
                    self.counters.disconnected();
                }
                Err(fault) => self.counters.fault(&fault),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff) => {}
                () = give_up.cancelled() => break,
            }
            backoff = (backoff * 2).min(BACKOFF_CAP);
        }
        self.counters.left_over(self.pending.len());
        self.agent
    }

    /// One session. `Ok` when all is said and acknowledged.
    async fn session(
        &mut self,
        mut link: SimLink,
        stop: &CancellationToken,
    ) -> Result<(), SimError> {
        self.acknowledge(&Ack {
            acked_seq: link.welcome.acked_seq,
            refused: Vec::new(),
        });
        for pending in &mut self.pending {
            pending.sent = None;
        }
        self.send_pending(&mut link).await?;
        let heartbeat = Duration::from_secs(u64::from(link.welcome.heartbeat_s.max(1)));
        let mut beat = Instant::now() + heartbeat.mul_f64(self.habit.phase.as_secs_f64().fract());
        loop {
            let stopped = stop.is_cancelled();
            if stopped && self.pending.is_empty() {
                link.close().await;
                return Ok(());
            }
            let makes = !stopped
                && self.habit.interval.is_some()
                && self.pending.len() < RECEIPTS_IN_FLIGHT;
            tokio::select! {
                event = link.receive(Duration::from_secs(3600)) => match event? {
                    Event::Closed => return Err(SimError::Closed),
                    Event::Frame(frame) => self.handle(&mut link, *frame).await?,
                    Event::Binary(_) | Event::Other => {}
                },
                () = sleep_until(self.due + self.habit.linger), if makes => {
                    self.make_due()?;
                    self.send_pending(&mut link).await?;
                }
                () = sleep_until(beat) => {
                    beat += heartbeat;
                    link.send(&ToControlPlane::Heartbeat(self.heartbeat())).await?;
                    self.counters.heartbeat();
                }
                () = stop.cancelled(), if !stopped => {}
            }
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            uptime_s: self.started.elapsed().as_secs(),
            cpu_pct: Some(12.5),
            in_flight: 1,
            spool_depth: self.pending.len() as u64,
            ..Heartbeat::default()
        }
    }

    /// Signs every receipt that is due by now.
    fn make_due(&mut self) -> Result<(), SimError> {
        let Some(interval) = self.habit.interval else {
            return Ok(());
        };
        let now = Instant::now();
        while self.due <= now && self.pending.len() < RECEIPTS_IN_FLIGHT {
            let receipt = self.agent.next_receipt()?;
            self.pending.push_back(Pending {
                receipt,
                sent: None,
            });
            self.counters.made();
            self.due += interval;
        }
        if now.saturating_duration_since(self.due) > Duration::from_secs(1) {
            // Over the limit of what may be in flight: the rest is not made up for, and shows in the rate.
            self.due = now;
        }
        Ok(())
    }

    async fn send_pending(&mut self, link: &mut SimLink) -> Result<(), SimError> {
        let now = Instant::now();
        let mut from = self
            .pending
            .partition_point(|pending| pending.sent.is_some());
        while from < self.pending.len() {
            let to = (from + RECEIPTS_PER_BATCH).min(self.pending.len());
            link.send_receipts(self.pending.range(from..to).map(|pending| &pending.receipt))
                .await?;
            for pending in self.pending.range_mut(from..to) {
                pending.sent = Some(now);
            }
            from = to;
        }
        Ok(())
    }

    fn acknowledge(&mut self, ack: &Ack) {
        let now = Instant::now();
        while let Some(first) = self.pending.front() {
            if first.receipt.seq > ack.acked_seq {
                break;
            }
            self.counters.acked(first.sent.map(|sent| now - sent));
            self.pending.pop_front();
        }
        self.counters.refused(&ack.refused);
    }

    async fn handle(&mut self, link: &mut SimLink, frame: ToAgent) -> Result<(), SimError> {
        match frame {
            ToAgent::Ack(ack) => self.acknowledge(&ack),
            ToAgent::Need(need) => self.resend(link, need).await?,
            ToAgent::Probe(probe) => self.answer_probe(link, probe).await?,
            ToAgent::Error(error) => return Err(SimError::Link(error)),
            ToAgent::Status(status) => {
                self.counters.status(status.status, !self.was_active);
                self.was_active |= status.status == LifecycleStatus::Active;
            }
            ToAgent::Challenge(_)
            | ToAgent::Welcome(_)
            | ToAgent::Keys(_)
            | ToAgent::Job(_)
            | ToAgent::JobCancel(_)
            | ToAgent::Control(_) => {}
        }
        Ok(())
    }

    async fn resend(&mut self, link: &mut SimLink, need: Need) -> Result<(), SimError> {
        let wanted = |pending: &&Pending| (need.from..=need.to).contains(&pending.receipt.seq);
        let receipts: Vec<&SimReceipt> = self
            .pending
            .iter()
            .filter(wanted)
            .map(|pending| &pending.receipt)
            .collect();
        for batch in receipts.chunks(RECEIPTS_PER_BATCH) {
            link.send_receipts(batch.iter().copied()).await?;
        }
        Ok(())
    }

    /// Serves the probe at once and signs its receipt.
    async fn answer_probe(&mut self, link: &mut SimLink, probe: Probe) -> Result<(), SimError> {
        let request_id = probe.request_id.clone();
        let model = probe.model.clone();
        let receipt = self.agent.next_receipt_with(|draft| {
            draft.request_id = request_id;
            draft.source = Source::Probe;
            draft.model_id = model.unwrap_or_else(|| MODEL.to_owned());
            draft.ts_end = unix_now().as_secs();
            draft.tokens_output = u64::from(probe.max_tokens.min(8));
        })?;
        self.counters.made();
        self.pending.push_back(Pending {
            receipt,
            sent: None,
        });
        self.send_pending(link).await?;
        let result = ProbeResult {
            probe_id: probe.probe_id,
            request_id: Some(probe.request_id),
            outcome: ProbeOutcome::Ok,
            message: None,
            model: Some(super::MODEL.to_owned()),
            tokens_input: 20,
            tokens_output: 8,
            ttft_ms: Some(40),
            latency_ms: 300,
        };
        link.send(&ToControlPlane::ProbeResult(result)).await
    }
}
