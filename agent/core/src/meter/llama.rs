//! llama.cpp's native completion routes. `tokens_cached` there is the fill of the slot, not a hit count.

use super::event::{Event, Finish, Usage};
use super::json::{Count, Text, bytes};
use super::openai::Timings;
use super::output::Output;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(default)]
    stop: Option<bool>,
    #[serde(borrow, default)]
    stop_type: Option<Text<'a>>,
    #[serde(default)]
    tokens_evaluated: Option<Count>,
    #[serde(default)]
    tokens_predicted: Option<Count>,
    #[serde(default)]
    timings: Option<Timings>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

pub(super) fn read(payload: &[u8], output: &mut Output) -> Result<Event, serde_json::Error> {
    // `n` above 1 and the embedding route answer an array.
    if payload.trim_ascii_start().first() == Some(&b'[') {
        let answers: Vec<Answer<'_>> = serde_json::from_slice(payload)?;
        let mut sum = Event::default();
        for answer in &answers {
            let one = event(answer, output);
            sum.chunks += one.chunks;
            sum.finish = one.finish.or(sum.finish);
            sum.usage = match (sum.usage, one.usage) {
                (Some(a), Some(b)) => Some(Usage {
                    input: a.input.saturating_add(b.input),
                    output: a.output.saturating_add(b.output),
                    cached: a.cached,
                }),
                (a, b) => a.or(b),
            };
        }
        return Ok(sum);
    }
    Ok(event(&serde_json::from_slice(payload)?, output))
}

fn event(answer: &Answer<'_>, output: &mut Output) -> Event {
    let timings = answer.timings.as_ref();
    let counted = match (answer.tokens_evaluated, answer.tokens_predicted) {
        (None, None) => timings.map(Timings::usage),
        (input, predicted) => Some(Usage {
            input: input.unwrap_or_default().0,
            output: predicted.unwrap_or_default().0,
            cached: timings.and_then(Timings::cached),
        }),
    };
    Event {
        chunks: u64::from(output.push(bytes(&answer.content))),
        usage: counted,
        // Partial events carry `"stop_type":"none"`.
        finish: Finish::read(bytes(&answer.stop_type)).filter(|_| answer.stop == Some(true)),
        is_error: answer.error.is_some(),
        is_terminal: answer.stop == Some(true),
        ..Event::default()
    }
}
