//! How many receipts share a transaction.
//!
//! Many, so that they share a commit; and few enough that a transaction is short, because what came during it waits for
//! it, however few its node sent. How long is short depends on the disk: a transaction should work for twice as long as
//! its commit takes, so that most of the time is work. One that worked for longer makes the next ones smaller, and a
//! full one that was short makes them larger.

use std::time::Duration;

const LEAST: usize = 64;
const MOST: usize = 1000;
/// Work for each time that a commit takes.
const WORK_PER_COMMIT: u32 = 2;
/// How long a transaction should work, however fast the disk is.
const SHORTEST: Duration = Duration::from_millis(4);
/// However slow.
const LONGEST: Duration = Duration::from_millis(45);

/// The size of the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchSize(usize);

impl Default for BatchSize {
    fn default() -> Self {
        Self(MOST / 4)
    }
}

impl BatchSize {
    /// Receipts that do not wait for more.
    pub(super) fn receipts(self) -> usize {
        self.0
    }

    /// A batch of so many receipts was written in this time, and its commit took this much more.
    pub(super) fn worked(&mut self, receipts: usize, time: Duration, commit: Duration) {
        let aim = (commit * WORK_PER_COMMIT).clamp(SHORTEST, LONGEST);
        if time > aim * 4 / 3 {
            self.0 = (self.0 / 2).max(LEAST);
        } else if time < aim * 2 / 3 && receipts >= self.0 {
            self.0 = (self.0 + self.0 / 4).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after many full batches that take so long for each receipt, µs, with such a commit, ms.
    fn settled(each_us: u64, commit_ms: u64) -> usize {
        let mut size = BatchSize::default();
        for _ in 0..100 {
            let receipts = size.receipts();
            let worked = Duration::from_micros(each_us * receipts as u64);
            size.worked(receipts, worked, Duration::from_millis(commit_ms));
        }
        size.receipts()
    }

    #[test]
    fn transactions_are_as_large_as_they_are_short() {
        assert_eq!(settled(1, 1), MOST);
        assert_eq!(settled(10_000, 1), LEAST);
        let fast_disk = settled(40, 1);
        assert!((64..=140).contains(&fast_disk), "{fast_disk}");
        let slow_disk = settled(150, 25);
        assert!((200..=400).contains(&slow_disk), "{slow_disk}");
    }

    #[test]
    fn a_small_batch_says_nothing_of_larger_ones() {
        let mut size = BatchSize::default();
        size.worked(1, Duration::from_millis(1), Duration::ZERO);
        assert_eq!(size, BatchSize::default());
    }
}
