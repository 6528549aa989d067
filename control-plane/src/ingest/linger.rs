//! How long the first receipt of a batch waits for others: they share its commit, and the pages that it writes.

use super::Submission;
use super::queue::FairQueue;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Where few come.
const LINGER: Duration = Duration::from_millis(10);
/// Where many come.
const LINGER_MOST: Duration = Duration::from_millis(40);
/// How often it is seen what came meanwhile. To be woken by each would cost as much as its row.
const LOOK: Duration = Duration::from_millis(5);
/// Receipts that come between two looks where many come.
const MANY: usize = 4;

/// Waits a little for others, so that many share a transaction: longer where many come, and only until there are
/// `receipts`.
pub(super) async fn linger(
    inbox: &mut mpsc::Receiver<Submission>,
    queue: &mut FairQueue,
    receipts: usize,
) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::queue::tests::submission;

    /// How long a receipt waits, ms, and how many it goes with, where `come` more are there before each look and a batch
    /// has room for `room`.
    async fn waits(come: usize, room: usize) -> (u128, usize) {
        let (sender, mut inbox) = mpsc::channel(1_000);
        let begin = Instant::now();
        let coming = tokio::spawn(async move {
            let mut often = tokio::time::interval_at(begin + LOOK / 2, LOOK);
            loop {
                often.tick().await;
                for _ in 0..come {
                    let one = submission("a", 1);
                    assert!(sender.try_send(one).is_ok(), "it waits for ever");
                }
            }
        });
        let mut queue = FairQueue::default();
        queue.push(submission("a", 1));
        linger(&mut inbox, &mut queue, room).await;
        coming.abort();
        (begin.elapsed().as_millis(), queue.receipts())
    }

    #[tokio::test(start_paused = true)]
    async fn the_more_come_the_longer_the_first_one_waits() {
        // Nobody comes: it is seen once.
        assert_eq!(waits(0, 1_000).await, (5, 1));
        assert_eq!(waits(1, 1_000).await, (10, 3));
        assert_eq!(waits(MANY - 1, 1_000).await, (10, 7));
        assert_eq!(waits(MANY, 1_000).await, (40, 33));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_waits_for_nobody() {
        assert_eq!(waits(MANY, 1).await, (0, 1));
        // As soon as it is seen that it is full.
        assert_eq!(waits(MANY, 6).await, (10, 9));
    }
}
