//! What the control plane may ask of the agent, and the bounds of it.
//!
//! Only what the owner's `allow` names is done; the rest is refused with a reason. Probes run beside the session, so
//! that a slow runtime never delays anything. How many run at once, and how large and long each may be, are limits of
//! the agent: a control plane that connects again finds the places taken as it left them.

use super::Parts;
use super::log::LinkLog;
use super::session::Outbox;
use crate::mode::NetworkOrder;
use crate::proxy::Proxy;
use dgon_agent_core::owner::orders::describe;
use dgon_protocol::frame::{
    Control, Job, JobUpdate, Permission, Probe, ProbeOutcome, ProbeResult, ToControlPlane,
};
use dgon_protocol::relay::{Kind, RelayFrame};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Probes served at once.
const PROBES: usize = 4;
/// Most tokens that a probe may ask for.
const PROBE_TOKENS: u32 = 256;
/// Longest that a probe may run, ms.
const PROBE_MS: u32 = 60_000;
/// A prober that does not keep its own time is cut off after this.
const PROBE_GRACE: Duration = Duration::from_secs(5);

/// The places for probes, of the agent and not of a session. Clones share them.
#[derive(Debug, Clone)]
pub struct ProbePlaces(Arc<Semaphore>);

impl Default for ProbePlaces {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PROBES)))
    }
}

impl ProbePlaces {
    /// A place for as long as the permit is held; `None` where all are taken.
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// Serves probes on the path that clients' requests take.
pub trait Prober: Send + Sync + 'static {
    /// Serves one.
    fn probe(&self, probe: Probe) -> BoxFuture<'_, ProbeResult>;
}

impl Prober for Arc<Proxy> {
    fn probe(&self, probe: Probe) -> BoxFuture<'_, ProbeResult> {
        Box::pin(self.run_probe(probe))
    }
}

/// Answers what the control plane asks for in one session.
pub(super) struct Requests {
    parts: Parts,
    allow: Vec<Permission>,
    outbox: Outbox,
    log: Arc<LinkLog>,
}

impl Requests {
    pub(super) fn new(
        parts: Parts,
        allow: Vec<Permission>,
        outbox: Outbox,
        log: Arc<LinkLog>,
    ) -> Self {
        Self {
            parts,
            allow,
            outbox,
            log,
        }
    }

    /// Serves a probe in one of the agent's places, or says why not.
    pub(super) fn probe(&self, mut probe: Probe) -> Option<ToControlPlane> {
        if !self.allow.contains(&Permission::Probe) {
            let reason = "the owner of this node does not allow probes";
            return Some(refused_probe(&probe, reason));
        }
        if let Some(reason) = self.not_serving() {
            return Some(refused_probe(&probe, &reason));
        }
        let Some(permit) = self.parts.probes.take() else {
            return Some(refused_probe(
                &probe,
                "this node serves as many probes as it can already",
            ));
        };
        probe.max_tokens = probe.max_tokens.clamp(1, PROBE_TOKENS);
        probe.timeout_ms = probe.timeout_ms.clamp(1, PROBE_MS);
        let within = Duration::from_millis(probe.timeout_ms.into()) + PROBE_GRACE;
        let late = late_probe(&probe);
        let prober = Arc::clone(&self.parts.prober);
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let result = timeout(within, prober.probe(probe)).await.unwrap_or(late);
            drop(permit);
            outbox.result(&ToControlPlane::ProbeResult(result)).await;
        });
        None
    }

    /// Jobs are refused: this agent has nothing that runs them.
    pub(super) fn job(&self, job: Job) -> ToControlPlane {
        let message = if !self.allow.contains(&job.kind) {
            "the owner of this node does not allow this kind of job".to_owned()
        } else if let Some(reason) = self.not_serving() {
            reason
        } else {
            "this version of the agent runs no jobs".to_owned()
        };
        ToControlPlane::JobUpdate(JobUpdate {
            job_id: job.job_id,
            state: "refused".to_owned(),
            message: Some(message),
        })
    }

    /// The answer to a binary frame: a stream that it opens is given up, with the reason.
    pub(super) fn relay(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let frame = RelayFrame::decode(bytes).ok()?;
        if frame.kind != Kind::Open {
            return None;
        }
        let reason = if !self.allow.contains(&Permission::Gateway) {
            "the owner of this node does not allow the gateway's requests".to_owned()
        } else if let Some(reason) = self.not_serving() {
            reason
        } else {
            "this version of the agent relays no requests".to_owned()
        };
        let refusal = RelayFrame {
            kind: Kind::Cancel,
            stream_id: frame.stream_id,
            payload: reason.as_bytes(),
        };
        refusal.encode().ok()
    }

    /// Why the node takes no work now.
    fn not_serving(&self) -> Option<String> {
        let reason = self.parts.mode.reason().map(describe)?;
        Some(format!("this node takes no work now: {reason}"))
    }

    fn order(&self, order: Option<NetworkOrder>) {
        self.parts.mode.order_by_network(order);
    }

    /// Changes how the agent runs.
    pub(super) fn control(&self, control: Control) {
        match control {
            Control::Pause => self.order(Some(NetworkOrder::Pause)),
            Control::Drain => self.order(Some(NetworkOrder::Drain)),
            // Takes back what the control plane ordered, never what the owner did.
            Control::Resume => self.order(None),
            Control::Refresh => self.parts.refresh.notify_one(),
            Control::SetConfig { config } => {
                if self.log.may_tell() {
                    tracing::warn!(
                        settings = config.len(),
                        "the control plane wants to change settings; this agent takes them from its owner alone"
                    );
                }
            }
        }
    }
}

fn refused_probe(probe: &Probe, reason: &str) -> ToControlPlane {
    ToControlPlane::ProbeResult(unserved(probe, ProbeOutcome::Refused, reason))
}

fn late_probe(probe: &Probe) -> ProbeResult {
    unserved(
        probe,
        ProbeOutcome::Timeout,
        "the probe was cut off: it did not end in its time",
    )
}

fn unserved(probe: &Probe, outcome: ProbeOutcome, reason: &str) -> ProbeResult {
    ProbeResult {
        probe_id: probe.probe_id.clone(),
        request_id: None,
        outcome,
        message: Some(reason.to_owned()),
        model: probe.model.clone(),
        tokens_input: 0,
        tokens_output: 0,
        ttft_ms: None,
        latency_ms: 0,
    }
}
