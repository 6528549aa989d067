//! The OpenAI chat, completion and embedding routes, as five runtimes speak them.
//!
//! Usage comes in an event of its own, on the last chunk or on every chunk; llama.cpp adds `timings`, which
//! count even where no usage was asked for.

use super::event::{Event, Finish, Usage};
use super::json::{Count, Text, bytes};
use super::output::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    timings: Option<Timings>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    object: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Said<'a>>,
    #[serde(borrow, default)]
    message: Option<Said<'a>>,
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    refusal: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function_call: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<Count>,
}

/// llama.cpp's own counters, on its last chunk.
#[derive(Deserialize)]
pub(super) struct Timings {
    #[serde(default)]
    cache_n: Option<Count>,
    #[serde(default)]
    prompt_n: Count,
    #[serde(default)]
    predicted_n: Count,
}

impl Timings {
    pub(super) fn usage(&self) -> Usage {
        let cached = self.cached();
        Usage {
            input: cached.unwrap_or(0).saturating_add(self.prompt_n.0),
            output: self.predicted_n.0,
            cached,
        }
    }

    pub(super) fn cached(&self) -> Option<u64> {
        self.cache_n.map(|count| count.0)
    }
}

pub(super) fn read(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    let chunk: Chunk<'_> = serde_json::from_slice(payload)?;
    let mut event = Event {
        is_error: chunk.error.is_some() || bytes(&chunk.object) == b"error",
        usage: usage(&chunk),
        is_usage_only: chunk.usage.is_some() && chunk.choices.as_ref().is_some_and(Vec::is_empty),
        ..Event::default()
    };
    for choice in chunk.choices.iter().flatten() {
        let mut any = output.push(bytes(&choice.text));
        for said in choice.delta.iter().chain(&choice.message) {
            any |= said.push(output);
        }
        event.chunks |= u64::from(any);
        event.finish = Finish::read(bytes(&choice.finish_reason)).or(event.finish);
    }
    Ok(event)
}

fn usage(chunk: &Chunk<'_>) -> Option<Usage> {
    let timings = chunk.timings.as_ref();
    let Some(usage) = &chunk.usage else {
        return timings.map(Timings::usage);
    };
    let cached = usage
        .prompt_tokens_details
        .as_ref()
        .and_then(|details| details.cached_tokens)
        .map(|count| count.0);
    Some(Usage {
        input: usage.prompt_tokens.0,
        output: usage.completion_tokens.0,
        cached: cached.or_else(|| timings.and_then(Timings::cached)),
    })
}

impl Said<'_> {
    fn push(&self, output: &mut Output) -> bool {
        // Some servers send the reasoning under both names; it is one text.
        let reasoning = match bytes(&self.reasoning_content) {
            b"" => bytes(&self.reasoning),
            text => text,
        };
        let mut any = output.push(reasoning);
        any |= matches!(self.content, Some(Text::Other));
        any |= output.push(bytes(&self.content));
        any |= output.push(bytes(&self.refusal));
        any |= push_calls(self.tool_calls, output);
        any | push_calls(self.function_call, output)
    }
}

/// Adds tool calls as the JSON that they came as.
pub(super) fn push_calls(calls: Option<&RawValue>, output: &mut Output) -> bool {
    match calls.map(RawValue::get) {
        None | Some("null" | "[]" | "{}") => false,
        Some(json) => output.push(json.as_bytes()),
    }
}
