//! TGI's native routes: one event per token, the last one with the whole text, no `[DONE]`.

use super::event::{Event, Finish, Usage};
use super::json::{Count, Text, bytes};
use super::output::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    token: Option<Token<'a>>,
    #[serde(borrow, default)]
    generated_text: Option<Text<'a>>,
    #[serde(borrow, default)]
    details: Option<Details<'a>>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow, default)]
    text: Option<Text<'a>>,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
    #[serde(default)]
    generated_tokens: Count,
    #[serde(default)]
    input_length: Option<Count>,
}

pub(super) fn read(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    // The compatibility route `POST /` answers an array of one.
    if payload.trim_ascii_start().first() == Some(&b'[') {
        let answers: Vec<Answer<'_>> = serde_json::from_slice(payload)?;
        let events = answers.iter().map(|answer| event(answer, output));
        return Ok(events.last().unwrap_or_default());
    }
    Ok(event(&serde_json::from_slice(payload)?, output))
}

fn event(answer: &Answer<'_>, output: &mut Output) -> Event {
    let details = answer.details.as_ref();
    let chunks = match &answer.token {
        Some(token) => {
            if !token.special {
                output.push(bytes(&token.text));
            }
            1
        }
        None => u64::from(output.push(bytes(&answer.generated_text))),
    };
    Event {
        chunks,
        usage: details.map(|details| Usage {
            input: details.input_length.unwrap_or_default().0,
            output: details.generated_tokens.0,
            cached: None,
        }),
        finish: details.and_then(|details| Finish::read(bytes(&details.finish_reason))),
        is_error: answer.error.is_some(),
        is_terminal: answer.generated_text.is_some(),
        ..Event::default()
    }
}
