//! How often a node may try to become active: flap damping, as routers damp routes (RFC 2439).
//!
//! A try is what costs rows: the node comes back, is asked for, or a probe begins. What a node has tried is remembered
//! and halves with time; beyond what is free it waits until it is as little again. The way down from active is never
//! held, so that a node which cannot serve is not shown as one that can; while a node waits, nothing that it does is
//! written, and nothing that it says shortens the wait. A server that starts begins anew.

use std::time::Duration;
use tokio::time::Instant;

/// How much may be tried without a wait, and in which time what was tried counts half.
struct Pace {
    free: f64,
    half_life: Duration,
}

/// What a node is held to: a restart or three in half an hour, and a bad line all day long. Coming back, a runtime that
/// came up and a probe are a try each.
const PACES: [Pace; 2] = [
    Pace {
        free: 6.0,
        half_life: Duration::from_secs(1800),
    },
    Pace {
        free: 40.0,
        half_life: Duration::from_secs(12 * 3600),
    },
];

/// What one node has tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Damping {
    tried: [f64; PACES.len()],
    at: Option<Instant>,
    held_until: Option<Instant>,
}

impl Damping {
    /// It tries once more.
    pub(super) fn tried(&mut self, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now - at);
        self.at = Some(now);
        self.held_until = None;
        for (tried, pace) in self.tried.iter_mut().zip(&PACES) {
            let halvings = passed.as_secs_f64() / pace.half_life.as_secs_f64();
            *tried = *tried * (-halvings).exp2() + 1.0;
            let over = (*tried / pace.free).log2();
            let held_until = (over > 0.0).then(|| now + pace.half_life.mul_f64(over));
            self.held_until = self.held_until.max(held_until);
        }
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
    fn a_day_of_trying_is_bounded_too() {
        let start = Instant::now();
        let (mut damping, mut now, mut tries) = (Damping::default(), start, 0);
        while now < start + Duration::from_secs(30 * 86_400) {
            if !damping.is_held(now) {
                damping.tried(now);
                tries += 1;
            }
            now += Duration::from_secs(10);
        }
        assert!((30 * 50..30 * 60).contains(&tries), "{tries}");
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let mut now = Instant::now();
        let mut damping = Damping::default();
        for _ in 0..100 {
            damping.tried(now);
            assert!(!damping.is_held(now));
            now += Duration::from_secs(1800);
        }
    }
}
