//! A token bucket per caller, bounded in memory.

use super::client_ip::ClientIp;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Callers that are remembered.
const CALLERS_MAX: usize = 10_000;

/// Lets each caller, an address or an account, try `per_minute` times in a minute; tries can be given back.
#[derive(Debug, Clone)]
pub struct RateLimit<K> {
    per_minute: f64,
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
        Self {
            per_minute: f64::from(per_minute.max(1)),
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
            tokens: self.per_minute,
            at: now,
        });
        *bucket = self.refilled(*bucket, now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            let wait_s = ((1.0 - bucket.tokens) * 60.0 / self.per_minute).ceil();
            Err((wait_s as u32).max(1))
        }
    }

    /// Gives a try back.
    pub fn give_back(&self, caller: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(caller) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.per_minute);
        }
    }

    fn refilled(&self, bucket: Bucket, now: Instant) -> Bucket {
        let passed_s = now.saturating_duration_since(bucket.at).as_secs_f64();
        Bucket {
            tokens: (bucket.tokens + passed_s * self.per_minute / 60.0).min(self.per_minute),
            at: now,
        }
    }

    /// Forgets callers that have all their tries again, else the one that was quiet for longest.
    fn make_room(&self, buckets: &mut HashMap<K, Bucket>, now: Instant) {
        buckets.retain(|_, bucket| self.refilled(*bucket, now).tokens < self.per_minute);
        if buckets.len() >= CALLERS_MAX {
            let oldest = buckets
                .iter()
                .min_by_key(|(_, bucket)| bucket.at)
                .map(|(caller, _)| caller.clone());
            if let Some(oldest) = oldest {
                buckets.remove(&oldest);
            }
        }
    }
}

/// An IPv6 caller owns at least a /64: its addresses count as one.
pub(super) fn network(client: ClientIp) -> IpAddr {
    match client.0 {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ip(text: &str) -> IpAddr {
        network(ClientIp(text.parse().expect("ip")))
    }

    #[test]
    fn tries_run_out_and_come_back() {
        let (limit, start) = (RateLimit::new(2), Instant::now());
        assert_eq!(limit.take(&ip("1.1.1.1"), start), Ok(()));
        assert_eq!(limit.take(&ip("1.1.1.1"), start), Ok(()));
        assert_eq!(limit.take(&ip("1.1.1.1"), start), Err(30));
        assert_eq!(limit.take(&ip("2.2.2.2"), start), Ok(()));
        assert_eq!(
            limit.take(&ip("1.1.1.1"), start + Duration::from_secs(30)),
            Ok(())
        );
        limit.give_back(&ip("1.1.1.1"));
        assert_eq!(
            limit.take(&ip("1.1.1.1"), start + Duration::from_secs(30)),
            Ok(())
        );
    }

    #[test]
    fn one_ipv6_network_is_one_caller() {
        let (limit, start) = (RateLimit::new(1), Instant::now());
        assert_eq!(limit.take(&ip("2001:db8::1"), start), Ok(()));
        assert!(limit.take(&ip("2001:db8::2"), start).is_err());
        assert_eq!(limit.take(&ip("2001:db8:0:1::2"), start), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let (limit, start) = (RateLimit::new(1), Instant::now());
        for n in 0..(CALLERS_MAX as u32 + 500) {
            let client = IpAddr::V4(n.into());
            assert_eq!(
                limit.take(&client, start + Duration::from_millis(u64::from(n))),
                Ok(())
            );
        }
        assert!(limit.buckets.lock().expect("lock").len() <= CALLERS_MAX);
    }
}
