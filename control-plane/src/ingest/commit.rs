//! Group commit: one task, one transaction for what many sessions sent, answers after the commit.

use super::held::Held;
use super::plan::{Plan, PlanError, Written};
use super::verify::Checked;
use super::{Fate, IngestError, Outcome, ReceiptVerdict, Submission};
use crate::app::{App, Cause, NodeSession};
use crate::bus::{CommittedReceipt, Event};
use dgon_control_plane_model::lifecycle::Event as LifecycleEvent;
use dgon_control_plane_store::StoreError;
use dgon_protocol::frame::{Ack, ToAgent};
use dgon_protocol::receipt::Source;
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
/// How often chains that wait for something missing are looked at.
const GAP_INTERVAL: Duration = Duration::from_secs(5);
/// Careful plans of one batch; only another process can make one fail.
const CAREFUL_TRIES: usize = 3;

/// Makes submissions durable until `stop` and until the queue is empty.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let Some(mut inbox) = app.ingest.take_inbox() else {
        return;
    };
    let mut committer = Committer {
        app,
        held: Held::default(),
        unplaced: HashMap::new(),
    };
    let mut gaps = tokio::time::interval(GAP_INTERVAL.min(committer.app.settings.gap_after));
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            first = inbox.recv() => match first {
                Some(first) => {
                    collect(&mut inbox, first, &mut batch).await;
                    committer.commit(std::mem::take(&mut batch)).await;
                }
                None => return,
            },
            _ = gaps.tick() => committer.expire().await,
            () = stop.cancelled(), if !inbox.is_closed() => inbox.close(),
        }
    }
}

async fn collect(
    inbox: &mut mpsc::Receiver<Submission>,
    first: Submission,
    batch: &mut Vec<Submission>,
) {
    let deadline = Instant::now() + LINGER;
    let mut receipts = first.items.len();
    batch.push(first);
    while receipts < BATCH {
        match tokio::time::timeout_at(deadline, inbox.recv()).await {
            Ok(Some(next)) => {
                receipts += next.items.len();
                batch.push(next);
            }
            Ok(None) | Err(_) => return,
        }
    }
}

struct Committer {
    app: Arc<App>,
    held: Held,
    unplaced: HashMap<i64, u64>,
}

impl Committer {
    async fn commit(&mut self, batch: Vec<Submission>) {
        let now_ms = self.app.clock.now_ms();
        let started = std::time::Instant::now();
        match self.write(&batch, &[], now_ms).await {
            Ok(written) => {
                metrics::histogram!("db_query_duration_seconds", "op" => "receipt.ingest")
                    .record(started.elapsed().as_secs_f64());
                self.settle(batch, written, now_ms).await;
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "receipts not committed"
                );
                for submission in batch {
                    let _ = submission.reply.send(Err(IngestError::Store));
                }
            }
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
        match self.write(&[], &overdue, now_ms).await {
            Ok(written) => {
                let heads = written.heads.clone();
                let nodes = overdue
                    .iter()
                    .filter_map(|key| Some((*key, self.held.chain(*key)?.node.clone())));
                let nodes: Vec<_> = nodes.collect();
                self.settle(Vec::new(), written, now_ms).await;
                for (key, node) in nodes {
                    let head_seq = heads.get(&key).map_or(0, |head| head.seq);
                    self.tell(&node, key, head_seq);
                }
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "gaps not recorded"
            ),
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
        self.app.sessions.send(node_id, ToAgent::Ack(ack));
        if let Some(need) = self.held.dropped(key, head_seq) {
            self.app.sessions.send(node_id, ToAgent::Need(need));
        }
    }

    /// One transaction, planned again where request ids turn out to be taken.
    async fn write(
        &self,
        batch: &[Submission],
        overdue: &[i64],
        now_ms: i64,
    ) -> Result<Written, StoreError> {
        let mut tries = 0;
        loop {
            let mut tx = self.app.store.ingest_begin().await?;
            let plan = Plan::new(
                &mut tx,
                batch,
                &self.held,
                self.unplaced.clone(),
                now_ms,
                tries > 0,
            );
            match plan.write(overdue).await {
                Ok(written) => {
                    tx.commit().await?;
                    return Ok(written);
                }
                Err(PlanError::Store(error)) => return Err(error),
                Err(PlanError::Taken) if tries < CAREFUL_TRIES => tries += 1,
                Err(PlanError::Taken) => {
                    return Err(StoreError::Corrupt {
                        op: "receipt.insert",
                        what: "unique index",
                    });
                }
            }
        }
    }

    /// After the commit: memory, violations, answers, events, in this order.
    async fn settle(&mut self, batch: Vec<Submission>, mut written: Written, now_ms: i64) {
        self.unplaced = std::mem::take(&mut written.unplaced);
        for (node_id, violation, detail) in std::mem::take(&mut written.violations) {
            let event = LifecycleEvent::Violation(violation);
            if let Err(error) = self
                .app
                .node_event(&node_id, event, Cause::system(Some(&detail)))
                .await
            {
                tracing::error!(%node_id, error = &error as &dyn std::error::Error, "quarantine not written");
            }
        }
        let mut committed = Vec::new();
        let wanted = self.app.bus.has_readers();
        for (key, head) in &written.heads {
            committed.extend(self.held.reached(*key, head.seq, now_ms));
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
                match receipt {
                    Some(receipt) if fate == Fate::Accepted => {
                        if receipt.fields.source == Some(Source::Probe) {
                            self.app.lifecycle_wake.notify_one();
                        }
                        if wanted {
                            committed.push(receipt.fields);
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
        if wanted && !committed.is_empty() {
            let receipts = committed.into_iter().map(|fields| CommittedReceipt {
                fields,
                received_at_ms: now_ms,
            });
            self.app.bus.send(Event::Receipts(receipts.collect()));
        }
    }
}

fn count(fate: &Fate) {
    match fate {
        Fate::Accepted => metrics::counter!("ingest_receipts_total", "verdict" => "accepted"),
        Fate::Duplicate => metrics::counter!("ingest_receipts_total", "verdict" => "duplicate"),
        Fate::Held => metrics::counter!("ingest_receipts_total", "verdict" => "held"),
        Fate::Refused { kind, .. } => {
            metrics::counter!("ingest_receipts_total", "verdict" => kind.as_str())
        }
    }
    .increment(1);
}
