//! Receipts of this node: signed into one chain, durable before the request's answer ends, handed to the link.
//!
//! One writer thread owns the spool and the chain, so chain order is spool order. Whatever waits when it comes
//! round is signed, written and synced as one batch: many requests share one sync, and none waits for more than
//! the sync in progress and its own.
//!
//! | module | owns |
//! |---|---|
//! | `random` | random bits of request ids |
//! | `recent` | receipts of work orders that are about to be handed back |
//! | `signer` | from facts to a signed receipt |
//! | `writer` | the thread |
//! | this one | the handle that proxy, link and local socket share |

mod random;
mod recent;
mod signer;
mod writer;

pub use signer::Signer;
pub use writer::Detached;
pub use writer::letter;

use crate::clock::{unix_ms, unix_s};
use crate::liveness::LivenessSignal;
use crate::own_command::own_command;
use crate::sink::{ReceiptSink, SinkError};
use crate::spool::{DeadLetter, DeadLetters, Lock, Spool, Stored, disk::Disk};
use dgon_agent_core::facts::RequestFacts;
use dgon_agent_core::spool::Full;
use dgon_protocol::frame::Ack;
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::Sha256Hash;
use futures_util::future::BoxFuture;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use writer::{Command, Writer};

/// Commands that wait for the writer. A request beyond it waits in its own task.
const QUEUE: usize = 1024;
/// How often an unsaved position is saved and a broken disk is tried.
const SETTLE: Duration = Duration::from_secs(1);
/// How often old receipts are looked for when nothing else happens.
const TRIM: Duration = Duration::from_secs(3600);

/// The end of the chain as a spool has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainEnd {
    /// `seq` of the last receipt.
    pub last_seq: u64,
    /// SHA-256 of its entry bytes.
    pub last_hash: Sha256Hash,
}

/// How the spool stands, for everyone who wants to know.
#[derive(Debug, Clone)]
pub struct SpoolStatus {
    /// Last durable `seq`; 0 where there is none.
    pub last_seq: u64,
    /// Last `seq` that may be sent: all of them, but for a disk that took no writes since the start.
    pub sendable_seq: u64,
    /// Everything up to here is acknowledged.
    pub acked_seq: u64,
    /// Oldest `seq` that is still kept.
    pub oldest_seq: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Most receipts that may wait.
    pub max_receipts: u64,
    /// How many more receipts there is room for.
    pub room: u64,
    /// Why no new request may start; `None` while one may.
    pub not_ready: Option<NotReady>,
    /// Receipts that were durable once and can no longer be read.
    pub damaged: u64,
    /// Refused receipts in the dead-letter file.
    pub dead_letters: u64,
    /// Day of the last receipt, since 1970, and the receipts made since it began.
    today: (u64, u64),
    /// Something is not saved yet, or the disk must be tried again.
    unsettled: bool,
}

impl SpoolStatus {
    /// Receipts made since midnight UTC.
    pub fn receipts_today(&self) -> u64 {
        let (day, count) = self.today;
        // Midnight needs no receipt to pass.
        if day == unix_s() / writer::DAY_S {
            count
        } else {
            0
        }
    }

    /// Receipts that wait for an acknowledgement.
    pub fn depth(&self) -> u64 {
        self.last_seq - self.acked_seq
    }
}

/// Why no new request may start.
#[derive(Debug, Clone)]
pub enum NotReady {
    /// A limit of the spool is reached.
    Full(Full),
    /// The disk takes no writes.
    Disk {
        /// What it cannot do.
        operation: &'static str,
        /// Why.
        source: Arc<io::Error>,
    },
    /// The control plane has receipts of this key that the spool does not: the spool was lost or put back from
    /// an older copy. Going on would sign a second receipt for the same `seq`.
    ChainBehind {
        /// Last `seq` that the control plane has.
        acked_seq: u64,
        /// Last `seq` here.
        last_seq: u64,
    },
}

impl NotReady {
    /// Short name for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Full(_) => "spool_full",
            Self::Disk { .. } => "spool_unwritable",
            Self::ChainBehind { .. } => "chain_behind",
        }
    }
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(full) => write!(f, "{full}"),
            Self::Disk { operation, source } => write!(
                f,
                "the spool cannot {operation} ({source}); no request is served until the disk takes writes again"
            ),
            Self::ChainBehind {
                acked_seq,
                last_seq,
            } => write!(
                f,
                "the control plane has receipts of this key up to {acked_seq} and this machine's spool ends at \
                 {last_seq}, so the spool was lost or put back from an older copy; a chain is never begun again: \
                 restore the spool folder, or rotate the key with `{}`",
                own_command("key rotate")
            ),
        }
    }
}

/// The handle. Cheap to clone; the writer ends when the last one is gone or [`Receipts::close`] is called.
#[derive(Debug, Clone)]
pub struct Receipts {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<SpoolStatus>,
    liveness: LivenessSignal,
    panicked: CancellationToken,
}

impl Receipts {
    /// Starts the writer thread and the task that keeps the spool tidy. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start<D: Disk>(
        spool: Spool<D>,
        signer: Signer,
        dead_letters: DeadLetters,
        lock: Option<Arc<Lock>>,
    ) -> io::Result<Self> {
        let (commands, queue) = mpsc::channel(QUEUE);
        let liveness = LivenessSignal::new("spool");
        let panicked = CancellationToken::new();
        let told = panicked.clone();
        let (writer, status) =
            Writer::new(spool, signer, dead_letters, lock, liveness.clone(), told);
        writer.start(queue)?;
        tokio::spawn(maintain(commands.downgrade(), status.clone()));
        Ok(Self {
            commands,
            status,
            liveness,
            panicked,
        })
    }

    /// What the watchdog is told of the writer.
    pub fn liveness(&self) -> LivenessSignal {
        self.liveness.clone()
    }

    /// Cancelled when the writer's thread panicked: then no receipt can be made any more, and the agent must end.
    pub fn panicked(&self) -> &CancellationToken {
        &self.panicked
    }

    /// How the spool stands now.
    pub fn status(&self) -> SpoolStatus {
        self.status.borrow().clone()
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<SpoolStatus> {
        self.status.clone()
    }

    /// Durable receipts from `from` on, in order; empty where there are none or the agent is stopping.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn read(
        &self,
        from: u64,
        max_count: usize,
        max_bytes: usize,
    ) -> io::Result<Vec<Stored>> {
        self.ask(|reply| Command::Read {
            from,
            max_count,
            max_bytes,
            reply,
        })
        .await
        .unwrap_or(Ok(Vec::new()))
    }

    /// Entry bytes of one durable receipt; `None` where it cannot be read or the agent is stopping. Cheap for receipts of
    /// work orders that were made a moment ago, and once for each.
    pub async fn entry(&self, seq: u64) -> Option<Vec<u8>> {
        let asked = self.ask(|reply| Command::Entry { seq, reply });
        asked.await.flatten()
    }

    /// The control plane has durably taken or refused everything up to `ack.acked_seq`, which is at most `sent_seq`, the
    /// last that was sent to it. Refused receipts go to the dead-letter file; refusals of receipts that are not in
    /// flight are ignored, and counted in the answer.
    pub async fn acknowledge(&self, ack: Ack, sent_seq: u64) -> usize {
        let command = |reply| Command::Ack {
            ack,
            sent_seq,
            reply,
        };
        self.ask(command).await.unwrap_or(0)
    }

    /// A session begins and the control plane says how far it has this chain, possibly less far than before.
    pub async fn resume_at(&self, acked_seq: u64) {
        self.ask(|reply| Command::ResumeAt { acked_seq, reply })
            .await;
    }

    /// Takes the spool from its writer; until [`Detached::resume`] everything that is asked waits. `None` where the
    /// agent is stopping.
    pub async fn hand_over(&self) -> Option<Detached> {
        self.ask(|reply| Command::HandOver { reply }).await
    }

    /// Puts refused receipts of another chain into the dead-letter file; durable on return.
    ///
    /// # Errors
    /// When that is not certain.
    pub async fn dead_letter(&self, letters: Vec<DeadLetter>) -> io::Result<()> {
        self.ask(|reply| Command::DeadLetter { letters, reply })
            .await
            .unwrap_or(Ok(()))
    }

    /// Saves what is to be saved and ends the writer; every receipt recorded before is durable.
    pub async fn close(&self) {
        self.ask(|reply| Command::Close { reply }).await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

impl ReceiptSink for Receipts {
    fn room(&self) -> Result<u64, SinkError> {
        if self.commands.is_closed() {
            return Err(SinkError::Closed);
        }
        let status = self.status.borrow();
        match &status.not_ready {
            None => Ok(status.room),
            Some(reason) => Err(sink_error(reason, &status)),
        }
    }

    fn full(&self) -> SinkError {
        let status = self.status.borrow();
        SinkError::Full {
            receipts: status.depth(),
            bytes: status.bytes,
        }
    }

    fn next_request_id(&self) -> RequestId {
        RequestId::generate(unix_ms(), random::u128())
    }

    fn record(&self, facts: RequestFacts) -> BoxFuture<'_, Result<u64, SinkError>> {
        let (reply, answer) = oneshot::channel();
        // Queued before the future is first polled: dropping it must not lose the receipt.
        let command = Command::Record {
            facts: Box::new(facts),
            reply,
        };
        match self.commands.try_send(command) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(command)) => {
                let commands = self.commands.clone();
                tokio::spawn(async move { commands.send(command).await });
            }
        }
        Box::pin(async move { answer.await.unwrap_or(Err(SinkError::Closed)) })
    }
}

fn sink_error(reason: &NotReady, status: &SpoolStatus) -> SinkError {
    match reason {
        NotReady::Full(_) => SinkError::Full {
            receipts: status.depth(),
            bytes: status.bytes,
        },
        NotReady::Disk { operation, source } => SinkError::Write(io::Error::new(
            source.kind(),
            format!("it cannot {operation}: {source}"),
        )),
        NotReady::ChainBehind { .. } => SinkError::Chain(reason.to_string()),
    }
}

/// Wakes the writer for what no request does: saving the position, trying a broken disk, trimming.
async fn maintain(commands: mpsc::WeakSender<Command>, mut status: watch::Receiver<SpoolStatus>) {
    loop {
        let wait = if status.borrow_and_update().unsettled {
            SETTLE
        } else {
            TRIM
        };
        let timed_out = tokio::select! {
            changed = status.changed(), if wait == TRIM => match changed {
                Ok(()) => false,
                Err(_) => return,
            },
            () = tokio::time::sleep(wait) => true,
        };
        if timed_out {
            let Some(commands) = commands.upgrade() else {
                return;
            };
            if commands.send(Command::Maintain).await.is_err() {
                return;
            }
        }
    }
}
