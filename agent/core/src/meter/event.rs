//! What one event of an answer means, whatever the dialect.

use super::collect::Fields;
use super::dialect::Dialect;
use super::schema::Node;
use super::{llama, messages, ollama, openai, responses, tgi, triton};

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Stop,
    /// The token limit or the window.
    Length,
    /// It asks for tools.
    ToolCalls,
    /// The runtime gave up.
    Error,
}

impl Finish {
    /// Reads the finish or stop reason of any dialect; empty means that it goes on.
    pub(super) fn read(reason: &[u8]) -> Option<Self> {
        Some(match reason {
            b"" => return None,
            b"length" | b"limit" | b"max_tokens" | b"max_output_tokens" => Self::Length,
            b"tool_calls" | b"function_call" | b"tool_use" => Self::ToolCalls,
            b"error" | b"abort" | b"failed" => Self::Error,
            _ => Self::Stop,
        })
    }
}

/// Token counts as a runtime tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Generated tokens.
    pub output: u64,
    /// Prompt tokens from the cache; `None` where the runtime does not say.
    pub cached: Option<u64>,
}

impl Usage {
    /// The counts of two answers together.
    pub(super) fn plus(self, other: Self) -> Self {
        let cached = match (self.cached, other.cached) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        Self {
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cached,
        }
    }

    /// Whether it says nothing.
    pub(super) const fn is_zero(&self) -> bool {
        self.input == 0 && self.output == 0
    }
}

/// One event, read. Its text has gone into the output hash.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Event {
    /// Generated tokens or chunks with content in it. An event is one, an array has one per item.
    pub(super) chunks: u64,
    /// Counts, running or final.
    pub(super) usage: Option<Usage>,
    /// Whether the output count is of this event alone, to be added to those before.
    pub(super) usage_adds: bool,
    /// Whether the counts are those of one answer of several, and final.
    pub(super) usage_settles: bool,
    /// Why the model stopped.
    pub(super) finish: Option<Finish>,
    /// Choices that are in it, a bit each.
    pub(super) choices_seen: u128,
    /// Those of them that say why they ended.
    pub(super) choices_finished: u128,
    /// An error object, whatever the status was.
    pub(super) is_error: bool,
    /// The mark that ends an answer of this dialect.
    pub(super) is_terminal: bool,
    /// Nothing but usage: an OpenAI event with `choices:[]`.
    pub(super) is_usage_only: bool,
    /// The work was done on somebody else's machine.
    pub(super) is_remote: bool,
    /// It is a piece, so more must come.
    pub(super) is_piece: bool,
    /// The request made nothing but a model come or go.
    pub(super) is_load: bool,
    /// Whether the work goes on after this answer, where the event says.
    pub(super) is_pending: Option<bool>,
}

impl Event {
    /// Adds the next answer of an array: each is of its own.
    pub(super) fn join(&mut self, next: &Self) {
        self.chunks = self.chunks.saturating_add(next.chunks);
        self.usage = match (self.usage, next.usage) {
            (Some(a), Some(b)) => Some(a.plus(b)),
            (a, b) => a.or(b),
        };
        self.finish = next.finish.or(self.finish);
        self.is_error |= next.is_error;
        self.is_terminal |= next.is_terminal;
        self.is_remote |= next.is_remote;
        self.usage_settles |= next.usage_settles;
        self.usage_adds |= next.usage_adds;
        self.choices_seen |= next.choices_seen;
        self.choices_finished |= next.choices_finished;
    }
}

impl Dialect {
    /// What is looked for in a payload.
    pub(super) const fn schema(self) -> &'static Node {
        match self {
            Self::OpenAi | Self::Other => &openai::ROOT,
            Self::Responses => &responses::ROOT,
            Self::Messages => &messages::ROOT,
            Self::Ollama => &ollama::ROOT,
            Self::Tgi => &tgi::ROOT,
            Self::Llama => &llama::ROOT,
            Self::Triton => &triton::ROOT,
        }
    }

    /// What was found in a payload.
    pub(super) fn event(self, fields: &Fields) -> Event {
        match self {
            Self::OpenAi | Self::Other => openai::event(fields),
            Self::Responses => responses::event(fields),
            Self::Messages => messages::event(fields),
            Self::Ollama => ollama::event(fields),
            Self::Tgi => tgi::event(fields),
            Self::Llama => llama::event(fields),
            Self::Triton => triton::event(fields),
        }
    }
}
