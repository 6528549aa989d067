//! Signs of life: what parts of the agent promise, for the watchdog to judge.
//!
//! A part that must not stand still holds a [`LivenessSignal`] and says until when it will be heard of again. That costs
//! one store into memory; nobody is woken by it.

use dgon_agent_core::watchdog::Promise;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// The clock of all promises: it never goes back, and stands still while the machine sleeps.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// No promise: the part waits for others.
const RESTING: u64 = u64::MAX;

/// Time since the first use of this clock.
pub fn now() -> Duration {
    ORIGIN.elapsed()
}

/// The word of one part. Clones speak for the same part.
#[derive(Debug, Clone)]
pub struct LivenessSignal {
    part: &'static str,
    due_ms: Arc<AtomicU64>,
}

impl LivenessSignal {
    /// A part that has promised nothing yet.
    pub fn new(part: &'static str) -> Self {
        Self {
            part,
            due_ms: Arc::new(AtomicU64::new(RESTING)),
        }
    }

    /// "I am alive, and will be heard of again within this time."
    pub fn within(&self, time: Duration) {
        let due = now().saturating_add(time).as_millis();
        let due = u64::try_from(due).unwrap_or(RESTING);
        self.due_ms.store(due, Ordering::Relaxed);
    }

    /// "I wait for others, and that may take for ever."
    pub fn rest(&self) {
        self.due_ms.store(RESTING, Ordering::Relaxed);
    }

    /// What is promised now.
    pub fn promise(&self) -> Promise {
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        Promise {
            part: self.part,
            due: (due_ms != RESTING).then(|| Duration::from_millis(due_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_holds_until_it_is_renewed_or_given_up() {
        let link = LivenessSignal::new("link");
        assert_eq!(link.promise().due, None);
        let before = now();
        link.clone().within(Duration::from_secs(60));
        let due = link.promise().due.unwrap();
        // The stored time is cut to whole milliseconds.
        assert!(due + Duration::from_millis(1) >= before + Duration::from_secs(60));
        link.rest();
        assert_eq!(link.promise().due, None);
    }
}
