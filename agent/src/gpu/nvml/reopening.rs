//! When a driver that has stopped to answer may be opened anew.
//!
//! Opening costs the driver a second and more and can wake cards, and what is broken for good does not mend by it: so
//! the waits double.

use std::time::{Duration, Instant};

/// The first wait between two attempts.
const FIRST: Duration = Duration::from_secs(10);
/// The longest.
const LONGEST: Duration = Duration::from_secs(300);

/// Attempts so far, and when the next is due.
#[derive(Debug, Default)]
pub(super) struct Reopening {
    tries: u32,
    not_before: Option<Instant>,
}

impl Reopening {
    /// Whether it may be tried at this time.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|at| now >= at)
    }

    /// It was tried at this time.
    pub(super) fn tried(&mut self, now: Instant) {
        let wait = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        self.not_before = now.checked_add(wait);
    }

    /// The driver answers: the next trouble is a new one.
    pub(super) fn healed(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_at_once_and_the_waits_double_up_to_a_limit() {
        let mut now = Instant::now();
        let mut reopening = Reopening::default();
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(reopening.is_due(now));
            reopening.tried(now);
            let from = now;
            while !reopening.is_due(now) {
                now += Duration::from_secs(1);
            }
            waits.push((now - from).as_secs());
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300, 300]);
        reopening.healed();
        assert!(reopening.is_due(now));
        reopening.tried(now);
        assert!(!reopening.is_due(now + Duration::from_secs(9)));
    }
}
