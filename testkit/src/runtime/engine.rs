//! The inside of a simulated server: admission, prefix cache, clock. Knows nothing of HTTP.

use super::config::{Faults, SimConfig};
use super::stats::{Log, Outcome};
use super::text::{Generation, Prompt};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Prompts that the prefix cache remembers.
const PROMPTS_CACHED: usize = 64;

/// State that all connections of one simulated server share.
pub(crate) struct Sim {
    pub config: SimConfig,
    pub started: Instant,
    faults: Mutex<Faults>,
    log: Mutex<Log>,
    cache: Mutex<VecDeque<Prompt>>,
    slots: Arc<Semaphore>,
    iterations_read: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not hide what the test wants to read.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sim {
    pub(crate) fn new(config: SimConfig) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            faults: Mutex::new(config.faults.clone()),
            log: Mutex::default(),
            cache: Mutex::default(),
            slots: Arc::new(Semaphore::new(config.parallel.max(1))),
            iterations_read: AtomicU64::new(0),
            config,
        })
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    pub(crate) fn faults(&self) -> Faults {
        lock(&self.faults).clone()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        *lock(&self.faults) = faults;
    }

    /// How long until the model is loaded.
    pub(crate) fn loading_left(&self) -> Duration {
        self.config.loading.saturating_sub(self.started.elapsed())
    }

    /// Tokens of `prompt` that an earlier prompt has too, from the start; remembers the prompt.
    pub(crate) fn cached_prefix(&self, prompt: &Prompt) -> u32 {
        let mut cache = lock(&self.cache);
        let common = |old: &Prompt| {
            old.0
                .iter()
                .zip(&prompt.0)
                .take_while(|(a, b)| a == b)
                .count()
        };
        let longest = cache.iter().map(common).max().unwrap_or(0);
        if cache.len() == PROMPTS_CACHED {
            cache.pop_front();
        }
        cache.push_back(prompt.clone());
        u32::try_from(longest).unwrap_or(u32::MAX)
    }

    /// Whether this request is one that the error rate hits; depends on its number and the seed alone.
    pub(crate) fn is_hit_by_error_rate(&self, number: u64, rate: f64) -> bool {
        let draw = super::text::fingerprint(
            &[self.config.seed.to_le_bytes(), number.to_le_bytes()].concat(),
        );
        (draw as f64 / u64::MAX as f64) < rate
    }

    /// Marks iterations up to `now` as read; gives where the last reader stopped.
    pub(crate) fn take_iterations(&self, now: u64) -> u64 {
        self.iterations_read.swap(now, Ordering::Relaxed)
    }

    /// Opens the books for one generation request.
    pub(crate) fn open(self: &Arc<Self>, path: &str, request: &Bytes) -> InFlight {
        let number = self.log().open(path, request);
        InFlight {
            sim: Arc::clone(self),
            number,
            state: InFlightState::Open,
            slot: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InFlightState {
    Open,
    Waiting,
    Running,
    Closed,
}

/// One generation request in the books. Dropping it unfinished means that the client went away.
pub(crate) struct InFlight {
    sim: Arc<Sim>,
    pub number: u64,
    state: InFlightState,
    slot: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    /// Takes a slot, or waits for one; false where too many wait already.
    pub(crate) async fn admit(&mut self) -> bool {
        let slots = Arc::clone(&self.sim.slots);
        self.slot = Arc::clone(&slots).try_acquire_owned().ok();
        if self.slot.is_none() {
            {
                let mut log = self.sim.log();
                let limit = self.sim.config.queue_limit.unwrap_or(usize::MAX);
                if log.stats.waiting >= limit as u64 {
                    log.stats.overloaded += 1;
                    return false;
                }
                log.stats.waiting += 1;
                self.state = InFlightState::Waiting;
            }
            self.slot = slots.acquire_owned().await.ok();
            self.sim.log().stats.waiting -= 1;
        }
        self.state = InFlightState::Running;
        self.sim.log().stats.running += 1;
        true
    }

    /// Books a finished generation.
    pub(crate) fn count(&self, generation: &Generation, output_tokens: u32) {
        let mut log = self.sim.log();
        log.stats.prompt_tokens += u64::from(generation.prompt_tokens);
        log.stats.cached_tokens += u64::from(generation.cached_tokens);
        log.stats.output_tokens += u64::from(output_tokens);
    }

    pub(crate) fn head(&self, status: u16) {
        self.sim.log().head(self.number, status);
    }

    pub(crate) fn sent(&self, bytes: &[u8]) {
        self.sim.log().sent(self.number, bytes);
    }

    /// Closes the books.
    pub(crate) fn close(mut self, outcome: Outcome) {
        self.leave(outcome);
    }

    fn leave(&mut self, outcome: Outcome) {
        let mut log = self.sim.log();
        match self.state {
            InFlightState::Closed => return,
            InFlightState::Waiting => log.stats.waiting -= 1,
            InFlightState::Running => log.stats.running -= 1,
            InFlightState::Open => {}
        }
        match outcome {
            Outcome::Finished => log.stats.finished += 1,
            Outcome::Cut => log.stats.failed += 1,
            Outcome::Cancelled | Outcome::Running => log.stats.cancelled += 1,
        }
        log.close(self.number, outcome);
        self.state = InFlightState::Closed;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.leave(Outcome::Cancelled);
    }
}

/// Wall clock, unix time.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A moment as Go's encoder writes it: RFC 3339 UTC, fraction without trailing zeros.
pub(crate) fn rfc3339(unix: Duration) -> String {
    let seconds = unix.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let clock = format!(
        "{:02}:{:02}:{:02}",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    );
    let fraction = format!("{:09}", unix.subsec_nanos());
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{year:04}-{month:02}-{day:02}T{clock}{dot}{fraction}Z")
}

/// Days since 1970 as year, month, day, in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years start in March here, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::super::config::Kind;
    use super::*;

    #[test]
    fn moments_are_written_as_go_writes_them() {
        let cases = [
            (Duration::from_secs(1_795_256_130), "2026-11-21T10:15:30Z"),
            (
                Duration::from_millis(1_795_256_103_104),
                "2026-11-21T10:15:03.104Z",
            ),
            (Duration::from_secs(951_782_400), "2000-02-29T00:00:00Z"),
            (Duration::ZERO, "1970-01-01T00:00:00Z"),
        ];
        for (moment, text) in cases {
            assert_eq!(rfc3339(moment), text);
        }
    }

    #[test]
    fn the_prefix_cache_counts_the_common_start() {
        let sim = Sim::new(SimConfig::new(Kind::Vllm));
        assert_eq!(sim.cached_prefix(&Prompt(vec![1, 2, 3])), 0);
        assert_eq!(sim.cached_prefix(&Prompt(vec![1, 2, 4, 5])), 2);
        assert_eq!(sim.cached_prefix(&Prompt(vec![1, 2, 4, 5])), 4);
    }

    #[tokio::test]
    async fn one_waits_and_the_next_is_refused() {
        let mut config = SimConfig::new(Kind::Vllm);
        (config.parallel, config.queue_limit) = (1, Some(1));
        let sim = Sim::new(config);
        let body = Bytes::new();
        let mut first = sim.open("/", &body);
        assert!(first.admit().await);
        let mut second = sim.open("/", &body);
        let mut third = sim.open("/", &body);
        let waits = tokio::spawn(async move { (second.admit().await, second) });
        while sim.log().stats.waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!third.admit().await);
        first.close(Outcome::Finished);
        let (admitted, second) = waits.await.unwrap();
        assert!(admitted);
        drop(second);
        let stats = sim.log().stats.clone();
        assert_eq!(
            (
                stats.running,
                stats.waiting,
                stats.overloaded,
                stats.cancelled
            ),
            (0, 0, 1, 1)
        );
    }
}
