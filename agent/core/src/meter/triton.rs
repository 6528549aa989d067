//! Triton's generate extension: no terminal mark, no finish reason, and counts only where the model is
//! configured to give them.

use super::event::{Event, Usage};
use super::json::{Count, Text, bytes};
use super::output::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    text_output: Option<Text<'a>>,
    #[serde(default)]
    num_input_tokens: Option<Count>,
    #[serde(default)]
    num_output_tokens: Option<Count>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

pub(super) fn read(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    let answer: Answer<'_> = serde_json::from_slice(payload)?;
    let any = output.push_delta_or_total(bytes(&answer.text_output));
    Ok(Event {
        chunks: u64::from(any),
        usage: answer.num_output_tokens.map(|tokens| Usage {
            input: answer.num_input_tokens.unwrap_or_default().0,
            output: tokens.0,
            cached: None,
        }),
        // Each response of a stream tells the tokens that are new in it.
        usage_adds: true,
        is_error: answer.error.is_some(),
        ..Event::default()
    })
}
