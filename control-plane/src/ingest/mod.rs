//! Receipts: parse, verify, chain, group commit, acknowledge.
//!
//! | module | owns |
//! |---|---|
//! | [`verify`] | one receipt's bytes: strict parse, node check, signature; pure, on a CPU pool |
//! | `room` | memory for receipts on their way, whichever way they came: bounded for all and for each node |
//! | `threads` | the CPU pool: it yields to all other work of the server |
//! | `gate`, `queue` | whose receipts are verified and committed next: fair to nodes, by `share` |
//! | `pending` | receipts are committed in pieces and answered for together |
//! | `plan` | what a batch means for chains and rows, over one transaction |
//! | `held` | receipts ahead of a gap, bounded |
//! | `gaps` | chains that have waited too long go on |
//! | `heads` | ends of chains that are remembered |
//! | `linger` | how long a receipt waits for others that share its commit |
//! | `retry` | what to do where the database refuses a batch |
//! | `commit` | the task that makes batches of many sessions durable together |
//! | `sealing` | sums of minutes that are over |
//! | `settle` | what follows from a commit: memory, answers, events |
//!
//! An answer to a [`Submission`] means that everything in it is durable, refused or held; it is never sent
//! before the commit. What waits in memory is bounded by [`Ingest::reserve`] and [`Ingest::reserve_or_refuse`]: who
//! cannot reserve waits his turn, and the agent's acknowledgements with him.

mod batch;
pub mod commit;
mod gaps;
mod gate;
mod heads;
mod held;
mod linger;
mod pending;
mod plan;
mod queue;
mod retry;
mod room;
mod sealing;
mod settle;
mod share;
mod threads;
pub mod verify;

use crate::app::NodeSession;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Need, Refused};
use dgon_protocol::id::RequestId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use verify::Checked;

pub use pending::Pending;
use pending::Reply;
pub use room::Reserved;
use room::{Full, Room};

/// Receipts that are verified, and committed, in one go: what other nodes wait for, however many one sends.
const PIECE: usize = 64;
/// Submissions that wait for the committer.
const SUBMISSIONS_QUEUED: usize = 1024;

/// Some receipts of one node, checked, on their way to the store.
#[derive(Debug)]
pub struct Submission {
    node: Arc<NodeSession>,
    items: Vec<Checked>,
    reply: Reply,
    _reserved: Arc<Reserved>,
}

/// How receipts that come together are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In pieces, so that what other nodes sent waits for no more than one of them.
    Pieces,
    /// In one transaction: an answer that says of each what became of it has seen what one brings for another.
    Whole,
}

/// What became of receipts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every `seq` up to this is durable or refused.
    pub head_seq: u64,
    /// One per receipt, in order.
    pub verdicts: Vec<ReceiptVerdict>,
    /// What is missing before receipts that are held.
    pub need: Option<Need>,
}

/// What became of one receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptVerdict {
    /// Which one; `None` where the bytes had no readable id.
    pub request_id: Option<RequestId>,
    /// What became of it.
    pub fate: Fate,
}

impl ReceiptVerdict {
    /// As the link tells it; `None` where it was not refused.
    pub fn refused(self) -> Option<Refused> {
        match self.fate {
            Fate::Refused { kind, message } => Some(Refused {
                request_id: self.request_id,
                kind,
                message: message.into(),
            }),
            Fate::Accepted | Fate::Duplicate | Fate::Archived | Fate::Held => None,
        }
    }
}

/// What became of one receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Durable now.
    Accepted,
    /// Durable since before, with the same bytes.
    Duplicate,
    /// Durable once; its row has had its time.
    Archived,
    /// In memory until what is missing before it comes.
    Held,
    /// Not taken.
    Refused {
        /// Why, for a program.
        kind: ErrorType,
        /// Why, for a person.
        message: String,
    },
}

/// Why a submission has no outcome. It may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The database refuses what belongs to these receipts, and not the receipts themselves.
    #[error("these receipts could not be made durable; send them again")]
    Store,
    /// As much of the node waits already as may.
    #[error("receipts of this node wait for their commit already; send these after their answer")]
    Busy,
    /// Others hold all the room, and gave none back in time.
    #[error("too many receipts wait for their commit now; send these again")]
    NoRoom,
    /// The committer has stopped.
    #[error("the control plane is stopping; send the receipts again when it is back")]
    Stopped,
}

/// The way of receipts into the store.
#[derive(Debug)]
pub struct Ingest {
    queue: mpsc::Sender<Submission>,
    inbox: Mutex<Option<mpsc::Receiver<Submission>>>,
    room: Arc<Room>,
    failing: AtomicBool,
}

impl Ingest {
    /// The queue; [`commit::run`] empties it.
    #[expect(
        clippy::new_without_default,
        reason = "a queue without its task is made on purpose, by App"
    )]
    pub fn new() -> Self {
        let (queue, inbox) = mpsc::channel(SUBMISSIONS_QUEUED);
        Self {
            queue,
            inbox: Mutex::new(Some(inbox)),
            room: Room::new(),
            failing: AtomicBool::new(false),
        }
    }

    /// Whether receipts wait because the database takes none now.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(crate) fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
    }

    /// The receiving end, once: for the committer.
    pub(crate) fn take_inbox(&self) -> Option<mpsc::Receiver<Submission>> {
        self.inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// What is free of the memory for receipts on their way, KiB.
    pub fn free_kib(&self) -> usize {
        self.room.free_kib()
    }

    /// Waits until `bytes` more of a node's receipts may be in memory. For a sender that sends nothing more until then.
    ///
    /// # Errors
    /// [`IngestError::Stopped`].
    pub async fn reserve(&self, node: &NodeSession, bytes: usize) -> Result<Reserved, IngestError> {
        self.room.reserve(node, bytes, Full::Wait).await
    }

    /// The same for a sender that may send many things at once: it waits for room that others hold, and not for longer
    /// than `within`.
    ///
    /// # Errors
    /// [`IngestError::Busy`] where the node's own part is taken, [`IngestError::NoRoom`] where none came in time,
    /// [`IngestError::Stopped`].
    pub async fn reserve_or_refuse(
        &self,
        node: &NodeSession,
        bytes: usize,
        within: Duration,
    ) -> Result<Reserved, IngestError> {
        let asked = self.room.reserve(node, bytes, Full::RefuseOwn);
        match tokio::time::timeout(within, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(IngestError::NoRoom),
        }
    }

    /// Queues checked receipts for the next transactions. There is an outcome once they are durable.
    ///
    /// # Errors
    /// [`IngestError::Stopped`].
    pub async fn submit(
        &self,
        node: Arc<NodeSession>,
        items: Vec<Checked>,
        reserved: Reserved,
        cut: Cut,
    ) -> Result<Pending, IngestError> {
        let mut pending = Pending::default();
        let (reserved, mut items) = (Arc::new(reserved), items.into_iter());
        let piece = match cut {
            Cut::Pieces => PIECE,
            Cut::Whole => usize::MAX,
        };
        loop {
            let some: Vec<Checked> = items.by_ref().take(piece).collect();
            if some.is_empty() {
                return Ok(pending);
            }
            let submission = Submission {
                node: Arc::clone(&node),
                items: some,
                reply: pending.piece(),
                _reserved: Arc::clone(&reserved),
            };
            let queued = self.queue.send(submission).await;
            queued.map_err(|_| IngestError::Stopped)?;
        }
    }
}
