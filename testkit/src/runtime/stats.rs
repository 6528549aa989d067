//! What a simulated runtime saw and sent: counters for its metrics, exchanges for the tests.

use bytes::Bytes;
use std::collections::VecDeque;

/// Exchanges that are remembered; older ones are forgotten.
const EXCHANGES_KEPT: usize = 8192;
/// Bytes of all remembered exchanges together.
const EXCHANGE_BYTES_KEPT: usize = 64 * 1024 * 1024;

/// How an exchange ended, seen from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Still going on.
    Running,
    /// Everything was handed to the connection.
    Finished,
    /// The client went away first.
    Cancelled,
    /// A fault cut the connection.
    Cut,
}

/// One generation request and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Number of the request, from 1.
    pub number: u64,
    /// Path of the request.
    pub path: String,
    /// Its body as it came.
    pub request: Bytes,
    /// Status of the answer.
    pub status: u16,
    /// Body of the answer, as far as it was sent.
    pub sent: Vec<u8>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Counters since the start. A snapshot; see [`super::SimRuntime::stats`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Generation and embedding requests that came.
    pub requests: u64,
    /// Answers being generated.
    pub running: u64,
    /// Requests that wait for a slot.
    pub waiting: u64,
    /// Answers that went out whole.
    pub finished: u64,
    /// Requests whose client went away before the end.
    pub cancelled: u64,
    /// Requests refused because too many were waiting.
    pub overloaded: u64,
    /// Requests failed by a fault.
    pub failed: u64,
    /// Requests refused for what they ask.
    pub refused: u64,
    /// Prompt tokens of all generations, cached ones included.
    pub prompt_tokens: u64,
    /// Of those, tokens from the prefix cache.
    pub cached_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Requests of any path.
    pub http_requests: u64,
}

/// Counters and remembered exchanges.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub stats: Stats,
    exchanges: VecDeque<Exchange>,
    bytes: usize,
}

impl Log {
    /// Opens an exchange and gives its number.
    pub(crate) fn open(&mut self, path: &str, request: &Bytes) -> u64 {
        self.stats.requests += 1;
        let number = self.stats.requests;
        self.bytes += request.len();
        self.exchanges.push_back(Exchange {
            number,
            path: path.to_owned(),
            request: request.clone(),
            status: 0,
            sent: Vec::new(),
            outcome: Outcome::Running,
        });
        while self.exchanges.len() > EXCHANGES_KEPT || self.bytes > EXCHANGE_BYTES_KEPT {
            let Some(gone) = self.exchanges.pop_front() else {
                break;
            };
            self.bytes -= gone.request.len() + gone.sent.len();
        }
        number
    }

    fn find(&mut self, number: u64) -> Option<&mut Exchange> {
        let first = self.exchanges.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.exchanges.get_mut(index)
    }

    pub(crate) fn head(&mut self, number: u64, status: u16) {
        if let Some(exchange) = self.find(number) {
            exchange.status = status;
        }
    }

    pub(crate) fn sent(&mut self, number: u64, bytes: &[u8]) {
        if let Some(exchange) = self.find(number) {
            exchange.sent.extend_from_slice(bytes);
            self.bytes += bytes.len();
        }
    }

    pub(crate) fn close(&mut self, number: u64, outcome: Outcome) {
        if let Some(exchange) = self.find(number) {
            exchange.outcome = outcome;
        }
    }

    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.iter().cloned().collect()
    }
}
