//! The Anthropic-style `/v1/messages` route that several runtimes offer. Its `input_tokens` leave cached
//! tokens out; ours include them.

use super::event::{Event, Finish, Usage};
use super::json::{Count, Text, bytes};
use super::output::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(default)]
    message: Option<Start>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<Text<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    cache_read_input_tokens: Option<Count>,
    #[serde(default)]
    cache_creation_input_tokens: Option<Count>,
}

impl WireUsage {
    fn usage(&self) -> Usage {
        let read = self.cache_read_input_tokens.map(|count| count.0);
        let written = self.cache_creation_input_tokens.unwrap_or_default().0;
        let input = self.input_tokens.0.saturating_add(written);
        Usage {
            input: input.saturating_add(read.unwrap_or(0)),
            output: self.output_tokens.0,
            cached: read,
        }
    }
}

pub(super) fn read(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    let answer: Answer<'_> = serde_json::from_slice(payload)?;
    let kind = bytes(&answer.kind);
    let started = answer.message.and_then(|start| start.usage);
    let mut any = answer
        .content
        .is_some_and(|content| kind == b"message" && output.push(content.get().as_bytes()));
    let mut finish = Finish::read(bytes(&answer.stop_reason));
    if let Some(delta) = &answer.delta {
        any |= output.push(bytes(&delta.thinking));
        any |= output.push(bytes(&delta.text));
        any |= output.push(bytes(&delta.partial_json));
        finish = Finish::read(bytes(&delta.stop_reason)).or(finish);
    }
    Ok(Event {
        chunks: u64::from(any),
        usage: answer.usage.or(started).map(|usage| usage.usage()),
        finish,
        is_error: answer.error.is_some() || kind == b"error",
        is_terminal: kind == b"message_stop",
        ..Event::default()
    })
}
