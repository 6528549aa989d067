//! The local socket: how commands on this machine speak with the running agent.
//!
//! A Unix socket in the state directory, mode 0600, and its peer is asked who it is: only the user who runs the
//! agent and root are answered. One connection carries one
//! [`Request`] and one [`Answer`], each a line of JSON. Connections, line length and time are bounded.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::{ask, listener_pid, serve};
#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub use windows::{ask, listener_pid, serve};
#[cfg(not(any(unix, windows)))]
mod other;
#[cfg(not(any(unix, windows)))]
pub use other::{ask, listener_pid, serve};

#[cfg(any(unix, windows))]
mod exchange;

use crate::link::LinkStatus;
use crate::own_command::own_command;
use crate::owner::OwnerReport;
use crate::runtime::EndpointReport;
use crate::telemetry::Tokens;
use dgon_protocol::frame::{Gpu, GpuLoad, GpusNotRead, Runtime};
use dgon_protocol::key::PublicKey;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// What a command asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// How are you?
    Status,
    /// Take no work from the network until it is resumed, also after a restart.
    Pause,
    /// Take work again: lifts the owner's pause and drain, and nothing else.
    Resume,
    /// Finish what runs, take no more; until it is resumed or the agent ends.
    Drain,
    /// Stop as after a SIGTERM: take no more requests, let running answers end, write, end.
    Stop,
    /// Look at GPUs, runtimes and models again.
    Refresh,
    /// Change the node's key.
    RotateKey,
    /// Let go of the GPU drivers, and open none.
    ReleaseGpus {
        /// For how long, s; until [`Request::ReadGpus`] or the agent's end where it is absent.
        for_s: Option<u64>,
    },
    /// Read the GPUs again.
    ReadGpus,
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// It is done.
    Done,
    /// To [`Request::Pause`], [`Request::Resume`] and [`Request::Drain`]: what is in force now.
    Owner(OwnerReport),
    /// To [`Request::Stop`]: it begins to end.
    Stopping(Stopping),
    /// To [`Request::RotateKey`]: the key was changed.
    KeyRotated(Box<KeyRotated>),
    /// The request could not be read.
    Refused {
        /// Why.
        message: String,
    },
}

/// A stop that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Process id of the agent that ends.
    pub pid: u32,
    /// Requests that are being served, and may end.
    pub in_flight: u32,
    /// Receipts that wait for the control plane; they are on disk.
    pub receipts_waiting: u64,
    /// How long the stop may take, s.
    pub within_s: u64,
}

/// A change of keys that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The key before.
    pub old_key: PublicKey,
    /// The key now.
    pub new_key: PublicKey,
    /// Since when, unix ms by the control plane's clock; 0 where it has not said so yet.
    pub valid_from_ms: i64,
}

/// The running agent, as `dgon-agent status` shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The enrolled name.
    pub node_id: String,
    /// Where the node says it is.
    pub region: Option<String>,
    /// Version of the running agent.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Since it started, s.
    pub uptime_s: u64,
    /// Where the proxy listens.
    pub proxy: String,
    /// What it takes from the network, why not, and the owner's limits.
    pub owner: OwnerReport,
    /// Requests that are being served.
    pub in_flight: u32,
    /// Those of the machine's own users among them.
    pub in_flight_local: u32,
    /// Generated tokens a second, over the last half minute.
    pub tokens_per_second: f64,
    /// The link to the control plane.
    pub link: LinkStatus,
    /// The spool.
    pub spool: SpoolReport,
    /// Receipts and tokens since midnight UTC; absent where the spool cannot be read, or takes long.
    pub today: Option<Tokens>,
    /// What the node earned since midnight UTC, a decimal number of USD; absent where the control plane does not
    /// tell, which is not 0.
    pub earnings_today_usd: Option<String>,
    /// The GPUs.
    pub gpus: Vec<Gpu>,
    /// Their load.
    pub gpu_loads: Vec<GpuLoad>,
    /// Why they are not read; absent where they are.
    #[serde(default)]
    pub gpus_not_read: Option<GpusNotRead>,
    /// The runtimes that answer.
    pub runtimes: Vec<Runtime>,
    /// Whether every endpoint was looked at once, so that one which is missing below is away; absent where the agent is
    /// too old to tell.
    #[serde(default)]
    pub has_looked: Option<bool>,
    /// Every endpoint that the owner named, and every other one where a runtime answers, as last looked at.
    #[serde(default)]
    pub endpoints: Vec<EndpointReport>,
    /// The HTTP proxy before the control plane, as the agent's environment names it.
    #[serde(default)]
    pub http_proxy: Option<String>,
    /// Every value in force, in the form of agent.yaml; null where the agent is too old to tell. Not typed, as another
    /// version may know other keys.
    #[serde(default)]
    pub configuration: serde_json::Value,
}

/// The spool, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolReport {
    /// Receipts that wait for the control plane.
    pub depth: u64,
    /// Most that may wait.
    pub max_receipts: u64,
    /// Bytes on disk, those of acknowledged receipts included.
    pub bytes: u64,
    /// Last receipt that was made with the key in use: each key has a chain of its own, which begins with 1.
    pub last_seq: u64,
    /// Last receipt of the key in use that the control plane has.
    pub acked_seq: u64,
    /// Receipts of former keys that wait for the control plane; absent where their spools cannot be read.
    #[serde(default)]
    pub former_waiting: Option<u64>,
    /// Receipts made since midnight UTC, under whatever key.
    pub receipts_today: u64,
    /// Refused receipts in the dead-letter file.
    pub dead_letters: u64,
    /// Receipts that can no longer be read.
    pub damaged: u64,
    /// Why no request is served, for a program: `spool_full`, `spool_unwritable` or `chain_behind`.
    pub not_ready: Option<String>,
    /// The same for a person.
    pub reason: Option<String>,
}

/// Answers requests.
pub trait Responder: Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, request: Request) -> BoxFuture<'_, Answer>;
}

/// Why the local socket failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Nobody listens.
    #[error("no agent runs with the state directory of {}; start one with `{}`", .0.display(), own_command("run"))]
    NotRunning(PathBuf),
    /// The socket cannot be used.
    #[error("the agent's socket {} cannot be used; run this command as the user who runs the agent", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody listens, and no answer comes.
    #[error(
        "the agent{} takes the question and does not answer within {} s; it may be halted (Ctrl-Z, SIGSTOP) or hang, and \
         `{}` says how to end it",
        pid.map_or(String::new(), |pid| format!(" (pid {pid})")),
        within.as_secs(),
        own_command("doctor")
    )]
    Silent {
        /// Its process id, where the system tells it.
        pid: Option<u32>,
        /// How long it was waited for.
        within: Duration,
    },
    /// The agent ended while it was asked.
    #[error("the agent ended before it answered; ask again")]
    HungUp,
    /// The answer is none of ours.
    #[error(
        "the running agent gave an answer that this version cannot read; restart it after an update"
    )]
    Answer,
    /// This system has no such sockets here.
    #[error("the local socket is not available on this system")]
    Unsupported,
}

/// Up to which `seq` the control plane has every receipt, as the running agent knows it; `None` where none runs.
/// The spool's own file lags behind by some seconds, to spare the disk.
pub async fn acked_seq(socket: &std::path::Path) -> Option<u64> {
    match ask(socket, Request::Status).await {
        Ok(Answer::Status(status)) => Some(status.spool.acked_seq),
        Ok(
            Answer::Refused { .. }
            | Answer::Done
            | Answer::KeyRotated(_)
            | Answer::Owner(_)
            | Answer::Stopping(_),
        )
        | Err(_) => None,
    }
}
