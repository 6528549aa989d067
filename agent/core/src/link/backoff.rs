//! When to dial again: full jitter, so that a fleet that lost its control plane does not come back at once.

use dgon_protocol::limits::{BACKOFF_BASE, BACKOFF_CAP, BACKOFF_RESET};
use std::time::Duration;

/// Longest wait that a server's `Retry-After` can ask for: a mistyped header must not strand a node for days.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(15 * 60);

/// First wait after another agent of the node took over.
const REPLACED_BASE: Duration = Duration::from_secs(5 * 60);
/// Longest wait after another agent of the node took over.
const REPLACED_CAP: Duration = Duration::from_secs(60 * 60);
/// A session that lived this long and was not taken over clears the takeovers before it.
const REPLACED_RESET: Duration = Duration::from_secs(60 * 60);

/// When to try again after another agent of the same node took the link over. Two that took it from each other at once
/// would never rest; so each waits, longer every time, and both say what to do.
#[derive(Debug, Clone, Default)]
pub struct Takeovers(u32);

impl Takeovers {
    /// How long to wait now: 5 to 10 minutes first, twice as long each time, at most an hour or two. `unit` is a random
    /// number in `0.0..1.0`.
    pub fn next_wait(&mut self, unit: f64) -> Duration {
        let base = REPLACED_BASE
            .saturating_mul(1 << self.0.min(16))
            .min(REPLACED_CAP);
        self.0 = self.0.saturating_add(1);
        base + base.mul_f64(fit(unit))
    }

    /// A session ended otherwise, after this long.
    pub fn session_ended(&mut self, lived: Duration) {
        if lived >= REPLACED_RESET {
            self.0 = 0;
        }
    }
}

fn fit(unit: f64) -> f64 {
    if unit.is_finite() {
        unit.clamp(0.0, 1.0)
    } else {
        1.0
    }
}

/// The state of the backoff: its bounds, and how often it was needed in a row.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::between(BACKOFF_BASE, BACKOFF_CAP)
    }
}

impl Backoff {
    /// A backoff that begins at `base` and never waits longer than `cap`.
    pub fn between(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// How long to wait now. `unit` is a random number in `0.0..1.0`. A `retry_after` wins over the backoff, and
    /// gets a little jitter on top.
    pub fn next_wait(&mut self, unit: f64, retry_after: Option<Duration>) -> Duration {
        let unit = fit(unit);
        let ceiling = self
            .base
            .saturating_mul(1 << self.failures.min(16))
            .min(self.cap);
        self.failures = self.failures.saturating_add(1);
        match retry_after {
            Some(asked) => asked.min(RETRY_AFTER_CAP) + self.base.mul_f64(unit),
            None => ceiling.mul_f64(unit),
        }
    }

    /// A session ended that had lived this long: a long one clears the failures before it.
    pub fn session_ended(&mut self, lived: Duration) {
        if lived >= BACKOFF_RESET {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        (0..count)
            .map(|_| backoff.next_wait(1.0, None).as_millis())
            .collect()
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let mut backoff = Backoff::default();
        assert_eq!(
            ceilings(&mut backoff, 9),
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
        for _ in 0..100 {
            assert!(backoff.next_wait(1.0, None) <= BACKOFF_CAP);
        }
    }

    #[test]
    fn jitter_is_full() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next_wait(0.0, None), Duration::ZERO);
        assert_eq!(backoff.next_wait(0.5, None), Duration::from_millis(500));
    }

    #[test]
    fn retry_after_wins_and_is_bounded() {
        let mut backoff = Backoff::default();
        let asked = Some(Duration::from_secs(90));
        assert_eq!(backoff.next_wait(0.0, asked), Duration::from_secs(90));
        let absurd = Some(Duration::from_secs(u64::MAX));
        assert!(backoff.next_wait(1.0, absurd) < Duration::from_secs(1000));
    }

    #[test]
    fn two_agents_of_one_node_take_the_link_from_each_other_less_and_less() {
        let mut takeovers = Takeovers::default();
        let minutes = |wait: Duration| wait.as_secs() / 60;
        let waits: Vec<u64> = (0..6).map(|_| minutes(takeovers.next_wait(0.0))).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        takeovers.session_ended(Duration::from_secs(60));
        assert_eq!(minutes(takeovers.next_wait(1.0)), 120);
        takeovers.session_ended(REPLACED_RESET);
        assert_eq!(minutes(takeovers.next_wait(1.0)), 10);
        assert_eq!(minutes(takeovers.next_wait(f64::NAN)), 20);
    }

    #[test]
    fn only_a_session_that_lived_clears_the_failures() {
        let mut backoff = Backoff::default();
        ceilings(&mut backoff, 5);
        backoff.session_ended(Duration::from_secs(59));
        assert_eq!(ceilings(&mut backoff, 1), [16_000]);
        backoff.session_ended(Duration::from_secs(60));
        assert_eq!(ceilings(&mut backoff, 1), [500]);
    }

    #[test]
    fn odd_random_numbers_do_no_harm() {
        for unit in [f64::NAN, f64::INFINITY, -1.0, 2.0] {
            assert!(Backoff::default().next_wait(unit, None) <= BACKOFF_CAP);
        }
    }
}
