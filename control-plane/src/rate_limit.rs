//! A token bucket per caller, bounded in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Callers that are remembered.
const CALLERS_MAX: usize = 10_000;
/// How many are forgotten at once where there are more: whoever comes from ever new addresses must not have all of them
/// looked through each time.
const FORGOTTEN: usize = CALLERS_MAX / 10;

/// What counts as one caller: an IPv4 address, and of IPv6 a /64, which is the least that one has.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
    }
}

/// Lets each caller, an address, an account or a session, try so many times in a while; tries can be given back.
#[derive(Debug, Clone)]
pub struct RateLimit<K> {
    tries: f64,
    while_s: f64,
    buckets: Arc<Mutex<HashMap<K, Bucket>>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Eq + Hash + Clone> RateLimit<K> {
    /// A limit of `per_minute` tries.
    pub fn new(per_minute: u32) -> Self {
        Self::over(per_minute, Duration::from_secs(60))
    }

    /// A limit of so many tries in such a time, all of which may be at once.
    pub fn over(tries: u32, time: Duration) -> Self {
        Self {
            tries: f64::from(tries.max(1)),
            while_s: time.as_secs_f64(),
            buckets: Arc::default(),
        }
    }

    /// Takes one try, or says after how many seconds there will be one.
    ///
    /// # Errors
    /// The seconds to wait.
    pub fn take(&self, caller: &K, now: Instant) -> Result<(), u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS_MAX && !buckets.contains_key(caller) {
            self.make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(caller.clone()).or_insert(Bucket {
            tokens: self.tries,
            at: now,
        });
        *bucket = self.refilled(*bucket, now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(self.wait_s(*bucket))
        }
    }

    /// Whether there is a try, without taking it.
    ///
    /// # Errors
    /// The seconds to wait.
    pub fn has_room(&self, caller: &K, now: Instant) -> Result<(), u32> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets
            .get(caller)
            .map(|bucket| self.refilled(*bucket, now));
        match bucket {
            Some(bucket) if bucket.tokens < 1.0 => Err(self.wait_s(bucket)),
            _ => Ok(()),
        }
    }

    fn wait_s(&self, bucket: Bucket) -> u32 {
        let wait_s = ((1.0 - bucket.tokens) * self.while_s / self.tries).ceil();
        (wait_s as u32).max(1)
    }

    /// Gives a try back.
    pub fn give_back(&self, caller: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(caller) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.tries);
        }
    }

    fn refilled(&self, bucket: Bucket, now: Instant) -> Bucket {
        let passed_s = now.saturating_duration_since(bucket.at).as_secs_f64();
        Bucket {
            tokens: (bucket.tokens + passed_s * self.tries / self.while_s).min(self.tries),
            at: now,
        }
    }

    /// Forgets callers that have all their tries again, and where few do those that have most of them: a crowd that comes once
    /// each must not have anybody forgotten who has used up theirs.
    fn make_room(&self, buckets: &mut HashMap<K, Bucket>, now: Instant) {
        buckets.retain(|_, bucket| self.refilled(*bucket, now).tokens < self.tries);
        if buckets.len() > CALLERS_MAX - FORGOTTEN {
            let tokens = |bucket: &Bucket| self.refilled(*bucket, now).tokens;
            let mut all: Vec<f64> = buckets.values().map(tokens).collect();
            let (_, border, _) = all.select_nth_unstable_by(FORGOTTEN, |a, b| b.total_cmp(a));
            let border = *border;
            buckets.retain(|_, bucket| tokens(bucket) < border);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_run_out_and_come_back() {
        let (limit, start) = (RateLimit::new(2), Instant::now());
        assert_eq!(limit.take(&"a", start), Ok(()));
        assert_eq!(limit.take(&"a", start), Ok(()));
        assert_eq!(limit.take(&"a", start), Err(30));
        assert_eq!(limit.has_room(&"a", start), Err(30));
        assert_eq!(limit.has_room(&"b", start), Ok(()));
        assert_eq!(limit.take(&"b", start), Ok(()));
        assert_eq!(limit.take(&"a", start + Duration::from_secs(30)), Ok(()));
        limit.give_back(&"a");
        assert_eq!(limit.take(&"a", start + Duration::from_secs(30)), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let (limit, start) = (RateLimit::new(1), Instant::now());
        for n in 0..(CALLERS_MAX as u32 + 500) {
            assert_eq!(
                limit.take(&n, start + Duration::from_millis(u64::from(n))),
                Ok(())
            );
        }
        assert!(limit.buckets.lock().expect("lock").len() <= CALLERS_MAX);
    }

    #[test]
    fn a_crowd_has_nobody_forgotten_who_used_up_their_tries() {
        let (limit, start) = (
            RateLimit::over(50, Duration::from_secs(3_600)),
            Instant::now(),
        );
        for _ in 0..50 {
            assert_eq!(limit.take(&u32::MAX, start), Ok(()));
        }
        for n in 0..(3 * CALLERS_MAX as u32) {
            let now = start + Duration::from_millis(u64::from(n / 10));
            assert_eq!(limit.take(&n, now), Ok(()));
        }
        assert!(
            limit
                .take(&u32::MAX, start + Duration::from_secs(4))
                .is_err()
        );
        assert!(limit.buckets.lock().expect("lock").len() <= CALLERS_MAX);
    }
}
