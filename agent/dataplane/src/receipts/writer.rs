//! The thread that owns spool and chain.
//!
//! It takes commands in order, gathers the receipts that wait into one batch, and answers each request once its
//! batch is durable. It ends when every handle is gone or it is told to close.

use super::ChainEnd;
use super::recent::Recent;
use super::{NotReady, Signer, SpoolStatus, sink_error};
use crate::clock::unix_s;
use crate::liveness::LivenessSignal;
use crate::sink::SinkError;
use crate::spool::{AppendError, DeadLetter, DeadLetters, Lock, Spool, Stored, disk::Disk};
use dgon_agent_core::facts::RequestFacts;
use dgon_protocol::frame::{Ack, Refused};
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::Signed;
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Most receipts in one batch: bounds memory and how long a command waits behind it.
const BATCH: usize = 512;
pub(super) const DAY_S: u64 = 24 * 3600;
/// Receipts read at once when refused ones are looked for.
const LOOKUP: usize = 256;
const LOOKUP_BYTES: usize = 1024 * 1024;

/// The longest that the disk may take for what waits; a writer that is stuck for longer is started anew.
const TURN_WITHIN: Duration = Duration::from_secs(60);

type RecordReply = oneshot::Sender<Result<u64, SinkError>>;

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Command {
    Record {
        facts: Box<RequestFacts>,
        reply: RecordReply,
    },
    Read {
        from: u64,
        max_count: usize,
        max_bytes: usize,
        reply: oneshot::Sender<io::Result<Vec<Stored>>>,
    },
    Entry {
        seq: u64,
        reply: oneshot::Sender<Option<Vec<u8>>>,
    },
    Ack {
        ack: Ack,
        sent_seq: u64,
        reply: oneshot::Sender<usize>,
    },
    ResumeAt {
        acked_seq: u64,
        reply: oneshot::Sender<()>,
    },
    DeadLetter {
        letters: Vec<DeadLetter>,
        reply: oneshot::Sender<io::Result<()>>,
    },
    Maintain,
    /// The spool is taken from the writer, which ends; what comes in waits for the next one.
    HandOver {
        reply: oneshot::Sender<Detached>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// What outlives a writer: everything but its spool and its key.
#[derive(Debug)]
pub struct Detached {
    /// Where the chain ends; `None` where the spool does not know its end.
    pub end: Option<ChainEnd>,
    /// The control plane has more of the chain than the spool.
    pub is_behind: bool,
    queue: mpsc::Receiver<Command>,
    status: watch::Sender<SpoolStatus>,
    dead_letters: DeadLetters,
    dead_letter_count: u64,
    today: Today,
    liveness: LivenessSignal,
    panicked: CancellationToken,
    lock: Option<Arc<Lock>>,
}

impl Detached {
    /// Starts a writer that goes on with this spool and this key; who waited for it meanwhile is served.
    ///
    /// # Errors
    /// When the system gives no thread; everything that waits is then refused.
    pub fn resume<D: Disk>(self, spool: Spool<D>, signer: Signer) -> io::Result<()> {
        let writer = Writer {
            spool,
            signer,
            dead_letters: self.dead_letters,
            status: self.status,
            ahead: None,
            refused: BTreeSet::new(),
            dead_letter_count: self.dead_letter_count,
            today: self.today,
            batch: Vec::new(),
            recent: Recent::default(),
            liveness: self.liveness,
            panicked: self.panicked,
            lock: self.lock,
        };
        writer.publish();
        writer.start(self.queue)
    }
}

pub(super) struct Writer<D: Disk> {
    spool: Spool<D>,
    signer: Signer,
    dead_letters: DeadLetters,
    status: watch::Sender<SpoolStatus>,
    /// Last `seq` that the control plane has, where that is more than we have.
    ahead: Option<u64>,
    /// Receipts in flight that were refused and not acknowledged yet.
    refused: BTreeSet<u64>,
    dead_letter_count: u64,
    today: Today,
    batch: Vec<(Box<RequestFacts>, RecordReply)>,
    recent: Recent,
    liveness: LivenessSignal,
    panicked: CancellationToken,
    lock: Option<Arc<Lock>>,
}

/// Tells that the writer's thread panicked: nobody joins it.
struct PanicTold(CancellationToken);

impl Drop for PanicTold {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

/// Receipts since midnight UTC.
#[derive(Debug)]
struct Today {
    day: u64,
    count: u64,
}

impl<D: Disk> Writer<D> {
    pub(super) fn new(
        spool: Spool<D>,
        signer: Signer,
        dead_letters: DeadLetters,
        lock: Option<Arc<Lock>>,
        liveness: LivenessSignal,
        panicked: CancellationToken,
    ) -> (Self, watch::Receiver<SpoolStatus>) {
        let day = unix_s() / DAY_S;
        let today = Today {
            day,
            count: spool.count_since(day * DAY_S),
        };
        let dead_letter_count = dead_letters.count();
        let (status, watcher) = watch::channel(SpoolStatus {
            last_seq: 0,
            sendable_seq: 0,
            acked_seq: 0,
            oldest_seq: 0,
            bytes: 0,
            max_receipts: 0,
            room: 0,
            not_ready: None,
            damaged: 0,
            dead_letters: 0,
            today: (0, 0),
            unsettled: false,
        });
        let writer = Self {
            spool,
            signer,
            dead_letters,
            status,
            ahead: None,
            refused: BTreeSet::new(),
            dead_letter_count,
            today,
            batch: Vec::new(),
            recent: Recent::default(),
            liveness,
            panicked,
            lock,
        };
        writer.publish();
        (writer, watcher)
    }

    /// Runs on a thread of its own.
    pub(super) fn start(self, queue: mpsc::Receiver<Command>) -> io::Result<()> {
        std::thread::Builder::new()
            .name("spool".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                let _told = PanicTold(self.panicked.clone());
                self.run(queue);
            })
            .map(drop)
    }

    fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        while let Some(first) = queue.blocking_recv() {
            self.liveness.within(TURN_WITHIN);
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::Record { facts, reply } => {
                        self.batch.push((facts, reply));
                        if self.batch.len() < BATCH {
                            next = queue.try_recv().ok();
                        }
                    }
                    Command::Close { reply } => {
                        queue.close();
                        self.write_batch();
                        self.close(&mut queue);
                        self.liveness.rest();
                        drop(self);
                        let _ = reply.send(());
                        return;
                    }
                    Command::HandOver { reply } => {
                        self.write_batch();
                        self.save_acked();
                        self.liveness.rest();
                        // Who asked is gone with its answer only when the agent ends.
                        drop(reply.send(self.hand_over(queue)));
                        return;
                    }
                    other => {
                        self.write_batch();
                        self.handle(other);
                    }
                }
            }
            self.write_batch();
            self.liveness.rest();
        }
        self.save_acked();
    }

    fn hand_over(self, queue: mpsc::Receiver<Command>) -> Detached {
        let is_certain = self.ahead.is_none()
            && self.spool.fault().is_none()
            && self.spool.certain_seq() == self.spool.index().last_seq();
        Detached {
            end: is_certain.then(|| ChainEnd {
                last_seq: self.spool.index().last_seq(),
                last_hash: self.spool.head(),
            }),
            is_behind: self.ahead.is_some(),
            queue,
            status: self.status,
            dead_letters: self.dead_letters,
            dead_letter_count: self.dead_letter_count,
            today: self.today,
            liveness: self.liveness,
            panicked: self.panicked,
            lock: self.lock,
        }
    }

    /// Writes what was queued before the queue closed.
    fn close(&mut self, queue: &mut mpsc::Receiver<Command>) {
        while let Ok(command) = queue.try_recv() {
            if let Command::Record { facts, reply } = command {
                self.batch.push((facts, reply));
            }
        }
        self.write_batch();
        self.save_acked();
        self.publish();
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Read {
                from,
                max_count,
                max_bytes,
                reply,
            } => {
                let damaged = self.spool.damaged();
                let _ = reply.send(self.spool.read(from, max_count, max_bytes));
                if self.spool.damaged() != damaged {
                    self.publish();
                }
            }
            Command::Entry { seq, reply } => {
                let _ = reply.send(self.entry(seq));
            }
            Command::Ack {
                ack,
                sent_seq,
                reply,
            } => {
                let ignored = self.acknowledge(ack, sent_seq);
                self.publish();
                let _ = reply.send(ignored);
            }
            Command::ResumeAt { acked_seq, reply } => {
                let last_seq = self.spool.index().last_seq();
                self.ahead = (acked_seq > last_seq).then_some(acked_seq);
                if self.ahead.is_none() {
                    self.spool.set_acked(acked_seq);
                }
                self.publish();
                let _ = reply.send(());
            }
            Command::Maintain => {
                self.spool.repair(unix_s());
                self.save_acked();
                self.trim();
                self.publish();
            }
            Command::DeadLetter { letters, reply } => {
                let _ = reply.send(self.keep_letters(&letters));
                self.publish();
            }
            // These are taken care of by the loop.
            Command::Record { .. } | Command::Close { .. } | Command::HandOver { .. } => {}
        }
    }

    /// Signs and appends the batch, then answers every request in it.
    fn write_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        let first_seq = self.spool.index().next_seq();
        let outcome = self.append(&batch);
        if outcome.is_ok() {
            self.count_today(batch.len() as u64);
        }
        // Before the answers: who is told of its receipt finds it in the status.
        self.publish();
        for (seq, (_, reply)) in (first_seq..).zip(batch) {
            let answer = match &outcome {
                Ok(()) => Ok(seq),
                Err(reason) => Err(sink_error(reason, &self.status.borrow())),
            };
            let _ = reply.send(answer);
        }
    }

    fn append(&mut self, batch: &[(Box<RequestFacts>, RecordReply)]) -> Result<(), NotReady> {
        if let Some(reason) = self.not_ready_to_append() {
            return Err(reason);
        }
        let mut prev_hash = self.spool.head();
        let first_seq = self.spool.index().next_seq();
        let signed: Vec<Signed> = (first_seq..)
            .zip(batch)
            .map(|(seq, (facts, _))| {
                let signed = self.signer.sign(facts, seq, prev_hash);
                prev_hash = signed.entry_hash;
                signed
            })
            .collect();
        self.spool.append(&signed, unix_s()).map_err(|error| {
            tracing::error!(
                error = %NotReady::from(error.clone()),
                receipts = signed.len(),
                "receipts could not be made durable; their requests fail"
            );
            NotReady::from(error)
        })?;
        for ((seq, (facts, _)), signed) in (first_seq..).zip(batch).zip(signed) {
            // Whoever gave the order is handed its receipt with the answer.
            if facts.order_hash.is_some() {
                self.recent.keep(seq, signed.entry_bytes);
            }
        }
        Ok(())
    }

    /// Entry bytes of a durable receipt.
    fn entry(&mut self, seq: u64) -> Option<Vec<u8>> {
        if let Some(entry_bytes) = self.recent.take(seq) {
            return Some(entry_bytes);
        }
        let stored = self.spool.read(seq, 1, 1).ok()?;
        let stored = stored.into_iter().next()?;
        (stored.seq == seq).then_some(stored.entry_bytes)
    }

    fn not_ready_to_append(&self) -> Option<NotReady> {
        if let Some(acked_seq) = self.ahead {
            let last_seq = self.spool.index().last_seq();
            return Some(NotReady::ChainBehind {
                acked_seq,
                last_seq,
            });
        }
        self.spool.fault().cloned().map(NotReady::from)
    }

    /// Takes an acknowledgement of what was sent up to `sent_seq`; how many refusals in it are of nothing that is in
    /// flight.
    fn acknowledge(&mut self, ack: Ack, sent_seq: u64) -> usize {
        if self.ahead.is_some() {
            return ack.refused.len();
        }
        let ignored = if ack.refused.is_empty() {
            0
        } else {
            self.refuse(ack.refused, sent_seq)
        };
        if ack.acked_seq > self.spool.index().acked_seq() {
            self.spool.set_acked(ack.acked_seq);
            self.trim();
        }
        let acked_seq = self.spool.index().acked_seq();
        self.refused = self.refused.split_off(&(acked_seq + 1));
        ignored
    }

    /// Puts refused receipts into the dead-letter file: those that are in flight, each once. What a refusal says of any
    /// other receipt is no verdict on something that was sent.
    fn refuse(&mut self, refused: Vec<Refused>, sent_seq: u64) -> usize {
        let count = refused.len();
        let mut by_id: HashMap<RequestId, Refused> = HashMap::new();
        for refusal in refused {
            if let Some(id) = refusal.request_id.clone() {
                by_id.entry(id).or_insert(refusal);
            }
        }
        let mut letters = Vec::new();
        let mut from = self.spool.index().acked_seq() + 1;
        while !by_id.is_empty() && from <= sent_seq {
            let batch = self
                .spool
                .read(from, LOOKUP, LOOKUP_BYTES)
                .unwrap_or_default();
            let Some(last) = batch.last() else { break };
            from = last.seq + 1;
            for stored in batch {
                let is_open = stored.seq <= sent_seq && !self.refused.contains(&stored.seq);
                let refusal = request_id(&stored).and_then(|id| by_id.remove(&id));
                if let Some(refusal) = refusal.filter(|_| is_open) {
                    self.refused.insert(stored.seq);
                    letters.push(letter(refusal, Some(stored)));
                }
            }
        }
        if let Err(error) = self.keep_letters(&letters) {
            tracing::error!(%error, "the dead-letter file could not be written; the receipts stay in the spool");
        }
        count - letters.len()
    }

    /// Keeps as many letters as the file takes. A batch is one line of the log, whatever its size.
    fn keep_letters(&mut self, letters: &[DeadLetter]) -> io::Result<()> {
        let Some(first) = letters.first() else {
            return Ok(());
        };
        tracing::warn!(
            receipts = letters.len(),
            request_id = first.refusal.request_id.as_ref().map(ToString::to_string),
            kind = %first.refusal.kind,
            reason = %first.refusal.message,
            "the control plane refused receipts; they go to the dead-letter file"
        );
        let kept = self.dead_letters.append(letters)?;
        self.dead_letter_count += kept as u64;
        if kept < letters.len() {
            tracing::error!(
                left_out = letters.len() - kept,
                "the dead-letter file is full; refused receipts stay in the spool alone until it is put aside"
            );
        }
        Ok(())
    }

    fn trim(&mut self) {
        if let Err(error) = self.spool.trim(unix_s()) {
            tracing::warn!(%error, "an old segment of the spool could not be removed");
        }
    }

    fn save_acked(&mut self) {
        if let Err(error) = self.spool.save_acked() {
            tracing::warn!(%error, "the acknowledged position could not be saved; receipts may be sent twice");
        }
    }

    fn count_today(&mut self, receipts: u64) {
        let day = unix_s() / DAY_S;
        if day == self.today.day {
            self.today.count += receipts;
        } else {
            // Also a clock that jumped to another day and comes home finds its receipts again.
            let count = self.spool.count_since(day * DAY_S);
            self.today = Today { day, count };
        }
    }

    fn publish(&self) {
        let index = self.spool.index();
        let room = index.room();
        let not_ready = self
            .not_ready_to_append()
            .or_else(|| room.err().map(NotReady::Full));
        self.status.send_replace(SpoolStatus {
            last_seq: index.last_seq(),
            sendable_seq: self.spool.certain_seq(),
            acked_seq: index.acked_seq(),
            oldest_seq: index.oldest_seq(),
            bytes: index.bytes(),
            max_receipts: index.limits().max_receipts,
            room: room.unwrap_or(0),
            not_ready,
            damaged: self.spool.damaged(),
            dead_letters: self.dead_letter_count,
            today: (self.today.day, self.today.count),
            unsettled: self.spool.has_unsaved_ack() || self.spool.fault().is_some(),
        });
    }
}

impl From<AppendError> for NotReady {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full(full) => Self::Full(full),
            AppendError::Disk { operation, source } => Self::Disk { operation, source },
        }
    }
}

/// The id in the bytes of a receipt of ours: they are canonical and flat, so the name stands in them once.
fn request_id(stored: &Stored) -> Option<RequestId> {
    const NAME: &[u8] = b"\"request_id\":\"";
    let at = memchr::memmem::find(&stored.entry_bytes, NAME)? + NAME.len();
    let rest = stored.entry_bytes.get(at..)?;
    let end = memchr::memchr(b'"', rest)?;
    let id = std::str::from_utf8(rest.get(..end)?).ok()?;
    RequestId::parse(id).ok()
}

/// A refused receipt as it is kept: `stored` is the receipt itself, where it still is in the spool.
pub fn letter(refusal: Refused, stored: Option<Stored>) -> DeadLetter {
    let seq = stored.as_ref().map(|stored| stored.seq);
    let receipt = stored
        .and_then(|stored| String::from_utf8(stored.entry_bytes).ok())
        .and_then(|text| RawValue::from_string(text).ok());
    DeadLetter {
        refused_s: unix_s(),
        refusal,
        seq,
        receipt,
    }
}
