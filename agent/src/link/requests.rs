//! What the control plane may ask of the agent, and the bounds of it.
//!
//! Only what the owner's `allow` names is done; the rest is refused with a reason. Probes run beside the session, so
//! that a slow runtime never delays anything. How many run at once, and how large and long each may be, are limits of
//! the proxy's admission: a control plane that connects again finds the places taken as it left them.

use super::Parts;
use super::log::LinkLog;
use super::session::Outbox;
use crate::mode::NetworkOrder;
use crate::proxy::Proxy;
use dgon_agent_core::owner::orders::describe;
use dgon_protocol::frame::{
    Control, Job, JobUpdate, Permission, Probe, ProbeOutcome, ProbeResult, ToControlPlane,
};
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// Serves probes on the path that clients' requests take.
pub trait Prober: Send + Sync + 'static {
    /// Lets one in; the future serves it within its time.
    ///
    /// # Errors
    /// The result of a probe that is not let in.
    fn probe(&self, probe: Probe) -> Result<BoxFuture<'static, ProbeResult>, Box<ProbeResult>>;
}

impl Prober for Arc<Proxy> {
    fn probe(&self, probe: Probe) -> Result<BoxFuture<'static, ProbeResult>, Box<ProbeResult>> {
        let served = self.begin_probe(probe)?;
        Ok(Box::pin(served))
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

    /// Serves a probe, or says why not.
    pub(super) fn probe(&self, probe: Probe) -> Option<ToControlPlane> {
        if !self.allow.contains(&Permission::Probe) {
            let reason = "the owner of this node does not allow probes";
            return Some(refused_probe(&probe, reason));
        }
        if let Some(reason) = self.not_serving() {
            return Some(refused_probe(&probe, &reason));
        }
        let served = match self.parts.prober.probe(probe) {
            Ok(served) => served,
            Err(result) => return Some(ToControlPlane::ProbeResult(*result)),
        };
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let result = served.await;
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
