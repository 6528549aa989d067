//! How fast a peer may speak: in messages, receipts or bytes.

use std::time::Duration;
use tokio::time::Instant;

/// A token bucket that may go into debt: what was read is taken, and the next reading waits until it is paid.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    spent: f64,
    at: Option<Instant>,
}

impl Pace {
    /// So much each second, and so much at once.
    pub const fn new(per_second: f64, burst: f64) -> Self {
        Self {
            per_second,
            burst,
            spent: 0.0,
            at: None,
        }
    }

    /// Takes something that has come.
    pub fn spend(&mut self, cost: f64) {
        self.refill(Instant::now());
        self.spent += cost;
    }

    /// Waits until more may come.
    pub async fn ready(&mut self) {
        let wait = self.wait(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn refill(&mut self, now: Instant) {
        if let Some(at) = self.at {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            self.spent = (self.spent - passed * self.per_second).max(0.0);
        }
        self.at = Some(now);
    }

    /// How long until more may come.
    pub fn wait(&mut self, now: Instant) -> Duration {
        self.refill(now);
        Duration::from_secs_f64((self.spent - self.burst).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_what_goes_beyond_is_paid_back() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, 20.0);
        pace.spend(20.0);
        assert!(pace.wait(start).is_zero());
        pace.spend(10.0);
        let wait = pace.wait(pace.at.expect("spent"));
        assert!(
            wait > Duration::from_millis(900) && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
        assert!(pace.wait(start + Duration::from_secs(60)).is_zero());
        assert!(
            pace.spent.abs() < f64::EPSILON,
            "time does not pile up beyond the burst"
        );
    }
}
