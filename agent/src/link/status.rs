//! What is known of the link. Read by the local socket, the status line and the heartbeat's neighbours.

use dgon_protocol::frame::NodeStatus;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where the link is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No control plane is configured.
    Off,
    /// Dialling, or proving the key.
    Connecting,
    /// A session stands.
    Connected,
    /// The last attempt failed; the next comes by itself.
    Waiting,
    /// Another agent of this node took the link over; this one serves on and tries again after a while.
    Replaced,
    /// The agent is stopping.
    Stopped,
}

/// The link as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Where it is in its life.
    pub phase: Phase,
    /// The control plane's address.
    pub url: Option<String>,
    /// Name of the session, while there is one.
    pub session_id: Option<String>,
    /// Since when the session stands, unix ms.
    pub connected_ms: Option<u64>,
    /// Last acknowledgement, unix ms.
    pub last_ack_ms: Option<u64>,
    /// Why there is no session.
    pub last_error: Option<String>,
    /// How long until the next attempt, ms, as decided when the last one failed.
    pub retry_in_ms: Option<u64>,
    /// The node's lifecycle status, as the control plane last said.
    pub node: Option<NodeStatus>,
    /// This machine's clock less the control plane's, ms, at the start of the session.
    pub clock_ahead_ms: Option<i64>,
    /// Frames of types that this version does not know.
    pub unknown_frames: u64,
    /// Refusals of receipts that were not in flight.
    #[serde(default)]
    pub ignored_refusals: u64,
}

impl LinkStatus {
    /// A link that has not begun; `None` for an agent without a control plane.
    pub fn new(url: Option<String>) -> Self {
        Self {
            phase: if url.is_some() {
                Phase::Connecting
            } else {
                Phase::Off
            },
            url,
            session_id: None,
            connected_ms: None,
            last_ack_ms: None,
            last_error: None,
            retry_in_ms: None,
            node: None,
            clock_ahead_ms: None,
            unknown_frames: 0,
            ignored_refusals: 0,
        }
    }

    pub(super) fn waiting(&mut self, phase: Phase, reason: String, wait: Duration) {
        self.phase = phase;
        self.session_id = None;
        self.connected_ms = None;
        self.last_error = Some(reason);
        self.retry_in_ms = u64::try_from(wait.as_millis()).ok();
    }

    pub(super) fn connected(&mut self, session_id: String, now_ms: u64, clock_ahead_ms: i64) {
        self.phase = Phase::Connected;
        self.session_id = Some(session_id);
        self.connected_ms = Some(now_ms);
        self.last_error = None;
        self.retry_in_ms = None;
        self.clock_ahead_ms = Some(clock_ahead_ms);
    }
}
