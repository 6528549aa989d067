//! The running sums of one answer, and what they come to when it ends.

use super::event::{Event, Finish, Usage};
use super::gaps::Gaps;
use super::output::Output;
use crate::facts::{Failure, TokensSource};
use dgon_protocol::limits::INTEGER_MAX;
use dgon_protocol::receipt::Status;

/// Output tokens between two checkpoints.
const CHECKPOINT_EVERY: u64 = 100;
/// Checkpoints that a receipt has room for.
const CHECKPOINTS: usize = 1024;

/// How the bytes of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The body came to its end.
    Complete,
    /// The runtime cut the connection.
    Broken,
    /// The runtime went silent for too long.
    Stalled,
    /// The client went away.
    ClientGone,
}

/// What one answer came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Why the model stopped, where the runtime said.
    pub finish: Option<Finish>,
    /// Prompt tokens.
    pub tokens_input: u64,
    /// Generated tokens.
    pub tokens_output: u64,
    /// Prompt tokens from the cache; `None` where the runtime does not say.
    pub tokens_cached: Option<u64>,
    /// Where the counts come from.
    pub tokens_source: TokensSource,
    /// First event with content, microseconds after the request's start. Streams only.
    pub ttft_us: Option<u64>,
    /// 95th percentile of the gaps between events with content, microseconds.
    pub gap_p95_us: Option<u64>,
    /// Keyed hash of the text, `blake3:` and hex.
    pub output_hash: Option<String>,
    /// Output token positions of the checkpoints. Streams only.
    pub checkpoints: Vec<u64>,
    /// The runtime had the work done elsewhere, so it is not this node's.
    pub is_remote: bool,
}

/// Sums of one answer.
pub(super) struct Tally {
    pub(super) output: Output,
    usage: Option<Usage>,
    chunks: u64,
    first_us: Option<u64>,
    last_us: u64,
    gaps: Gaps,
    checkpoints: Vec<u64>,
    finish: Option<Finish>,
    is_error: bool,
    is_remote: bool,
}

impl Tally {
    pub(super) fn new(hash_key: &[u8; 32]) -> Self {
        Self {
            output: Output::new(hash_key),
            usage: None,
            chunks: 0,
            first_us: None,
            last_us: 0,
            gaps: Gaps::new(),
            checkpoints: Vec::new(),
            finish: None,
            is_error: false,
            is_remote: false,
        }
    }

    /// Adds counts that did not come in an event.
    pub(super) fn add_usage(&mut self, usage: Usage) {
        // A later count replaces an earlier one; a 0 never does, for some runtimes send 0 until they know.
        let known = self.usage.unwrap_or_default();
        let or_known = |new, old| if new == 0 { old } else { new };
        self.usage = Some(Usage {
            input: or_known(usage.input, known.input),
            output: or_known(usage.output, known.output),
            cached: usage.cached.or(known.cached),
        });
    }

    /// Adds one event of a stream.
    pub(super) fn add_event(&mut self, event: &Event, now_us: u64) {
        self.add_body(event);
        if event.chunks > 0 {
            match self.first_us {
                None => self.first_us = Some(now_us),
                Some(_) => self.gaps.add(now_us.saturating_sub(self.last_us)),
            }
            self.last_us = now_us;
        }
        let position = match self.usage {
            Some(usage) if usage.output > 0 => usage.output,
            _ => self.chunks,
        };
        let mut next = (self.checkpoints.len() as u64 + 1) * CHECKPOINT_EVERY;
        while next <= position && self.checkpoints.len() < CHECKPOINTS {
            self.checkpoints.push(next);
            next += CHECKPOINT_EVERY;
        }
    }

    /// Adds the event that a whole body is.
    pub(super) fn add_body(&mut self, event: &Event) {
        self.chunks += event.chunks;
        if let Some(mut usage) = event.usage {
            if event.usage_adds {
                let before = self.usage.map_or(0, |known| known.output);
                usage.output = usage.output.saturating_add(before);
            }
            self.add_usage(usage);
        }
        self.finish = event.finish.or(self.finish);
        self.is_error |= event.is_error || event.finish == Some(Finish::Error);
        self.is_remote |= event.is_remote;
    }

    /// Closes the sums. `is_whole` says that the answer reached its terminal mark, or has none to reach.
    pub(super) fn close(self, ending: Ending, is_whole: bool) -> Measured {
        let (status, failure) = match ending {
            Ending::ClientGone => (Status::Cancelled, None),
            _ if self.is_error => (Status::Error, Some(Failure::UpstreamError)),
            Ending::Stalled => (Status::Error, Some(Failure::Stalled)),
            Ending::Broken => (Status::Error, Some(Failure::Incomplete)),
            Ending::Complete if is_whole => (Status::Ok, None),
            Ending::Complete => (Status::Error, Some(Failure::Incomplete)),
        };
        let (tokens_source, usage) = self.counts(status == Status::Ok || is_whole);
        let mut checkpoints = self.checkpoints;
        checkpoints.retain(|position| *position <= usage.output);
        Measured {
            status,
            failure,
            finish: self.finish,
            tokens_input: usage.input,
            tokens_output: usage.output,
            tokens_cached: usage.cached,
            tokens_source,
            ttft_us: self.first_us,
            gap_p95_us: self.gaps.p95_us(),
            output_hash: self.output.finish(),
            checkpoints,
            is_remote: self.is_remote,
        }
    }

    /// Counts and where they come from; none is larger than a receipt can hold, whatever a runtime says.
    fn counts(&self, is_whole: bool) -> (TokensSource, Usage) {
        let (source, usage) = self.raw_counts(is_whole);
        let fits = |count: u64| count.min(INTEGER_MAX.unsigned_abs());
        let usage = Usage {
            input: fits(usage.input),
            output: fits(usage.output),
            cached: usage.cached.map(fits),
        };
        (source, usage)
    }

    fn raw_counts(&self, is_whole: bool) -> (TokensSource, Usage) {
        let counted = Usage {
            output: self.chunks,
            ..Usage::default()
        };
        match self.usage {
            Some(usage) if !usage.is_zero() && is_whole => (TokensSource::Usage, usage),
            Some(usage) if !usage.is_zero() => {
                let output = usage
                    .output
                    .max(if usage.output == 0 { self.chunks } else { 0 });
                (TokensSource::PartialUsage, Usage { output, ..usage })
            }
            _ if self.chunks > 0 => (TokensSource::Chunks, counted),
            _ => (TokensSource::None, Usage::default()),
        }
    }
}
