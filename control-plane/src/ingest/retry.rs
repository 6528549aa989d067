//! Making a batch durable where the database refuses.
//!
//! A batch that fails on its data is halved until the guilty submission is alone, and in that the guilty receipt is
//! found and refused; all others are stored. What fails for any other reason stays here and is tried again: nobody is
//! acknowledged, nobody is sent away.

use super::batch::Took;
use super::commit::{Committer, TRANSACTION};
use super::plan::{Plan, Written};
use super::verify::{Checked, Refused};
use super::{IngestError, Submission};
use dgon_control_plane_store::{Fault, StoreError, System};
use dgon_protocol::error::ErrorType;
use std::collections::HashMap;
use std::time::Duration;

/// First pause before a batch is tried again; doubles to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Receipts of one submission that the database may refuse before the rest is given up.
const GUILTY_MAX: usize = 8;

/// Why a batch is not durable.
pub(super) enum Failure {
    /// Its data: it fails again, however often.
    Data(StoreError),
    /// The program stops, and the database does not answer.
    Stopping,
}

impl Committer {
    /// Makes a batch durable, in parts where it must be, and answers for all of it.
    pub(super) async fn commit(&mut self, batch: Vec<Submission>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let now_ms = self.now_ms();
            match self.write_patiently(&part, now_ms).await {
                Ok((written, took)) => {
                    let receipts = part.iter().map(|submission| submission.items.len()).sum();
                    self.batch.took(receipts, took);
                    self.settle(part, written, now_ms);
                }
                Err(Failure::Stopping) => {
                    parts.push(part);
                    for submission in parts.drain(..).flatten() {
                        let _ = submission.reply.send(Err(IngestError::Stopped));
                    }
                }
                Err(Failure::Data(error)) if part.len() > 1 => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        submissions = part.len(),
                        "the database refuses data of a batch; it is halved"
                    );
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(Failure::Data(error)) => {
                    for submission in part {
                        self.refuse_guilty(submission, &error).await;
                    }
                }
            }
        }
    }

    /// Tries until the batch is durable or its data is to blame.
    async fn write_patiently(
        &mut self,
        batch: &[Submission],
        now_ms: i64,
    ) -> Result<(Written, Took), Failure> {
        let mut pause = PAUSE;
        loop {
            let started = std::time::Instant::now();
            let error = match self.write_in_time(batch, &[], now_ms).await {
                Ok(written) => {
                    self.app.ingest.set_failing(false);
                    metrics::histogram!("db_query_duration_seconds", "op" => "receipt.ingest")
                        .record(started.elapsed().as_secs_f64());
                    return Ok(written);
                }
                Err(error) if matches!(error.fault(), Fault::Data | Fault::Corrupt) => {
                    self.app.ingest.set_failing(false);
                    return Err(Failure::Data(error));
                }
                Err(error) => error,
            };
            self.app.ingest.set_failing(true);
            metrics::counter!("ingest_retries_total").increment(1);
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                receipts = batch.iter().map(|one| one.items.len()).sum::<usize>(),
                pause_ms = pause.as_millis(),
                "receipts are not committed yet; they are kept and tried again"
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return Err(Failure::Stopping),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Finds the receipts of a submission that the database cannot store, refuses them and stores the rest.
    async fn refuse_guilty(&mut self, mut submission: Submission, first: &StoreError) {
        tracing::error!(
            node_id = %submission.node.node_id,
            error = first as &dyn std::error::Error,
            "the database refuses data of a node"
        );
        // What is damaged in the database is not the sender's fault: it comes again when that is mended.
        let tries = if first.fault() == Fault::Data {
            GUILTY_MAX
        } else {
            0
        };
        for _ in 0..tries {
            let now_ms = self.now_ms();
            let one = std::slice::from_ref(&submission);
            match self.write_patiently(one, now_ms).await {
                Ok((written, _)) => return self.settle(vec![submission], written, now_ms),
                Err(Failure::Stopping) => {
                    let _ = submission.reply.send(Err(IngestError::Stopped));
                    return;
                }
                Err(Failure::Data(_)) => {
                    let Some(guilty) = self.first_guilty(&submission).await else {
                        break;
                    };
                    if !refuse(&mut submission.items[guilty]) {
                        break;
                    }
                }
            }
        }
        // Not a receipt, or too many of them: this node alone is told to come again.
        let _ = submission.reply.send(Err(IngestError::Store));
    }

    /// The position of the first item without which those before it are stored; found by halving, in transactions
    /// that are rolled back.
    async fn first_guilty(&mut self, submission: &Submission) -> Option<usize> {
        // The first `good` items pass, the first `bad` fail.
        let (mut good, mut bad) = (0, submission.items.len());
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            let passes = tokio::time::timeout(TRANSACTION, self.passes(submission, middle));
            let slow = StoreError::Slow {
                op: "receipt.ingest",
            };
            match passes.await.unwrap_or(Err(slow)) {
                Ok(true) => good = middle,
                Ok(false) => bad = middle,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the guilty receipt was not found"
                    );
                    return None;
                }
            }
        }
        (bad > 0).then(|| bad - 1)
    }

    async fn passes(&mut self, submission: &Submission, items: usize) -> Result<bool, StoreError> {
        let mut tx = self.app.store.ingest_begin(System::of_the_server()).await?;
        let now_ms = self.now_ms();
        let time = self.time(now_ms);
        let one = std::slice::from_ref(submission);
        let (known, unplaced) = (HashMap::new(), self.unplaced.clone());
        let plan = Plan::new(&mut tx, one, &self.held, &known, unplaced, time);
        match plan.first(items).write(&[]).await {
            Ok(_) => Ok(true),
            Err(error) if error.fault() == Fault::Data => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Turns a receipt that cannot be stored into a refused one; false where it was refused already.
fn refuse(item: &mut Checked) -> bool {
    let Checked::Verified(receipt) = item else {
        return false;
    };
    let refused = Refused {
        kind: ErrorType::InvalidReceipt,
        message: "the database of the control plane cannot hold this receipt".to_owned(),
        request_id: Some(receipt.fields.request_id.clone()),
        key: receipt.key,
        link: receipt.link(),
        unknown_key: false,
        bytes: std::mem::take(&mut receipt.entry),
    };
    *item = Checked::Refused(Box::new(refused));
    true
}
