//! Durations counted into fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};

/// Most buckets of one histogram.
const MOST: usize = 12;

/// A histogram whose bounds are fixed. Shared without a lock; a reader may see a duration in its bucket a moment
/// before it is in the sum.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets, ms, rising.
    bounds_ms: &'static [u64],
    /// One per bound, and one for all that is longer.
    counts: [AtomicU64; MOST + 1],
    sum_ms: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Upper bound of each bucket, s, and how many were at most that long.
    pub buckets: Vec<(f64, u64)>,
    /// All of them.
    pub count: u64,
    /// Their sum, s.
    pub sum_s: f64,
}

impl Histogram {
    /// An empty histogram. At most twelve bounds are used.
    pub fn new(bounds_ms: &'static [u64]) -> Self {
        Self {
            bounds_ms: &bounds_ms[..bounds_ms.len().min(MOST)],
            counts: Default::default(),
            sum_ms: AtomicU64::new(0),
        }
    }

    /// Counts one duration.
    pub fn record(&self, ms: u64) {
        let at = self.bounds_ms.partition_point(|bound| *bound < ms);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// How it stands.
    pub fn snapshot(&self) -> Snapshot {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(self.bounds_ms.len());
        for (bound, within) in self.bounds_ms.iter().zip(&self.counts) {
            count += within.load(Ordering::Relaxed);
            buckets.push((seconds(*bound), count));
        }
        count += self.counts[self.bounds_ms.len()].load(Ordering::Relaxed);
        Snapshot {
            buckets,
            count,
            sum_s: seconds(self.sum_ms.load(Ordering::Relaxed)),
        }
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let histogram = Histogram::new(&[10, 100]);
        for ms in [0, 10, 11, 100, 101, 5_000] {
            histogram.record(ms);
        }
        let now = histogram.snapshot();
        assert_eq!(now.buckets, [(0.01, 2), (0.1, 4)]);
        assert_eq!((now.count, now.sum_s), (6, 5.222));
    }
}
