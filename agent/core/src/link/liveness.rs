//! Whether the peer is still there: pings, missed pongs, and a machine that slept in between.
//!
//! The monotonic clock of most systems stands still while a machine sleeps, so a sleep shows as a wall clock that
//! ran ahead of it. The peer has given such a link up long ago; a ping with a short deadline finds out.

use dgon_protocol::limits::{MISSED_PONGS, PING};
use std::time::Duration;

/// The wall clock running ahead this much means that the machine slept or its clock was set.
const SLEPT: Duration = Duration::from_secs(20);
/// How long the peer has for a pong after a sleep.
const AFTER_SLEEP: Duration = Duration::from_secs(5);

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing until [`Liveness::deadline`].
    Wait,
    /// Send a ping.
    Ping,
    /// The peer is gone: close and dial again.
    Gone,
}

/// Watches one session.
#[derive(Debug, Clone)]
pub struct Liveness {
    deadline: Duration,
    unanswered: u32,
    tolerated: u32,
    seen: (Duration, u64),
}

impl Liveness {
    /// A session that begins at `now`, with the wall clock at `wall_ms`.
    pub fn new(now: Duration, wall_ms: u64) -> Self {
        Self {
            deadline: now + PING,
            unanswered: 0,
            tolerated: MISSED_PONGS,
            seen: (now, wall_ms),
        }
    }

    /// When [`Liveness::poll`] is due.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// A pong came, or anything else that only a living peer sends.
    pub fn heard(&mut self, now: Duration) {
        self.unanswered = 0;
        self.tolerated = MISSED_PONGS;
        self.deadline = now + PING;
    }

    /// Looks at both clocks.
    pub fn poll(&mut self, now: Duration, wall_ms: u64) -> Verdict {
        let (seen_at, seen_ms) = std::mem::replace(&mut self.seen, (now, wall_ms));
        let passed = now.saturating_sub(seen_at);
        let wall_passed = Duration::from_millis(wall_ms.saturating_sub(seen_ms));
        if wall_passed > passed + SLEPT {
            self.unanswered = 1;
            self.tolerated = 1;
            self.deadline = now + AFTER_SLEEP;
            return Verdict::Ping;
        }
        if now < self.deadline {
            return Verdict::Wait;
        }
        if self.unanswered >= self.tolerated {
            return Verdict::Gone;
        }
        self.unanswered += 1;
        self.deadline = now + PING;
        Verdict::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Polls with a wall clock that agrees with the monotonic one.
    fn poll(liveness: &mut Liveness, seconds: u64) -> Verdict {
        liveness.poll(at(seconds), seconds * 1000)
    }

    #[test]
    fn a_silent_peer_is_gone_after_two_missed_pongs() {
        let mut liveness = Liveness::new(at(0), 0);
        assert_eq!(poll(&mut liveness, 14), Verdict::Wait);
        assert_eq!(poll(&mut liveness, 15), Verdict::Ping);
        assert_eq!(poll(&mut liveness, 30), Verdict::Ping);
        assert_eq!(poll(&mut liveness, 44), Verdict::Wait);
        assert_eq!(poll(&mut liveness, 45), Verdict::Gone);
    }

    #[test]
    fn a_peer_that_answers_stays() {
        let mut liveness = Liveness::new(at(0), 0);
        for second in 1..1000 {
            assert_ne!(poll(&mut liveness, second), Verdict::Gone, "at {second}");
            if second % 20 == 0 {
                liveness.heard(at(second));
            }
        }
    }

    #[test]
    fn after_a_sleep_the_peer_has_five_seconds() {
        let mut liveness = Liveness::new(at(0), 0);
        assert_eq!(liveness.poll(at(2), 3_600_000), Verdict::Ping);
        assert_eq!(liveness.deadline(), at(7));
        assert_eq!(liveness.poll(at(7), 3_605_000), Verdict::Gone);
    }

    #[test]
    fn after_a_sleep_a_pong_restores_the_usual_patience() {
        let mut liveness = Liveness::new(at(0), 0);
        assert_eq!(liveness.poll(at(2), 3_600_000), Verdict::Ping);
        liveness.heard(at(3));
        assert_eq!(liveness.poll(at(18), 3_616_000), Verdict::Ping);
        assert_eq!(liveness.poll(at(33), 3_631_000), Verdict::Ping);
        assert_eq!(liveness.poll(at(48), 3_646_000), Verdict::Gone);
    }

    #[test]
    fn a_clock_set_back_is_no_sleep() {
        let mut liveness = Liveness::new(at(0), 9_000_000);
        assert_eq!(liveness.poll(at(2), 1_000), Verdict::Wait);
    }
}
