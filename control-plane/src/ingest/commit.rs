//! Group commit: one task, one transaction for what many sessions sent, answers after the commit.

use super::Submission;
use super::batch::{BatchSize, Took};
use super::heads::Heads;
use super::held::Held;
use super::linger::linger;
use super::plan::{Plan, Step, Time, Written};
use super::queue::FairQueue;
use super::sealing::Pause;
use crate::app::{App, Counting};
use dgon_control_plane_store::{StoreError, System};
use futures_util::FutureExt as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the days of some nodes may take to be read.
const DAY_WITHIN: Duration = Duration::from_millis(500);
/// How long no day is read after one could not be.
const DAY_RETRY: Duration = Duration::from_millis(500);
/// How long one transaction may take before it is given up and tried again.
pub(super) const TRANSACTION: Duration = Duration::from_secs(60);
/// How far the clock may go back and receipts are received at the time of the last one, ms: a list by time of receipt and
/// one by order are to say the same.
const BACK_MS: i64 = 300_000;
/// How often chains that wait for something missing are looked at.
const GAP_INTERVAL: Duration = Duration::from_secs(5);

/// Makes submissions durable until `stop` and until the queue is empty.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let (Some(mut inbox), Some(counting)) =
        (app.ingest.take_inbox(), app.open_minutes.take_counting())
    else {
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
        counting,
        seal_pause: Pause::default(),
        last_ms,
        heads: Heads::default(),
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

/// Owns what is between sessions and the store.
pub(super) struct Committer {
    pub(super) app: Arc<App>,
    pub(super) stop: CancellationToken,
    pub(super) held: Held,
    pub(super) unplaced: HashMap<i64, u64>,
    pub(super) batch: BatchSize,
    /// When the next day of a node may be read.
    days_after: Instant,
    pub(super) counting: Counting,
    pub(super) seal_pause: Pause,
    /// When receipts were last received, unix ms.
    last_ms: i64,
    heads: Heads,
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
    pub(super) fn now_ms(&mut self) -> i64 {
        let now_ms = self.app.clock.now_ms();
        let is_a_little_back = (self.last_ms - BACK_MS..self.last_ms).contains(&now_ms);
        if !is_a_little_back {
            self.last_ms = now_ms;
        }
        self.last_ms
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

    /// One transaction, within its time; before it, what must be written or counted for there to be room.
    pub(super) async fn write_in_time(
        &mut self,
        batch: &[Submission],
        overdue: &[i64],
        now_ms: i64,
    ) -> Result<(Written, Took), StoreError> {
        self.make_sure().await?;
        self.app.open_minutes.look_at_clock(now_ms);
        // While receipts wait here, nobody else writes sums.
        while let Err(full) = self.app.open_minutes.has_room(now_ms) {
            if self.stop.is_cancelled() || !self.write_sums(now_ms).await {
                return Err(full);
            }
        }
        let write = self.write(batch, overdue, now_ms);
        match tokio::time::timeout(TRANSACTION, write).await {
            Ok(written) => written,
            Err(_) => Err(StoreError::Slow {
                op: "receipt.ingest",
            }),
        }
    }

    /// One transaction, and what it took.
    async fn write(
        &mut self,
        batch: &[Submission],
        overdue: &[i64],
        now_ms: i64,
    ) -> Result<(Written, Took), StoreError> {
        let asked = Instant::now();
        let mut tx = self.app.store.ingest_begin(System::of_the_server()).await?;
        let (time, began) = (self.time(now_ms), Instant::now());
        // Who fails takes them along, and they are read again.
        let heads = std::mem::take(&mut self.heads).at(tx.data_version().await?);
        let (held, unplaced) = (&self.held, self.unplaced.clone());
        let plan = Plan::new(&mut tx, batch, held, heads.of_keys(), unplaced, time);
        let written = plan.write(overdue).await?;
        let work = began.elapsed();
        let held = overdue.iter().filter_map(|key| self.held.chain(*key));
        let nodes = held.map(|chain| &chain.node.node_id);
        let nodes = nodes.chain(batch.iter().map(|submission| &submission.node.node_id));
        let open = &self.app.open_minutes;
        let committing = open.committing(&mut self.counting, nodes.collect());
        tx.commit().await?;
        committing.stored(&written.facts);
        if self.app.store.may_be_remembered() {
            self.heads = heads.moved(&written.heads);
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
