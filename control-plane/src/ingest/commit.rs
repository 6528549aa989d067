//! Group commit: one task, one transaction for what many sessions sent, answers after the commit.

use super::held::Held;
use super::plan::{Plan, Time, Written};
use super::queue::FairQueue;
use super::verify::{Checked, Verified};
use super::{Fate, Outcome, ReceiptVerdict, Submission};
use crate::app::{App, DayFact, NodeSession};
use crate::bus::{CommittedReceipt, Event};
use dgon_control_plane_store::{Fault, StoreError, System};
use dgon_protocol::frame::{Ack, ToAgent};
use dgon_protocol::id::NodeId;
use futures_util::FutureExt as _;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Receipts that do not wait for more.
const BATCH: usize = 1000;
/// How long the first receipt of a batch waits for others.
const LINGER: Duration = Duration::from_millis(10);
/// How long the days of some nodes may take to be read.
const DAY_WITHIN: Duration = Duration::from_millis(500);
/// Pause after a day could not be read.
const DAY_RETRY: Duration = Duration::from_millis(100);
/// How often chains that wait for something missing are looked at.
const GAP_INTERVAL: Duration = Duration::from_secs(5);

/// Makes submissions durable until `stop` and until the queue is empty.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let Some(mut inbox) = app.ingest.take_inbox() else {
        return;
    };
    let mut committer = Committer {
        app,
        stop: stop.clone(),
        held: Held::default(),
        unplaced: HashMap::new(),
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
                        linger(&mut inbox, &mut queue).await;
                    }
                    None => return,
                },
                _ = gaps.tick() => committer.expire().await,
                () = stop.cancelled(), if !inbox.is_closed() => inbox.close(),
                () = std::future::ready(()), if committer.app.windows.is_behind() => {
                    committer.load_days().await;
                }
            }
        }
        // What came meanwhile is seen before the next batch is chosen.
        while let Ok(next) = inbox.try_recv() {
            queue.push(next);
        }
        let batch = queue.take(BATCH);
        if !batch.is_empty() {
            committer.commit(batch).await;
            committer.load_days().await;
        }
        if gaps.tick().now_or_never().is_some() {
            committer.expire().await;
        }
    }
}

/// Waits a little for others, so that many share a transaction.
async fn linger(inbox: &mut mpsc::Receiver<Submission>, queue: &mut FairQueue) {
    let deadline = Instant::now() + LINGER;
    while queue.receipts() < BATCH {
        match tokio::time::timeout_at(deadline, inbox.recv()).await {
            Ok(Some(next)) => queue.push(next),
            Ok(None) | Err(_) => return,
        }
    }
}

/// Owns what is between sessions and the store.
pub(super) struct Committer {
    pub(super) app: Arc<App>,
    pub(super) stop: CancellationToken,
    pub(super) held: Held,
    pub(super) unplaced: HashMap<i64, u64>,
}

impl Committer {
    /// A receipt is durable. One that nobody has signed proves nothing, not even to a probe.
    fn stored(&self, receipt: &Verified) {
        if receipt.is_signed {
            self.app.receipt_stored(&receipt.fields);
        }
    }

    /// Reads the days of some nodes that sent receipts for the first time since the start.
    async fn load_days(&self) {
        let now_ms = self.app.clock.now_ms();
        let loading = self.app.windows.load_some(&self.app.store, now_ms);
        match tokio::time::timeout(DAY_WITHIN, loading).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the day of a node was not read; it is tried again"
                );
                tokio::time::sleep(DAY_RETRY).await;
            }
            // Readers are busy; receipts do not wait for them.
            Err(_) => tracing::warn!("the day of a node was not read in time; it is tried again"),
        }
    }

    /// Chains that waited too long go on without what is missing.
    async fn expire(&mut self) {
        let now_ms = self.app.clock.now_ms();
        let patience = i64::try_from(self.app.settings.gap_after.as_millis()).unwrap_or(i64::MAX);
        let overdue = self.held.overdue(now_ms.saturating_sub(patience));
        if overdue.is_empty() {
            return;
        }
        let error = match self.write_in_time(&[], &overdue, now_ms).await {
            Ok(written) => return self.went_on(&overdue, written, now_ms),
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
                Ok(written) => self.went_on(&[key], written, now_ms),
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
        }
    }

    /// One transaction.
    pub(super) async fn write(
        &self,
        batch: &[Submission],
        overdue: &[i64],
        now_ms: i64,
    ) -> Result<Written, StoreError> {
        let mut tx = self.app.store.ingest_begin(System::of_the_server()).await?;
        let time = self.time(now_ms);
        let plan = Plan::new(&mut tx, batch, &self.held, self.unplaced.clone(), time);
        let written = plan.write(overdue).await?;
        tx.commit().await?;
        Ok(written)
    }

    /// After the commit: memory, changes of state, answers, events, in this order.
    pub(super) fn settle(&mut self, batch: Vec<Submission>, mut written: Written, now_ms: i64) {
        self.unplaced = std::mem::take(&mut written.unplaced);
        for changed in std::mem::take(&mut written.transitions) {
            match changed.next {
                Some(next) => self.app.node_changed(&changed.node_id, changed.old, next),
                None => self.app.attention.unsure_of(&changed.node_id),
            }
        }
        let (mut committed, mut facts) = (Vec::new(), Vec::new());
        let wanted = self.app.bus.has_readers();
        for (key, head) in &written.heads {
            let region = self.held.chain(*key).map(|chain| chain.node.region.clone());
            let region = region.unwrap_or_default();
            let reached = self.held.reached(*key, head.seq, now_ms).into_iter();
            for (seq, receipt) in reached {
                if written.held_stored.contains(&(*key, seq)) {
                    self.stored(&receipt);
                    facts.push(DayFact::of(&receipt.fields));
                    committed.push((receipt.fields, region.clone()));
                }
            }
        }
        let mut late_verdicts: HashMap<NodeId, Vec<ReceiptVerdict>> = HashMap::new();
        for refused in std::mem::take(&mut written.held_refused) {
            count(&refused.verdict.fate);
            let of_node = late_verdicts.entry(refused.node_id).or_default();
            of_node.push(refused.verdict);
        }
        let hold: HashMap<(usize, usize), u64> = written.hold.into_iter().collect();
        for (index, submission) in batch.into_iter().enumerate() {
            let Submission {
                node,
                items,
                reply,
                _reserved,
            } = submission;
            let mut verdicts = Vec::with_capacity(items.len());
            for (position, (item, fate)) in
                items.into_iter().zip(&mut written.fates[index]).enumerate()
            {
                let fate = std::mem::replace(fate, Fate::Held);
                let (request_id, receipt) = match item {
                    Checked::Verified(receipt) => {
                        (Some(receipt.fields.request_id.clone()), Some(receipt))
                    }
                    Checked::Refused(refused) => (refused.request_id, None),
                };
                count(&fate);
                if let Some(receipt) = &receipt
                    && matches!(fate, Fate::Accepted | Fate::Duplicate)
                {
                    self.stored(receipt);
                }
                match receipt {
                    Some(receipt) if fate == Fate::Accepted => {
                        facts.push(DayFact::of(&receipt.fields));
                        if wanted {
                            committed.push((receipt.fields, node.region.clone()));
                        }
                    }
                    Some(receipt) => {
                        if let Some(seq) = hold.get(&(index, position)) {
                            self.held.keep(&node, *seq, receipt, now_ms);
                        }
                    }
                    None => {}
                }
                verdicts.push(ReceiptVerdict { request_id, fate });
            }
            // An answer over HTTP has one verdict for each receipt of its request.
            if node.session_id.is_some() {
                verdicts.extend(late_verdicts.remove(&node.node_id).unwrap_or_default());
            }
            let head_seq = written
                .heads
                .get(&node.node_key_id)
                .map_or(0, |head| head.seq);
            let need = written.needs[index]
                .take()
                .filter(|need| need.to > head_seq)
                .or_else(|| self.held.dropped(node.node_key_id, head_seq));
            // A session that is gone needs no answer.
            let _ = reply.send(Ok(Outcome {
                head_seq,
                verdicts,
                need,
            }));
        }
        self.app.windows.count(&facts, now_ms);
        for (node_id, verdicts) in late_verdicts {
            self.app
                .sessions
                .tell(&node_id, ToAgent::Ack(refusals(verdicts)));
        }
        if wanted && !committed.is_empty() {
            let receipts = committed
                .into_iter()
                .map(|(fields, region)| CommittedReceipt {
                    fields,
                    region,
                    received_at_ms: now_ms,
                });
            self.app.bus.send(Event::Receipts(receipts.collect()));
        }
    }
}

/// Refusals that go out without an answer to carry them.
fn refusals(verdicts: Vec<ReceiptVerdict>) -> Ack {
    Ack {
        acked_seq: 0,
        refused: verdicts
            .into_iter()
            .filter_map(ReceiptVerdict::refused)
            .collect(),
    }
}

fn count(fate: &Fate) {
    match fate {
        Fate::Accepted => metrics::counter!("ingest_receipts_total", "verdict" => "accepted"),
        Fate::Duplicate => metrics::counter!("ingest_receipts_total", "verdict" => "duplicate"),
        Fate::Archived => metrics::counter!("ingest_receipts_total", "verdict" => "archived"),
        Fate::Held => metrics::counter!("ingest_receipts_total", "verdict" => "held"),
        Fate::Refused { kind, .. } => {
            metrics::counter!("ingest_receipts_total", "verdict" => kind.as_str())
        }
    }
    .increment(1);
}
