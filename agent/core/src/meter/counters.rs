//! The running counters of one answer, and what they come to when it ends.

use super::dialect::Dialect;
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

/// What became of the bytes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body {
    /// It came to the end that its dialect gives it.
    pub(super) is_whole: bool,
    /// It came piece by piece.
    pub(super) is_stream: bool,
    /// Some of it could not be read, so nobody knows what was generated.
    pub(super) is_unread: bool,
    /// There is nothing to count in it: an error status, no content.
    pub(super) is_no_answer: bool,
}

/// Counters of one answer.
pub(super) struct Counters {
    dialect: Dialect,
    usage: Option<Usage>,
    /// Counts of answers that are over, where each has its own.
    settled: Usage,
    answers: Option<u32>,
    events: u64,
    chunks: u64,
    first_us: Option<u64>,
    last_us: u64,
    gaps: Gaps,
    checkpoints: Vec<u64>,
    finish: Option<Finish>,
    choices_seen: u128,
    choices_finished: u128,
    is_error: bool,
    is_remote: bool,
    is_piece: bool,
    is_load: bool,
    is_pending: bool,
}

impl Counters {
    pub(super) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            usage: None,
            settled: Usage {
                input: 0,
                output: 0,
                cached: None,
            },
            answers: Some(1),
            events: 0,
            chunks: 0,
            first_us: None,
            last_us: 0,
            gaps: Gaps::new(),
            checkpoints: Vec::new(),
            finish: None,
            choices_seen: 0,
            choices_finished: 0,
            is_error: false,
            is_remote: false,
            is_piece: false,
            is_load: false,
            is_pending: false,
        }
    }

    /// How many answers the request asks for.
    pub(super) fn expect_answers(&mut self, answers: Option<u32>) {
        self.answers = answers;
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

    /// An error that came outside of what events say.
    pub(super) fn add_error(&mut self) {
        self.is_error = true;
    }

    /// Adds one event, or the one that a whole body is.
    pub(super) fn add_event(&mut self, event: &Event, now_us: u64) {
        self.events += 1;
        self.chunks = self.chunks.saturating_add(event.chunks);
        if let Some(mut usage) = event.usage {
            if event.usage_adds {
                let before = self.usage.map_or(0, |known| known.output);
                usage.output = usage.output.saturating_add(before);
            }
            self.add_usage(usage);
        }
        if event.usage_settles
            && let Some(usage) = self.usage.take()
        {
            self.settled = self.settled.plus(usage);
        }
        self.finish = event.finish.or(self.finish);
        self.choices_seen |= event.choices_seen;
        self.choices_finished |= event.choices_finished;
        self.is_error |= event.is_error || event.finish == Some(Finish::Error);
        self.is_remote |= event.is_remote;
        self.is_piece |= event.is_piece;
        self.is_load |= event.is_load;
        self.is_pending = event.is_pending.unwrap_or(self.is_pending);
        if event.chunks > 0 {
            self.add_time(now_us);
        }
    }

    fn add_time(&mut self, now_us: u64) {
        match self.first_us {
            None => self.first_us = Some(now_us),
            Some(_) => self.gaps.add(now_us.saturating_sub(self.last_us)),
        }
        self.last_us = now_us;
        let position = match self.all_usage().output {
            0 => self.chunks,
            output => output,
        };
        self.add_checkpoints(position);
    }

    fn add_checkpoints(&mut self, position: u64) {
        let mut next = (self.checkpoints.len() as u64 + 1) * CHECKPOINT_EVERY;
        while next <= position && self.checkpoints.len() < CHECKPOINTS {
            self.checkpoints.push(next);
            next += CHECKPOINT_EVERY;
        }
    }

    /// Whether an event was only a piece of the answer.
    pub(super) const fn has_pieces(&self) -> bool {
        self.is_piece
    }

    /// Whether a stream that ends here without its mark has said all the same that it is over.
    pub(super) const fn is_over(&self) -> bool {
        match self.dialect {
            Dialect::OpenAi | Dialect::Llama => {
                let is_enough = match self.answers {
                    Some(answers) => self.choices_finished.count_ones() >= answers,
                    // llama.cpp has no other mark than the end of the body; elsewhere `[DONE]` is missed.
                    None => matches!(self.dialect, Dialect::Llama),
                };
                is_enough
                    && self.choices_seen & !self.choices_finished == 0
                    && self.choices_finished != 0
            }
            // Routes without choices have no way to say it.
            Dialect::Other => self.events > 0 && self.choices_seen & !self.choices_finished == 0,
            Dialect::Messages | Dialect::Tgi => self.finish.is_some(),
            Dialect::Responses | Dialect::Ollama => false,
            Dialect::Triton => self.events > 0,
        }
    }

    /// Whether an event that ends an answer ends the last one.
    pub(super) const fn is_last(&self) -> bool {
        !matches!(self.dialect, Dialect::Llama) || self.answers.is_some() && self.is_over()
    }

    /// Closes the counters.
    pub(super) fn close(mut self, ending: Ending, body: Body, output: &Output) -> Measured {
        let (status, failure) = match ending {
            Ending::ClientGone => (Status::Cancelled, None),
            _ if self.is_error => (Status::Error, Some(Failure::UpstreamError)),
            Ending::Stalled => (Status::Error, Some(Failure::Stalled)),
            Ending::Broken => (Status::Error, Some(Failure::Incomplete)),
            Ending::Complete if body.is_whole => (Status::Ok, None),
            Ending::Complete => (Status::Error, Some(Failure::Incomplete)),
        };
        self.chunks = output.growing_chunks().unwrap_or(self.chunks);
        let (tokens_source, usage) = self.counts(status, body);
        self.add_checkpoints(usage.output);
        let mut checkpoints = self.checkpoints;
        checkpoints.retain(|position| *position <= usage.output);
        if !body.is_stream {
            checkpoints.clear();
        }
        Measured {
            status,
            failure,
            finish: self.finish,
            tokens_input: usage.input,
            tokens_output: usage.output,
            tokens_cached: usage.cached,
            tokens_source,
            ttft_us: self.first_us.filter(|_| body.is_stream),
            gap_p95_us: self.gaps.p95_us(),
            output_hash: output.finish(),
            checkpoints,
            is_remote: self.is_remote,
        }
    }

    /// Counts and where they come from; none is larger than a receipt can hold, whatever a runtime says.
    fn counts(&self, status: Status, body: Body) -> (TokensSource, Usage) {
        let (source, usage) = self.raw_counts(status, body);
        let fits = |count: u64| count.min(INTEGER_MAX.unsigned_abs());
        let usage = Usage {
            input: fits(usage.input),
            output: fits(usage.output),
            cached: usage.cached.map(fits),
        };
        (source, usage)
    }

    fn all_usage(&self) -> Usage {
        match self.usage {
            Some(usage) => self.settled.plus(usage),
            None => self.settled,
        }
    }

    fn raw_counts(&self, status: Status, body: Body) -> (TokensSource, Usage) {
        let usage = self.all_usage();
        let is_final = body.is_whole && !self.is_pending;
        let is_untold = usage.output == 0 && self.chunks > 0;
        if is_untold {
            // A text that came whole is one piece of any length.
            return if body.is_stream {
                let output = self.chunks;
                (TokensSource::Chunks, Usage { output, ..usage })
            } else {
                (TokensSource::Unknown, Usage::default())
            };
        }
        if !usage.is_zero() {
            return if is_final {
                (TokensSource::Usage, usage)
            } else {
                (TokensSource::PartialUsage, usage)
            };
        }
        let source = match status {
            _ if body.is_no_answer => TokensSource::None,
            Status::Ok if self.is_load => TokensSource::None,
            // Something was served, and nobody says what it cost.
            Status::Ok => TokensSource::Unknown,
            Status::Error | Status::Cancelled if body.is_unread => TokensSource::Unknown,
            Status::Error | Status::Cancelled => TokensSource::None,
        };
        (source, Usage::default())
    }
}
