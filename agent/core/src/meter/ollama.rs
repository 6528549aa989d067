//! Ollama's native chat, generate and embed routes. Zero counts are left out by the runtime, not sent as 0.

use super::event::{Event, Finish, Usage};
use super::json::{Count, Text, bytes};
use super::openai::push_calls;
use super::output::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    response: Option<Text<'a>>,
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(borrow, default)]
    done_reason: Option<Text<'a>>,
    #[serde(default)]
    prompt_eval_count: Option<Count>,
    #[serde(default)]
    eval_count: Option<Count>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(borrow, default)]
    remote_host: Option<Text<'a>>,
    #[serde(borrow, default)]
    remote_model: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    thinking: Option<Text<'a>>,
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

pub(super) fn read(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    let line: Line<'_> = serde_json::from_slice(payload)?;
    let is_done = line.done == Some(true);
    let mut any = output.push(bytes(&line.thinking));
    any |= output.push(bytes(&line.response));
    if let Some(message) = &line.message {
        any |= output.push(bytes(&message.thinking));
        any |= output.push(bytes(&message.content));
        any |= push_calls(message.tool_calls, output);
    }
    let counted = is_done || line.prompt_eval_count.is_some() || line.eval_count.is_some();
    Ok(Event {
        chunks: u64::from(any),
        usage: counted.then(|| Usage {
            input: line.prompt_eval_count.unwrap_or_default().0,
            output: line.eval_count.unwrap_or_default().0,
            cached: None,
        }),
        finish: Finish::read(bytes(&line.done_reason)),
        is_error: line.error.is_some(),
        is_terminal: is_done,
        is_remote: !bytes(&line.remote_host).is_empty() || !bytes(&line.remote_model).is_empty(),
        ..Event::default()
    })
}
