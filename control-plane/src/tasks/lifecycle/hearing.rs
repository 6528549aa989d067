//! Since when a node's silence counts.
//!
//! What this program could not hear, because it had not begun or did not run for a while, is nobody's silence.

use crate::app::Clock;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time from one sign of life of this program to the next.
const BEAT: Duration = Duration::from_secs(1);
/// Without one for so long, it did not run: it was stopped, its machine slept, or others had all of the machine.
const STOPPED: Duration = Duration::from_secs(5);

/// Since when this program hears.
#[derive(Debug)]
pub(super) struct Hearing {
    clock: Clock,
    last: Mutex<Beat>,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    at: Instant,
    since_mono_ms: i64,
}

impl Hearing {
    /// From now on.
    pub(super) fn new(clock: Clock) -> Self {
        let last = Beat {
            at: Instant::now(),
            since_mono_ms: clock.mono_ms(),
        };
        Self {
            clock,
            last: Mutex::new(last),
        }
    }

    /// Gives a sign of life again and again, however long anything else takes.
    pub(super) async fn keep(&self) {
        loop {
            self.since_mono_ms();
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Since when silence counts, ms of monotonic time. Whoever asks first after a stop finds it out.
    pub(super) fn since_mono_ms(&self) -> i64 {
        self.beat(Instant::now())
    }

    fn beat(&self, now: Instant) -> i64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let stopped = now.saturating_duration_since(last.at);
        if stopped >= STOPPED {
            last.since_mono_ms = self.clock.mono_ms();
            tracing::warn!(
                seconds = stopped.as_secs(),
                "this program did not run for a while; nodes have time to be heard again"
            );
        }
        last.at = now;
        last.since_mono_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_time_without_a_sign_of_life_is_a_stop() {
        let clock = Clock::manual(1_000);
        let hearing = Hearing::new(clock.clone());
        let start = Instant::now();
        clock.advance(600_000);
        for s in 1..=60 {
            assert_eq!(hearing.beat(start + BEAT * s), 1_000, "{s}");
        }
        let stopped = start + BEAT * 60 + STOPPED;
        assert_eq!(hearing.beat(stopped), 601_000);
        clock.advance(1_000);
        assert_eq!(hearing.beat(stopped + BEAT), 601_000);
    }
}
