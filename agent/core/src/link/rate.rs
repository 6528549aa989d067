//! How much a peer may ask for in a while: a bucket that fills with time. Pure.

use std::time::Duration;

/// A bucket. What is taken comes back at a steady rate, up to the burst.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_unit: Duration,
    burst: Duration,
    /// When the bucket is full again.
    full_at: Duration,
}

impl Bucket {
    /// A full bucket of `burst` units that fills with one unit each `per_unit`.
    pub fn new(burst: u32, per_unit: Duration) -> Self {
        Self {
            per_unit,
            burst: per_unit.saturating_mul(burst),
            full_at: Duration::ZERO,
        }
    }

    /// Takes `units` at `now`, if they are there.
    pub fn take(&mut self, now: Duration, units: u32) -> bool {
        let cost = self.per_unit.saturating_mul(units);
        let full_at = self.full_at.max(now).saturating_add(cost);
        let has_room = full_at.saturating_sub(now) <= self.burst;
        if has_room {
            self.full_at = full_at;
        }
        has_room
    }
}

/// What a frame costs the agent beyond reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Next to nothing: an acknowledgement, a pong.
    Small,
    /// Work or an answer: a probe, a job, an order, receipts sent again or looked for because they are refused.
    Order,
    /// A relayed stream is opened: a signature is checked.
    Open,
}

/// Why a peer's frames are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateExceeded {
    /// Too many frames.
    #[error("it sends more frames than the agent reads")]
    Frames,
    /// Too many bytes.
    #[error("it sends more bytes than the agent reads")]
    Bytes,
    /// Too many frames that ask for something.
    #[error("it asks for more than the agent does")]
    Orders,
}

/// What one session reads. A control plane at work stays far below each of these; beyond them the session ends.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    frames: Bucket,
    kib: Bucket,
    orders: Bucket,
    opens: Bucket,
}

impl Default for RateLimiter {
    /// Bursts of 4,096 frames, 32 MiB, 256 orders and 1,024 opened streams; 1,000 frames, 4 MiB, 20 orders and 200 opened
    /// streams a second.
    fn default() -> Self {
        Self {
            frames: Bucket::new(4_096, Duration::from_millis(1)),
            kib: Bucket::new(32 * 1_024, Duration::from_micros(244)),
            orders: Bucket::new(256, Duration::from_millis(50)),
            opens: Bucket::new(1_024, Duration::from_millis(5)),
        }
    }
}

impl RateLimiter {
    /// A frame came in at `now`.
    ///
    /// # Errors
    /// [`RateExceeded`] when that is one too many.
    pub fn frame(&mut self, now: Duration, bytes: usize) -> Result<(), RateExceeded> {
        if !self.frames.take(now, 1) {
            return Err(RateExceeded::Frames);
        }
        self.bytes(now, bytes)
    }

    /// The frame that came in at `now` has so many bytes, and nothing else bounds them.
    ///
    /// # Errors
    /// [`RateExceeded::Bytes`].
    pub fn bytes(&mut self, now: Duration, bytes: usize) -> Result<(), RateExceeded> {
        let kib = u32::try_from(bytes / 1_024).unwrap_or(u32::MAX);
        if !self.kib.take(now, kib) {
            return Err(RateExceeded::Bytes);
        }
        Ok(())
    }

    /// The frame that came in at `now` costs this.
    ///
    /// # Errors
    /// [`RateExceeded::Orders`].
    pub fn cost(&mut self, now: Duration, cost: Cost) -> Result<(), RateExceeded> {
        match cost {
            Cost::Small => Ok(()),
            Cost::Order if self.orders.take(now, 1) => Ok(()),
            Cost::Open if self.opens.take(now, 1) => Ok(()),
            Cost::Order | Cost::Open => Err(RateExceeded::Orders),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(3, ms(100));
        let taken = |bucket: &mut Bucket, now| (0..9).filter(|_| bucket.take(now, 1)).count();
        assert_eq!(taken(&mut bucket, ms(0)), 3);
        assert_eq!(taken(&mut bucket, ms(99)), 0);
        assert_eq!(taken(&mut bucket, ms(250)), 2);
        assert_eq!(
            taken(&mut bucket, ms(1_000_000)),
            3,
            "never more than the burst"
        );
        assert!(!bucket.take(ms(2_000_000), 4));
        assert!(
            bucket.take(ms(2_000_000), 3),
            "what was refused costs nothing"
        );
    }

    #[test]
    fn a_control_plane_at_work_is_no_flood() {
        let mut limiter = RateLimiter::default();
        for at in 0..100_000_u64 {
            // Five hundred acknowledgements a second, and an order now and then.
            assert_eq!(limiter.frame(ms(at * 2), 120), Ok(()));
            if at % 500 == 0 {
                assert_eq!(limiter.cost(ms(at * 2), Cost::Order), Ok(()));
            }
        }
    }

    #[test]
    fn a_flood_is_cut_at_each_of_its_kinds() {
        let mut limiter = RateLimiter::default();
        let frames = (0..10_000).take_while(|_| limiter.frame(ms(0), 10).is_ok());
        assert_eq!(frames.count(), 4_096);
        let mut limiter = RateLimiter::default();
        let large = (0..100).take_while(|_| limiter.frame(ms(0), 1024 * 1024).is_ok());
        assert_eq!(large.count(), 32);
        let mut limiter = RateLimiter::default();
        let orders = (0..1_000).take_while(|_| limiter.cost(ms(0), Cost::Order).is_ok());
        assert_eq!(orders.count(), 256);
    }
}
