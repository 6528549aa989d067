//! How many receipts share a transaction.
//!
//! Many, so that they share a commit; and few enough that a transaction is short, because what came during it waits for
//! it, however few its node sent. A transaction that worked for long makes the next ones smaller, and a full one that was
//! short makes them larger. What the commit itself takes does not count: that is the disk's, and smaller transactions would
//! only commit more often.

use std::time::Duration;

const LEAST: usize = 64;
const MOST: usize = 1000;
/// A transaction that works for longer is long.
const LONG: Duration = Duration::from_millis(60);
/// A full one that works for less is short.
const SHORT: Duration = Duration::from_millis(30);

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

    /// A batch of so many receipts was written in this time, its commit not counted.
    pub(super) fn worked(&mut self, receipts: usize, time: Duration) {
        if time > LONG {
            self.0 = (self.0 / 2).max(LEAST);
        } else if time < SHORT && receipts >= self.0 {
            self.0 = (self.0 + self.0 / 4).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after many full batches that take so long for each receipt, µs.
    fn settled(each_us: u64) -> usize {
        let mut size = BatchSize::default();
        for _ in 0..100 {
            let receipts = size.receipts();
            size.worked(receipts, Duration::from_micros(each_us * receipts as u64));
        }
        size.receipts()
    }

    #[test]
    fn transactions_are_as_large_as_they_are_short() {
        assert_eq!(settled(10), MOST);
        assert_eq!(settled(10_000), LEAST);
        let between = settled(150);
        assert!((200..=400).contains(&between), "{between}");
    }

    #[test]
    fn a_small_batch_says_nothing_of_larger_ones() {
        let mut size = BatchSize::default();
        size.worked(1, Duration::from_millis(1));
        assert_eq!(size, BatchSize::default());
    }
}
