//! The agent's side of the link: one outbound WebSocket to the control plane (wire.md section 3).
//!
//! | module | owns |
//! |---|---|
//! | [`status`] | what is known of the link, for status and log |
//! | `dial` | from an address to an authenticated WebSocket |
//! | `handshake` | challenge, hello, welcome: both sides prove who they are |
//! | `refusal` | the body of a refused upgrade, however it is cut |
//! | `handshake_probe` | the way up to the challenge, for the doctor |
//! | `session` | life of one session: reader, writer, receipts, news |
//! | `requests` | what the control plane may ask for: probes, control, jobs |
//! | `streams` | requests of consumers that the control plane relays |
//! | `ended` | how a session ends |
//! | `log` | how often the link may speak in the log |
//!
//! Invariants: the link never holds the proxy up; every queue is bounded; receipts leave in `seq` order and only
//! when they are durable; nothing that the control plane sends can widen what the owner allows. Nothing is believed of
//! a server before it proved that it knows the node's secret, and nothing after it that it cannot show. A link that
//! another agent of the node took over tries again after minutes, later each time: two that take it from each other
//! at once would never rest.

mod dial;
mod ended;
mod handshake;
mod handshake_probe;
mod log;
mod refusal;
mod requests;
mod session;
pub mod status;
mod streams;

pub use dial::DialError;
pub use handshake_probe::{HandshakeProbeError, probe_handshake};
pub use requests::Prober;
pub use status::{LinkStatus, Phase};

use crate::liveness::LivenessSignal;
use crate::mode::ModeSwitch;
use crate::net::Network;
use crate::proxy::Proxy;
use crate::receipts::Receipts;
use dgon_agent_core::link::{Backoff, Takeovers};
use dgon_agent_core::order_gate::OrderGate;
use dgon_protocol::frame::{Heartbeat, Inventory, Permission};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::text::BoundedText;
use ended::Ended;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex};
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

impl LinkSettings {
    /// The HTTP proxy before the control plane, without user and password, or why it cannot be used; `None` where none
    /// stands between.
    pub fn http_proxy(&self) -> Option<String> {
        let target = dial::target_of(&self.url)?;
        match self.network.proxy_for(&target) {
            Ok(proxy) => proxy.map(|proxy| proxy.target().to_string()),
            Err(error) => Some(error.to_string()),
        }
    }
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
    /// Serves relayed requests.
    pub proxy: Arc<Proxy>,
    /// The work orders that were taken up. They outlive a session, so that none is played again in the next one.
    pub orders: Arc<Mutex<OrderGate>>,
    /// Whether the node takes work.
    pub mode: ModeSwitch,
    /// Rung when the control plane wants the inventory looked at again.
    pub refresh: Arc<Notify>,
    /// Tells the watchdog that the link moves.
    pub liveness: LivenessSignal,
}

/// The longest that one step of the link may take: more than any timeout within it, and a slow disk on top.
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// Longest reason that is shown and logged, characters: it may quote what a stranger sent.
const REASON_CHARS: usize = 1_024;

/// Keeps the link up until `stop`. Tells `status` what happens.
///
/// # Panics
/// When a task of a session does: an agent without its link must end, not go on as if it had one.
pub async fn run(
    settings: LinkSettings,
    parts: Parts,
    status: watch::Sender<LinkStatus>,
    stop: CancellationToken,
) {
    let (mut backoff, mut takeovers) = (settings.backoff.clone(), Takeovers::default());
    let log = Arc::new(log::LinkLog::default());
    while !stop.is_cancelled() {
        parts.liveness.within(STEP_WITHIN);
        let began = Instant::now();
        let ended = session::run(&settings, &parts, &status, &log, &stop).await;
        let lived = began.elapsed();
        let (phase, wait) = match &ended {
            Ended::Stopped => break,
            Ended::Replaced => (Phase::Replaced, takeovers.next_wait(rand::random())),
            Ended::Failed { retry_after, .. } => {
                backoff.session_ended(lived);
                takeovers.session_ended(lived);
                (
                    Phase::Waiting,
                    backoff.next_wait(rand::random(), *retry_after),
                )
            }
        };
        let reason = String::from(BoundedText::<REASON_CHARS>::new(&ended.to_string()));
        // The same outage is told once, not at every attempt.
        let is_news = status.borrow().last_error.as_deref() != Some(reason.as_str());
        if is_news && log.may_tell() {
            tracing::warn!(%reason, retry_in_ms = wait.as_millis(), "no link to the control plane; receipts wait in the spool");
        } else {
            tracing::debug!(%reason, retry_in_ms = wait.as_millis(), "still no link to the control plane");
        }
        status.send_modify(|status| status.waiting(phase, reason, wait));
        // Waiting is what a link without a control plane has to do.
        parts.liveness.within(wait + STEP_WITHIN);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => break,
        }
    }
    status.send_modify(|status| status.phase = Phase::Stopped);
    parts.liveness.rest();
}

fn now_ms() -> u64 {
    crate::clock::unix_ms()
}
