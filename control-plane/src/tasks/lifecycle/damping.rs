//! How often a node may try to become active: flap damping, as routers damp routes (RFC 2439).
//!
//! A try is what costs rows: the node is asked for, or a probe begins. What a node has tried is remembered and halves
//! with time; beyond [`FREE`] it waits until it is as little again. The way down is never held, so that a node which
//! cannot serve is not shown as one that can. Nothing that a node says shortens the wait.

use std::time::Duration;
use tokio::time::Instant;

/// Tries that cost no wait: three times from a runtime that came up to a probe of it.
const FREE: f64 = 6.0;
/// Time in which what was tried counts half.
const HALF_LIFE: Duration = Duration::from_secs(1800);

/// What one node has tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Damping {
    tried: f64,
    at: Option<Instant>,
    held_until: Option<Instant>,
}

impl Damping {
    /// It tries once more.
    pub(super) fn tried(&mut self, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now - at);
        let halvings = passed.as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.tried = self.tried * (-halvings).exp2() + 1.0;
        self.at = Some(now);
        let over = (self.tried / FREE).log2();
        self.held_until = (over > 0.0).then(|| now + HALF_LIFE.mul_f64(over));
    }

    /// Until when it may not try again.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// Whether it may not try now.
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_tries_are_free_and_then_there_is_one_every_few_minutes() {
        let start = Instant::now();
        let (mut damping, mut now, mut tries) = (Damping::default(), start, 0);
        while now < start + Duration::from_secs(3600) {
            if !damping.is_held(now) {
                damping.tried(now);
                tries += 1;
            }
            now += Duration::from_millis(100);
        }
        assert!((12..=18).contains(&tries), "{tries}");
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut now = Instant::now();
        let mut damping = Damping::default();
        for _ in 0..100 {
            damping.tried(now);
            assert!(!damping.is_held(now));
            now += Duration::from_secs(600);
        }
    }
}
