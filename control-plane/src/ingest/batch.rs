//! How many receipts share a transaction.
//!
//! Many, so that they share a commit; and few enough that a transaction is short, because what came during it waits for
//! it, however few its node sent. How long is short depends on the disk: a transaction should work for twice as long as
//! its commit takes, so that most of the time is work. What a receipt costs depends on what it is, one that is stored
//! already less than one that leaves a gap: the size follows the dear ones.

use std::time::Duration;

const LEAST: usize = 64;
const MOST: usize = 1000;
/// Work for each time that a commit takes.
const WORK_PER_COMMIT: f64 = 2.0;
/// How long a transaction should work, s, however fast the disk is.
const SHORTEST_S: f64 = 0.004;
/// However slow.
const LONGEST_S: f64 = 0.045;
/// What is left of an estimate after one more transaction.
const FADES: f64 = 7.0 / 8.0;
/// How many times the estimate one transaction may be.
const DEARER_MAX: f64 = 4.0;
/// Smaller transactions say nothing of what a receipt costs: most of their time is that of any transaction.
const TELLING: usize = LEAST / 2;

/// The size of the next batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BatchSize {
    /// What a receipt costs, s: that of the dearest transaction of late.
    receipt_s: f64,
    /// What a commit takes, s: the middle of late.
    commit_s: f64,
}

impl Default for BatchSize {
    fn default() -> Self {
        Self {
            receipt_s: 60e-6,
            commit_s: 0.005,
        }
    }
}

impl BatchSize {
    /// Receipts that do not wait for more.
    pub(super) fn receipts(self) -> usize {
        let aim_s = (self.commit_s * WORK_PER_COMMIT).clamp(SHORTEST_S, LONGEST_S);
        ((aim_s / self.receipt_s) as usize).clamp(LEAST, MOST)
    }

    /// A batch of so many receipts was written in this time, and its commit took this much more.
    pub(super) fn worked(&mut self, receipts: usize, time: Duration, commit: Duration) {
        self.commit_s = self.commit_s * FADES + commit.as_secs_f64() * (1.0 - FADES);
        if receipts >= TELLING {
            // One that was held up by something else says little.
            let each_s = (time.as_secs_f64() / receipts as f64).min(self.receipt_s * DEARER_MAX);
            self.receipt_s = (self.receipt_s * FADES).max(each_s).max(1e-9);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after many full batches whose receipts cost so much each, µs, in turns, with such a commit, ms.
    fn settled(each_us: &[u64], commit_ms: u64) -> usize {
        let mut size = BatchSize::default();
        for each_us in each_us.iter().cycle().take(100) {
            let receipts = size.receipts();
            let worked = Duration::from_micros(each_us * receipts as u64);
            size.worked(receipts, worked, Duration::from_millis(commit_ms));
        }
        size.receipts()
    }

    #[test]
    fn transactions_are_as_large_as_they_are_short() {
        assert_eq!(settled(&[1], 1), MOST);
        assert_eq!(settled(&[10_000], 1), LEAST);
        let fast_disk = settled(&[40], 1);
        assert!((95..=105).contains(&fast_disk), "{fast_disk}");
        let slow_disk = settled(&[150], 25);
        assert!((290..=310).contains(&slow_disk), "{slow_disk}");
    }

    #[test]
    fn the_dear_ones_decide() {
        let mixed = settled(&[2, 2, 40], 1);
        assert!((95..=140).contains(&mixed), "{mixed}");
    }

    #[test]
    fn a_small_batch_says_nothing_of_what_a_receipt_costs() {
        let mut size = BatchSize::default();
        size.worked(1, Duration::from_millis(30), Duration::from_millis(5));
        assert_eq!(size, BatchSize::default());
    }
}
