//! The log of the link, which a peer can make speak: bounded, however often the peer does something.

use dgon_agent_core::link::Bucket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Lines at once, and how often one more may come: about 2,900 a day at the very most.
const BURST: u32 = 20;
const EVERY: Duration = Duration::from_secs(30);

/// Decides which lines are written. One for all sessions of a link.
#[derive(Debug)]
pub(super) struct LinkLog {
    origin: Instant,
    bucket: Mutex<Bucket>,
    left_out: AtomicU64,
}

impl Default for LinkLog {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            bucket: Mutex::new(Bucket::new(BURST, EVERY)),
            left_out: AtomicU64::new(0),
        }
    }
}

impl LinkLog {
    /// Whether one more line may be written. Tells first how many were not.
    pub(super) fn may_tell(&self) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let may = bucket.take(self.origin.elapsed(), 1);
        drop(bucket);
        if !may {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "lines about the link were too many and were left out"
            );
        }
        true
    }
}
