//! The OpenAI `/v1/responses` route: typed events, the last of them with the whole response in it.

use super::event::{Event, Finish, Usage};
use super::json::{Count, Text, bytes};
use super::output::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<Response<'a>>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    output: Option<&'a RawValue>,
    #[serde(default)]
    usage: Option<WireUsage>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    input_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<Count>,
}

pub(super) fn read(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    let typed: Typed<'_> = serde_json::from_slice(payload)?;
    let kind = bytes(&typed.kind);
    if kind.is_empty() {
        return whole(payload, output);
    }
    let mut event = typed.response.as_ref().map(summary).unwrap_or_default();
    event.is_error |= matches!(kind, b"error" | b"response.failed");
    event.is_terminal = matches!(
        kind,
        b"response.completed" | b"response.failed" | b"response.incomplete"
    );
    if kind.ends_with(b".delta")
        && let Some(delta) = typed.delta
    {
        event.chunks = u64::from(output.push(delta.get().as_bytes()));
    }
    Ok(event)
}

fn whole(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    let response: Response<'_> = serde_json::from_slice(payload)?;
    let mut event = summary(&response);
    let items = response.output.map_or("[]", RawValue::get);
    event.chunks = u64::from(items != "[]" && output.push(items.as_bytes()));
    Ok(event)
}

fn summary(response: &Response<'_>) -> Event {
    Event {
        usage: response.usage.as_ref().map(|usage| Usage {
            input: usage.input_tokens.0,
            output: usage.output_tokens.0,
            cached: usage
                .input_tokens_details
                .as_ref()
                .and_then(|details| details.cached_tokens)
                .map(|count| count.0),
        }),
        finish: match bytes(&response.status) {
            b"completed" => Some(Finish::Stop),
            b"incomplete" => Some(Finish::Length),
            b"failed" => Some(Finish::Error),
            _ => None,
        },
        is_error: response.error.is_some(),
        ..Event::default()
    }
}
