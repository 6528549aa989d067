//! Group commit: one task, one transaction for what many sessions sent, answers after the commit.

use super::Submission;
use super::batch::{BatchSize, Took};
use super::held::Held;
use super::plan::{Plan, Step, Time, Written};
use super::queue::FairQueue;
use crate::app::{App, NodeSession};
use dgon_control_plane_store::{Fault, StoreError, System};
use dgon_protocol::chain::Head;
use dgon_protocol::frame::{Ack, ToAgent};
use futures_util::FutureExt as _;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the first receipt of a batch waits for others where few come.
const LINGER: Duration = Duration::from_millis(10);
/// How long where many come: they share the commit, and the pages that it writes.
const LINGER_MOST: Duration = Duration::from_millis(40);
/// How often it is seen what came meanwhile. To be woken by each would cost as much as its row.
const LOOK: Duration = Duration::from_millis(5);
/// Receipts that come between two looks where many come.
const MANY: usize = 4;
/// How long the days of some nodes may take to be read.
const DAY_WITHIN: Duration = Duration::from_millis(500);
/// How long no day is read after one could not be.
const DAY_RETRY: Duration = Duration::from_millis(500);
/// How long no sums are written after some could not be, first; it doubles to [`SEAL_RETRY_MAX`].
const SEAL_RETRY: Duration = Duration::from_secs(1);
const SEAL_RETRY_MAX: Duration = Duration::from_secs(60);
/// How long the writing of some sums may take, with a recount where that is due.
const SEAL_WITHIN: Duration = Duration::from_secs(60);
/// How far the clock may go back and receipts are received at the time of the last one, ms: a list by time of receipt and
/// one by order are to say the same.
const BACK_MS: i64 = 300_000;
/// Ends of chains that are remembered, at most: then all are forgotten, and read when they are needed.
const HEADS: usize = 100_000;
/// How often chains that wait for something missing are looked at.
const GAP_INTERVAL: Duration = Duration::from_secs(5);

/// Makes submissions durable until `stop` and until the queue is empty.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let Some(mut inbox) = app.ingest.take_inbox() else {
        return;
    };
    let last_ms = app.store.last_received_ms(System::of_the_server()).await;
    let last_ms = last_ms.unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "when the last receipt came was not read; should the clock have gone back, lists by time may lack some"
        );
        0
    });
    let mut committer = Committer {
        app,
        stop: stop.clone(),
        held: Held::default(),
        unplaced: HashMap::new(),
        batch: BatchSize::default(),
        days_after: Instant::now(),
        seal_after: Instant::now(),
        seal_retry: SEAL_RETRY,
        last_ms: AtomicI64::new(last_ms),
        heads: Mutex::default(),
    };
    let mut gaps = tokio::time::interval(GAP_INTERVAL.min(committer.app.settings.gap_after));
    let mut queue = FairQueue::default();
    loop {
        if queue.is_empty() {
            tokio::select! {
                biased;
                first = inbox.recv() => match first {
                    Some(first) => {
                        queue.push(first);
                        linger(&mut inbox, &mut queue, committer.batch.receipts()).await;
                    }
                    None => return,
                },
                _ = gaps.tick() => committer.expire().await,
                () = stop.cancelled(), if !inbox.is_closed() => inbox.close(),
                () = std::future::ready(()), if committer.is_seal_due() => committer.seal().await,
                () = tokio::time::sleep_until(committer.days_after), if committer.app.windows.is_behind() => {
                    committer.load_days().await;
                }
            }
        }
        // What came meanwhile is seen before the next batch is chosen.
        while let Ok(next) = inbox.try_recv() {
            queue.push(next);
        }
        let batch = queue.take(committer.batch.receipts());
        if !batch.is_empty() {
            committer.commit(batch).await;
            committer.load_days().await;
            if committer.is_seal_due() {
                committer.seal().await;
            }
        }
        if gaps.tick().now_or_never().is_some() {
            committer.expire().await;
        }
    }
}

/// Waits a little for others, so that many share a transaction: longer where many come, and only until there are
/// `receipts`.
async fn linger(inbox: &mut mpsc::Receiver<Submission>, queue: &mut FairQueue, receipts: usize) {
    let begin = Instant::now();
    loop {
        let before = queue.receipts();
        if before >= receipts {
            return;
        }
        // A look is the last one where the next would be too late.
        tokio::time::sleep_until((Instant::now() + LOOK).min(begin + LINGER_MOST)).await;
        while let Ok(next) = inbox.try_recv() {
            queue.push(next);
        }
        let waited = begin.elapsed();
        let come = queue.receipts() - before;
        // Where nobody came, those that are here may be all that wait.
        if come == 0 || waited >= LINGER_MOST || (waited >= LINGER && come < MANY) {
            return;
        }
    }
}

/// Owns what is between sessions and the store.
pub(super) struct Committer {
    pub(super) app: Arc<App>,
    pub(super) stop: CancellationToken,
    pub(super) held: Held,
    pub(super) unplaced: HashMap<i64, u64>,
    pub(super) batch: BatchSize,
    /// When the next day of a node may be read.
    days_after: Instant,
    /// When the next sums may be written.
    seal_after: Instant,
    seal_retry: Duration,
    /// When receipts were last received, unix ms.
    last_ms: AtomicI64,
    heads: Mutex<Heads>,
}

/// Ends of chains as they are stored, where nobody else moves them.
#[derive(Debug, Default)]
struct Heads {
    of_keys: HashMap<i64, Head>,
    /// [`IngestTx::data_version`](dgon_control_plane_store::IngestTx::data_version) when they were read.
    data_version: i64,
}

impl Committer {
    /// Reads the days of some nodes that sent receipts for the first time since the start.
    async fn load_days(&mut self) {
        if Instant::now() < self.days_after {
            return;
        }
        let now_ms = self.now_ms();
        let loading = self.app.windows.load_some(&self.app, now_ms);
        match tokio::time::timeout(DAY_WITHIN, loading).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the day of a node was not read; it is tried again"
                );
            }
            Err(_) => tracing::warn!("the day of a node was not read in time; it is tried again"),
        }
        // Receipts do not wait for a day that cannot be read.
        self.days_after = Instant::now() + DAY_RETRY;
    }

    /// Now, unix ms, and not before what it was, unless the clock went back by minutes.
    pub(super) fn now_ms(&self) -> i64 {
        let (now_ms, last_ms) = (
            self.app.clock.now_ms(),
            self.last_ms.load(Ordering::Relaxed),
        );
        let is_small = (last_ms - BACK_MS..last_ms).contains(&now_ms);
        let now_ms = if is_small { last_ms } else { now_ms };
        self.last_ms.store(now_ms, Ordering::Relaxed);
        now_ms
    }

    fn is_seal_due(&self) -> bool {
        Instant::now() >= self.seal_after && self.app.open_minutes.is_due(self.now_ms())
    }

    /// Writes some sums of a minute that is over; whether that was done.
    pub(super) async fn write_sums(&self, now_ms: i64) -> bool {
        let sealing = async {
            self.make_sure().await?;
            let open = &self.app.open_minutes;
            open.seal_some(&self.app.store, now_ms).await
        };
        let slow = StoreError::Slow { op: "rollups.seal" };
        let sealed = tokio::time::timeout(SEAL_WITHIN, sealing).await;
        let sealed = sealed.unwrap_or(Err(slow)).inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "sums of a minute that is over are not written; it is tried again"
            );
        });
        sealed.is_ok()
    }

    /// The same where it is due, less and less often while it cannot be done.
    async fn seal(&mut self) {
        if self.write_sums(self.now_ms()).await {
            self.seal_retry = SEAL_RETRY;
            return;
        }
        self.seal_after = Instant::now() + self.seal_retry;
        self.seal_retry = (self.seal_retry * 2).min(SEAL_RETRY_MAX);
    }

    /// Chains that waited too long go on without what is missing.
    async fn expire(&mut self) {
        let now_ms = self.now_ms();
        let patience = i64::try_from(self.app.settings.gap_after.as_millis()).unwrap_or(i64::MAX);
        let overdue = self.held.overdue(now_ms.saturating_sub(patience));
        if overdue.is_empty() {
            return;
        }
        let error = match self.write_in_time(&[], &overdue, now_ms).await {
            Ok((written, _)) => return self.went_on(&overdue, written, now_ms),
            Err(error) => error,
        };
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "gaps not recorded; they are tried again"
        );
        if error.fault() != Fault::Data {
            return;
        }
        // One of the chains is to blame: the others go on.
        for key in overdue {
            match self.write_in_time(&[], &[key], now_ms).await {
                Ok((written, _)) => self.went_on(&[key], written, now_ms),
                Err(error) => {
                    let Some(chain) = self.held.forget(key) else {
                        continue;
                    };
                    tracing::error!(
                        node_id = %chain.node.node_id,
                        error = &error as &dyn std::error::Error,
                        "held receipts cannot be stored; the node sends them again"
                    );
                }
            }
        }
    }

    /// Chains went on without what was missing: memory and nodes follow.
    fn went_on(&mut self, keys: &[i64], written: Written, now_ms: i64) {
        let heads = written.heads.clone();
        let nodes: Vec<_> = keys
            .iter()
            .filter_map(|key| Some((*key, self.held.chain(*key)?.node.clone())))
            .collect();
        self.settle(Vec::new(), written, now_ms);
        for (key, node) in nodes {
            let head_seq = heads.get(&key).map_or(0, |head| head.seq);
            self.tell(&node, key, head_seq);
        }
    }

    /// Tells a node, outside of an answer, that its chain went on. The link speaks of the chain in use alone.
    fn tell(&mut self, node: &NodeSession, key: i64, head_seq: u64) {
        if key != node.node_key_id {
            return;
        }
        let node_id = &node.node_id;
        let ack = Ack {
            acked_seq: head_seq,
            refused: Vec::new(),
        };
        self.app.sessions.tell(node_id, ToAgent::Ack(ack));
        if let Some(need) = self.held.dropped(key, head_seq) {
            self.app.sessions.tell(node_id, ToAgent::Need(need));
        }
    }

    /// What a plan must know of time.
    pub(super) fn time(&self, now_ms: i64) -> Time {
        let days = i64::from(self.app.settings.retention.receipts_days);
        Time {
            now_ms,
            expired_before_s: now_ms / 1000 - days * 86_400,
            is_sealed: self.app.open_minutes.is_sealed(now_ms),
        }
    }

    fn lock_heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction, and what it took.
    pub(super) async fn write(
        &self,
        batch: &[Submission],
        overdue: &[i64],
        now_ms: i64,
    ) -> Result<(Written, Took), StoreError> {
        let asked = Instant::now();
        let mut tx = self.app.store.ingest_begin(System::of_the_server()).await?;
        let (time, began) = (self.time(now_ms), Instant::now());
        // Who fails takes them along, and they are read again.
        let mut heads = std::mem::take(&mut *self.lock_heads());
        let data_version = tx.data_version().await?;
        if heads.data_version != data_version {
            heads = Heads {
                of_keys: HashMap::new(),
                data_version,
            };
        }
        let (held, unplaced) = (&self.held, self.unplaced.clone());
        let plan = Plan::new(&mut tx, batch, held, &heads.of_keys, unplaced, time);
        let written = plan.write(overdue).await?;
        let work = began.elapsed();
        let held = overdue.iter().filter_map(|key| self.held.chain(*key));
        let nodes = held.map(|chain| &chain.node.node_id);
        let nodes = nodes.chain(batch.iter().map(|submission| &submission.node.node_id));
        let committing = self.app.open_minutes.committing(nodes.collect());
        tx.commit().await?;
        committing.stored(&written.facts);
        if self.app.store.has_one_server() && heads.of_keys.len() < HEADS {
            heads.of_keys.extend(&written.heads);
            *self.lock_heads() = heads;
        }
        let took = Took {
            answer: began - asked,
            work,
            commit: began.elapsed() - work,
        };
        Step::Committed.passed();
        Ok((written, took))
    }
}
