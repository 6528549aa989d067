//! Sums of minutes that are over: written between the transactions of receipts, a piece at a time, and counted anew where
//! nobody knows what a commit did.

use super::commit::Committer;
use dgon_control_plane_store::StoreError;
use std::time::Duration;
use tokio::time::Instant;

/// How long the writing of some sums may take, with a recount where that is due.
const WITHIN: Duration = Duration::from_secs(60);
/// How long no sums are written after some could not be, first; it doubles to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How long no sums are written.
#[derive(Debug)]
pub(super) struct Pause {
    until: Instant,
    next: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            until: Instant::now(),
            next: RETRY,
        }
    }
}

impl Pause {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Some were tried: it grows while they cannot be written.
    fn tried(&mut self, is_done: bool) {
        if is_done {
            self.next = RETRY;
        } else {
            self.until = Instant::now() + self.next;
            self.next = (self.next * 2).min(RETRY_MAX);
        }
    }
}

impl Committer {
    /// Counts open sums anew where that is due: for as long as it takes, which grows with what is to be counted and not with a
    /// batch, and not at a stop.
    pub(super) async fn make_sure(&mut self) -> Result<(), StoreError> {
        let app = &self.app;
        let nodes = tokio::select! {
            biased;
            nodes = app.open_minutes.sure(&mut self.counting, &app.store) => nodes?,
            () = self.stop.cancelled() => return Err(StoreError::Slow { op: "receipt.ingest" }),
        };
        // What a commit stored that did not say so is not in the days of their nodes, either.
        app.windows.read_again(&nodes);
        Ok(())
    }

    /// Whether sums of a minute that is over may be written now.
    pub(super) fn is_seal_due(&mut self) -> bool {
        let now_ms = self.now_ms();
        self.seal_pause.is_over() && self.app.open_minutes.is_due(now_ms)
    }

    /// Writes some sums of a minute that is over; whether that was done.
    pub(super) async fn write_sums(&mut self, now_ms: i64) -> bool {
        let sealing = async {
            self.make_sure().await?;
            let (app, counting) = (&self.app, &mut self.counting);
            app.open_minutes
                .seal_some(counting, &app.store, now_ms)
                .await
        };
        let slow = StoreError::Slow { op: "rollups.seal" };
        let sealed = tokio::time::timeout(WITHIN, sealing).await;
        let sealed = sealed.unwrap_or(Err(slow)).inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "sums of a minute that is over are not written; it is tried again"
            );
        });
        sealed.is_ok()
    }

    /// The same where it is due, less and less often while it cannot be done.
    pub(super) async fn seal(&mut self) {
        let now_ms = self.now_ms();
        let is_done = self.write_sums(now_ms).await;
        self.seal_pause.tried(is_done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_written_is_tried_less_and_less_often() {
        let mut pause = Pause::default();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(pause.is_over());
            pause.tried(false);
            tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
            assert!(!pause.is_over(), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        pause.tried(true);
        assert!(pause.is_over());
        pause.tried(false);
        tokio::time::advance(RETRY).await;
        assert!(pause.is_over());
    }
}
