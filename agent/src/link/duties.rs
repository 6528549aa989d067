//! What the control plane may ask of the agent, and the bounds of it.
//!
//! Only what the owner's `allow` names is done; the rest is refused with a reason. Probes run beside the session in
//! a small pool, so that a slow runtime never delays acknowledgements.

use super::Parts;
use crate::mode::NetworkOrder;
use crate::proxy::Proxy;
use dgon_agent_core::owner::orders::describe;
use dgon_protocol::frame::{
    Control, Job, JobUpdate, Permission, Probe, ProbeOutcome, ProbeResult, ToControlPlane,
};
use dgon_protocol::relay::{Kind, RelayFrame};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Probes served at once.
const PROBES: usize = 4;

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

/// The duties of one session. Answers go into its bounded queue of frames.
pub(super) struct Duties {
    parts: Parts,
    allow: Vec<Permission>,
    pool: Arc<Semaphore>,
    answers: mpsc::Sender<ToControlPlane>,
}

impl Duties {
    pub(super) fn new(
        parts: Parts,
        allow: Vec<Permission>,
        answers: mpsc::Sender<ToControlPlane>,
    ) -> Self {
        Self {
            parts,
            allow,
            pool: Arc::new(Semaphore::new(PROBES)),
            answers,
        }
    }

    /// Serves a probe in the pool, or says why not.
    pub(super) fn probe(&self, probe: Probe) -> Option<ToControlPlane> {
        if !self.allow.contains(&Permission::Probe) {
            let reason = "the owner of this node does not allow probes";
            return Some(refused_probe(&probe, reason));
        }
        if let Some(reason) = self.not_serving() {
            return Some(refused_probe(&probe, &reason));
        }
        let Ok(permit) = Arc::clone(&self.pool).try_acquire_owned() else {
            return Some(refused_probe(
                &probe,
                "this node serves as many probes as it can already",
            ));
        };
        let prober = Arc::clone(&self.parts.prober);
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let result = prober.probe(probe).await;
            drop(permit);
            // The session may have ended; the control plane then asks again in the next one.
            drop(answers.send(ToControlPlane::ProbeResult(result)).await);
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
            Control::SetConfig { config } => tracing::warn!(
                settings = config.len(),
                "the control plane wants to change settings; this agent takes them from its owner alone"
            ),
        }
    }
}

fn refused_probe(probe: &Probe, reason: &str) -> ToControlPlane {
    ToControlPlane::ProbeResult(ProbeResult {
        probe_id: probe.probe_id.clone(),
        request_id: None,
        outcome: ProbeOutcome::Refused,
        message: Some(reason.to_owned()),
        model: probe.model.clone(),
        tokens_input: 0,
        tokens_output: 0,
        ttft_ms: None,
        latency_ms: 0,
    })
}
