//! The agent's side of the link: one outbound WebSocket to the control plane (wire.md section 3).
//!
//! | module | owns |
//! |---|---|
//! | [`status`] | what is known of the link, for status and log |
//! | `dial` | from an address to an authenticated WebSocket |
//! | `knock` | the same up to the challenge, for the doctor |
//! | `session` | handshake and life of one session |
//! | `duties` | what the control plane may ask for: probes, control, jobs |
//!
//! Invariants: the link never holds the proxy up; every queue is bounded; receipts leave in `seq` order and only
//! when they are durable; nothing that the control plane sends can widen what the owner allows. An agent that was
//! replaced by a newer session of its node stops: two that take the link from each other would never rest.

mod dial;
mod duties;
mod knock;
mod session;
pub mod status;

pub use dial::DialError;
pub use duties::Prober;
pub use knock::{KnockError, knock};
pub use status::{LinkStatus, Phase};

use crate::liveness::LivenessSignal;
use crate::mode::ModeSwitch;
use crate::net::Network;
use crate::receipts::Receipts;
use dgon_agent_core::link::Backoff;
use dgon_protocol::frame::{Heartbeat, Inventory, Permission};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use futures_util::future::BoxFuture;
use session::{Ended, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Who the link speaks for, and with whom.
#[derive(Clone)]
pub struct LinkSettings {
    /// `ws://` or `wss://` address of the control plane's link.
    pub url: String,
    /// The enrolled name.
    pub node_id: NodeId,
    /// The receipt key.
    pub key: NodeKey,
    /// The HMAC secret.
    pub secret: Arc<[u8]>,
    /// What the owner lets the control plane ask for.
    pub allow: Vec<Permission>,
    /// Version of this agent.
    pub agent_version: String,
    /// Changes with every start of the machine.
    pub boot_id: String,
    /// How long a stopping agent waits for its last acknowledgements.
    pub flush_within: Duration,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// How to reach the control plane.
    pub network: Network,
}

impl std::fmt::Debug for LinkSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkSettings")
            .field("url", &self.url)
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

/// Takes a fresh heartbeat.
pub type TakeHeartbeat = Arc<dyn Fn() -> BoxFuture<'static, Heartbeat> + Send + Sync>;

/// The parts of the agent that the link speaks with.
#[derive(Clone)]
pub struct Parts {
    /// Receipts to send.
    pub receipts: Receipts,
    /// What the node has.
    pub inventory: watch::Receiver<Arc<Inventory>>,
    /// How the node is.
    pub heartbeat: TakeHeartbeat,
    /// Serves probes.
    pub prober: Arc<dyn Prober>,
    /// Whether the node takes work.
    pub mode: ModeSwitch,
    /// Rung when the control plane wants the inventory looked at again.
    pub refresh: Arc<Notify>,
    /// Tells the watchdog that the link moves.
    pub life: LivenessSignal,
}

/// The longest that one step of the link may take: more than any timeout within it, and a slow disk on top.
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// How a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkEnd {
    /// It was asked to.
    Stopped,
    /// A newer session of this node took over.
    Replaced,
}

/// Keeps the link up until `stop` or until a newer session takes over. Tells `status` what happens.
pub async fn run(
    settings: LinkSettings,
    parts: Parts,
    status: watch::Sender<LinkStatus>,
    stop: CancellationToken,
) -> LinkEnd {
    let mut backoff = settings.backoff.clone();
    while !stop.is_cancelled() {
        parts.life.within(STEP_WITHIN);
        let began = Instant::now();
        let ended = Session::new(&settings, &parts, &status).run(&stop).await;
        backoff.session_ended(began.elapsed());
        let retry_after = match &ended {
            Ended::Stopped => break,
            Ended::Replaced => {
                status.send_modify(|status| status.phase = Phase::Replaced);
                parts.life.rest();
                return LinkEnd::Replaced;
            }
            Ended::Failed { retry_after, .. } => *retry_after,
        };
        let wait = backoff.next_wait(rand::random(), retry_after);
        let reason = ended.to_string();
        // The same outage is told once, not at every attempt.
        let is_news = status.borrow().last_error.as_deref() != Some(reason.as_str());
        if is_news {
            tracing::warn!(%reason, retry_in_ms = wait.as_millis(), "no link to the control plane; receipts wait in the spool");
        } else {
            tracing::debug!(%reason, retry_in_ms = wait.as_millis(), "still no link to the control plane");
        }
        status.send_modify(|status| status.waiting(reason, wait));
        // Waiting is what a link without a control plane has to do.
        parts.life.within(wait + STEP_WITHIN);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => break,
        }
    }
    status.send_modify(|status| status.phase = Phase::Stopped);
    parts.life.rest();
    LinkEnd::Stopped
}
