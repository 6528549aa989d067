//! The OpenAI chat, completion, embedding, rerank and other routes, as five runtimes speak them.
//!
//! Usage comes in an event of its own, on the last chunk or on every chunk; llama.cpp adds `timings`, which
//! count even where no usage was asked for. Rerankers after Cohere's manner tell theirs under `meta`.

use super::collect::Fields;
use super::event::{Event, Usage};
use super::schema::{Count, Flag, Node, Place, Rule, Text, Word};

pub(super) static ROOT: Node = Node::root(MEMBERS, &ITEM);
static ITEM: Node = Node::object(Place::Item, MEMBERS);

const MEMBERS: &[(&[u8], Rule)] = &[
    (b"object", Rule::Word(Word::Object)),
    (b"choices", Rule::Node(&CHOICES)),
    (b"usage", Rule::Node(&USAGE)),
    (b"timings", Rule::Node(&TIMINGS)),
    (b"error", Rule::Flag(Flag::Error)),
    (b"meta", Rule::Node(&META)),
    (b"type", Rule::Word(Word::Kind)),
    (b"remote_host", Rule::Flag(Flag::Remote)),
    (b"remote_model", Rule::Flag(Flag::Remote)),
];
static CHOICES: Node = Node::array(Place::Choices, Rule::Node(&CHOICE));
static CHOICE: Node = Node::object(
    Place::Choice,
    &[
        (b"index", Rule::Count(Count::Index)),
        (b"delta", Rule::Node(&DELTA)),
        (b"finish_reason", Rule::Word(Word::Finish)),
        (b"text", Rule::Text(Text::Content)),
        (b"message", Rule::Node(&MESSAGE)),
    ],
);
const SAID: &[(&[u8], Rule)] = &[
    (b"content", Rule::Text(Text::Content)),
    (b"reasoning_content", Rule::Text(Text::Reasoning)),
    (b"reasoning", Rule::Text(Text::Reasoning)),
    (b"refusal", Rule::Text(Text::Plain)),
    (b"tool_calls", Rule::Raw),
    (b"function_call", Rule::Raw),
];
static DELTA: Node = Node::object(Place::Delta, SAID);
static MESSAGE: Node = Node::object(Place::Message, SAID);
pub(super) static USAGE: Node = Node::object(
    Place::Usage,
    &[
        (b"prompt_tokens", Rule::Count(Count::Input)),
        (b"completion_tokens", Rule::Count(Count::Output)),
        (b"total_tokens", Rule::Count(Count::Total)),
        (b"input_tokens", Rule::Count(Count::Input)),
        (b"output_tokens", Rule::Count(Count::Output)),
        (b"prompt_tokens_details", Rule::Node(&DETAILS)),
        (b"input_tokens_details", Rule::Node(&DETAILS)),
    ],
);
static DETAILS: Node = Node::object(
    Place::Plain,
    &[(b"cached_tokens", Rule::Count(Count::Cached))],
);
/// llama.cpp's own counters, on its last chunk.
pub(super) static TIMINGS: Node = Node::object(
    Place::Timings,
    &[
        (b"cache_n", Rule::Count(Count::TimedCached)),
        (b"prompt_n", Rule::Count(Count::TimedInput)),
        (b"predicted_n", Rule::Count(Count::TimedOutput)),
    ],
);
static META: Node = Node::object(Place::Plain, &[(b"tokens", Rule::Node(&USAGE))]);

pub(super) fn event(fields: &Fields) -> Event {
    let timed = fields.timed();
    let usage = fields.usage().map(|usage| Usage {
        cached: usage.cached.or(timed.and_then(|timed| timed.cached)),
        ..usage
    });
    let is_error = fields.has(Flag::Error);
    Event {
        chunks: u64::from(fields.has(Flag::Text)),
        usage: usage.or(timed),
        finish: fields.finish,
        choices_seen: fields.choices_seen,
        choices_finished: fields.choices_finished,
        is_error,
        is_usage_only: fields.has(Flag::Usage)
            && fields.has(Flag::Choices)
            && !fields.has(Flag::Choice)
            && !is_error,
        is_remote: fields.has(Flag::Remote),
        is_piece: fields.has(Flag::Delta),
        ..Event::default()
    }
}
