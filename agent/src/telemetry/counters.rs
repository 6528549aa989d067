//! Counters of finished requests. Stands between the proxy and the receipts, so that exactly what has a receipt is
//! counted, whatever path it came by.

use super::histogram::Histogram;
use super::today::Today;
use crate::proxy::{ReceiptSink, SinkError};
use dgon_agent_core::facts::RequestFacts;
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Source, Status};
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// All sources, in the order of the counters.
pub const SOURCES: [Source; 4] = [Source::Local, Source::Gateway, Source::Probe, Source::Job];
/// All ends of a request, in the order of the counters.
pub const STATUSES: [Status; 3] = [Status::Ok, Status::Error, Status::Cancelled];

/// Time to the first token, ms.
const TTFT_MS: &[u64] = &[
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 120_000,
];
/// A whole request, ms.
const WHOLE_MS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000,
];
/// Seconds over which the speed is told.
const SPEED_S: u64 = 30;

/// The counters, and the sink behind them.
pub struct Counters {
    sink: Arc<dyn ReceiptSink>,
    origin: Instant,
    /// When the last local request ended, ms after `origin`, plus one; 0 where there was none.
    last_local: AtomicU64,
    requests: [[AtomicU64; STATUSES.len()]; SOURCES.len()],
    tokens_input: [AtomicU64; SOURCES.len()],
    tokens_output: [AtomicU64; SOURCES.len()],
    unrecorded: AtomicU64,
    /// Time to the first token.
    pub ttft: Histogram,
    /// Whole requests.
    pub whole: Histogram,
    /// Receipts and tokens of the day.
    pub today: Today,
    speed: Mutex<Speed>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// What of a request is counted.
#[derive(Debug, Clone, Copy)]
struct Finished {
    source: usize,
    status: usize,
    tokens_input: u64,
    tokens_output: u64,
    ttft_ms: Option<u64>,
    latency_ms: u64,
}

impl Counters {
    /// Counters before `sink`.
    pub fn new(sink: Arc<dyn ReceiptSink>) -> Arc<Self> {
        Arc::new(Self {
            sink,
            origin: Instant::now(),
            last_local: AtomicU64::new(0),
            requests: Default::default(),
            tokens_input: Default::default(),
            tokens_output: Default::default(),
            unrecorded: AtomicU64::new(0),
            ttft: Histogram::new(TTFT_MS),
            whole: Histogram::new(WHOLE_MS),
            today: Today::default(),
            speed: Mutex::default(),
        })
    }

    /// Requests of this source that ended so.
    pub fn requests(&self, source: Source, status: Status) -> u64 {
        self.requests[source_index(source)][status_index(status)].load(Ordering::Relaxed)
    }

    /// Prompt tokens of this source.
    pub fn tokens_input(&self, source: Source) -> u64 {
        self.tokens_input[source_index(source)].load(Ordering::Relaxed)
    }

    /// Generated tokens of this source.
    pub fn tokens_output(&self, source: Source) -> u64 {
        self.tokens_output[source_index(source)].load(Ordering::Relaxed)
    }

    /// Requests whose receipt could not be made durable, so that they failed.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    /// Since the last request of the machine's own users ended; `None` where there was none. Does not follow a
    /// clock that is set.
    pub fn since_local_request(&self) -> Option<Duration> {
        let at = self.last_local.load(Ordering::Relaxed).checked_sub(1)?;
        Some(
            self.origin
                .elapsed()
                .saturating_sub(Duration::from_millis(at)),
        )
    }

    /// Generated tokens a second, over the last half minute; counted when their answers end.
    pub fn tokens_per_second(&self) -> f64 {
        let now_s = self.origin.elapsed().as_secs();
        let speed = self.speed.lock().unwrap_or_else(PoisonError::into_inner);
        speed.rate(now_s)
    }

    fn count(&self, seq: u64, one: Finished) {
        let elapsed = self.origin.elapsed();
        let add = |counter: &AtomicU64, n| counter.fetch_add(n, Ordering::Relaxed);
        add(&self.requests[one.source][one.status], 1);
        add(&self.tokens_input[one.source], one.tokens_input);
        add(&self.tokens_output[one.source], one.tokens_output);
        if one.source == source_index(Source::Local) {
            let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX - 1);
            self.last_local.store(ms + 1, Ordering::Relaxed);
        }
        if let Some(ttft_ms) = one.ttft_ms {
            self.ttft.record(ttft_ms);
        }
        self.whole.record(one.latency_ms);
        self.today.add(seq, one.tokens_input, one.tokens_output);
        let mut speed = self.speed.lock().unwrap_or_else(PoisonError::into_inner);
        speed.add(elapsed.as_secs(), one.tokens_output);
    }
}

/// Counters as the sink of a proxy.
#[derive(Debug, Clone)]
pub struct CountingSink(pub Arc<Counters>);

impl ReceiptSink for CountingSink {
    fn room(&self) -> Result<u64, SinkError> {
        self.0.sink.room()
    }

    fn full(&self) -> SinkError {
        self.0.sink.full()
    }

    fn next_request_id(&self) -> RequestId {
        self.0.sink.next_request_id()
    }

    fn record(&self, facts: RequestFacts) -> BoxFuture<'_, Result<u64, SinkError>> {
        let one = Finished {
            source: source_index(facts.source),
            status: status_index(facts.status),
            tokens_input: facts.tokens_input,
            tokens_output: facts.tokens_output,
            ttft_ms: facts.ttft_ms,
            latency_ms: facts.latency_ms,
        };
        // The sink has taken the facts when this returns: dropping our future loses no receipt.
        let recording = self.0.sink.record(facts);
        Box::pin(async move {
            let recorded = recording.await;
            match &recorded {
                Ok(seq) => self.0.count(*seq, one),
                Err(_) => {
                    self.0.unrecorded.fetch_add(1, Ordering::Relaxed);
                }
            }
            recorded
        })
    }
}

/// Tokens of the last seconds, one slot each.
#[derive(Debug, Default)]
struct Speed {
    slots: [(u64, u64); SPEED_S as usize],
}

impl Speed {
    fn add(&mut self, now_s: u64, tokens: u64) {
        let slot = &mut self.slots[(now_s % SPEED_S) as usize];
        if slot.0 != now_s {
            *slot = (now_s, 0);
        }
        slot.1 += tokens;
    }

    fn rate(&self, now_s: u64) -> f64 {
        let recent = |at: u64| at + SPEED_S > now_s && at <= now_s;
        let tokens: u64 = self
            .slots
            .iter()
            .filter(|(at, _)| recent(*at))
            .map(|(_, tokens)| tokens)
            .sum();
        // A program that began a moment ago has had no half minute yet.
        tokens as f64 / (now_s + 1).min(SPEED_S) as f64
    }
}

const fn source_index(source: Source) -> usize {
    match source {
        Source::Local => 0,
        Source::Gateway => 1,
        Source::Probe => 2,
        Source::Job => 3,
    }
}

const fn status_index(status: Status) -> usize {
    match status {
        Status::Ok => 0,
        Status::Error => 1,
        Status::Cancelled => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indices_are_those_of_the_lists() {
        assert!((0..SOURCES.len()).eq(SOURCES.map(source_index)));
        assert!((0..STATUSES.len()).eq(STATUSES.map(status_index)));
    }

    #[test]
    fn the_speed_is_that_of_the_last_half_minute() {
        let mut speed = Speed::default();
        speed.add(0, 30);
        assert_eq!(speed.rate(0), 30.0);
        assert_eq!(speed.rate(9), 3.0);
        speed.add(40, 60);
        assert_eq!(speed.rate(40), 2.0);
        assert_eq!(speed.rate(69), 2.0);
        assert_eq!(speed.rate(70), 0.0);
    }
}
