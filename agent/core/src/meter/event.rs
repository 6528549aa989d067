//! What one event of an answer means, whatever the dialect.

use super::dialect::Dialect;
use super::output::Output;
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
    /// Whether it says nothing.
    pub(super) fn is_zero(&self) -> bool {
        self.input == 0 && self.output == 0
    }
}

/// One event, read. Its text has gone into the [`Output`].
#[derive(Debug, Default)]
pub(super) struct Event {
    /// Generated tokens or chunks with content in it: 0 or 1.
    pub(super) chunks: u64,
    /// Counts, running or final.
    pub(super) usage: Option<Usage>,
    /// Whether the output count is of this event alone, to be added to those before.
    pub(super) usage_adds: bool,
    /// Why the model stopped.
    pub(super) finish: Option<Finish>,
    /// An error object, whatever the status was.
    pub(super) is_error: bool,
    /// The mark that ends an answer of this dialect.
    pub(super) is_terminal: bool,
    /// Nothing but usage: an OpenAI event with `choices:[]`.
    pub(super) is_usage_only: bool,
    /// The work was done on somebody else's machine.
    pub(super) is_remote: bool,
}

impl Dialect {
    /// Reads one event, or a whole JSON body, and adds its text to `output`.
    pub(super) fn read(
        self,
        payload: &[u8],
        output: &mut Output,
    ) -> Result<Event, serde_json::Error> {
        match self {
            Self::OpenAi => openai::read(payload, output),
            Self::Responses => responses::read(payload, output),
            Self::Messages => messages::read(payload, output),
            Self::Ollama => ollama::read(payload, output),
            Self::Tgi => tgi::read(payload, output),
            Self::Llama => llama::read(payload, output),
            Self::Triton => triton::read(payload, output),
        }
    }

    /// Whether a stream of this dialect has a mark that ends it. Without one, the end of the body is the end.
    pub(super) const fn has_terminal_mark(self) -> bool {
        !matches!(self, Self::Triton)
    }
}
