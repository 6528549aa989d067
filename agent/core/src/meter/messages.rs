//! The Anthropic-style `/v1/messages` route that several runtimes offer. Its `input_tokens` leave cached
//! tokens out; ours include them.

use super::collect::Fields;
use super::event::{Event, Usage};
use super::schema::{Count, Flag, Node, Place, Rule, Text, Word};

pub(super) static ROOT: Node = Node::object(
    Place::Plain,
    &[
        (b"type", Rule::Word(Word::Kind)),
        (b"delta", Rule::Node(&DELTA)),
        (b"usage", Rule::Node(&USAGE)),
        (b"message", Rule::Node(&START)),
        (b"content", Rule::Node(&CONTENT)),
        (b"stop_reason", Rule::Word(Word::Finish)),
        (b"error", Rule::Flag(Flag::Error)),
        (b"remote_host", Rule::Flag(Flag::Remote)),
        (b"remote_model", Rule::Flag(Flag::Remote)),
    ],
);
/// The message as it begins: nothing has been said in it yet.
static START: Node = Node::object(
    Place::Plain,
    &[
        (b"usage", Rule::Node(&USAGE)),
        (b"remote_host", Rule::Flag(Flag::Remote)),
        (b"remote_model", Rule::Flag(Flag::Remote)),
    ],
);
static DELTA: Node = Node::object(
    Place::Plain,
    &[
        (b"text", Rule::Text(Text::Plain)),
        (b"thinking", Rule::Text(Text::Plain)),
        (b"partial_json", Rule::Text(Text::Plain)),
        (b"stop_reason", Rule::Word(Word::Finish)),
    ],
);
/// The parts of a whole message.
static CONTENT: Node = Node::array_or(Rule::Node(&PART), Rule::Text(Text::Plain));
static PART: Node = Node::object(
    Place::Plain,
    &[
        (b"text", Rule::Text(Text::Plain)),
        (b"thinking", Rule::Text(Text::Plain)),
        (b"input", Rule::Raw),
    ],
);
static USAGE: Node = Node::object(
    Place::Usage,
    &[
        (b"input_tokens", Rule::Count(Count::Input)),
        (b"output_tokens", Rule::Count(Count::Output)),
        (b"cache_read_input_tokens", Rule::Count(Count::Cached)),
        (
            b"cache_creation_input_tokens",
            Rule::Count(Count::CacheWritten),
        ),
    ],
);

pub(super) fn event(fields: &Fields) -> Event {
    let written = fields.count(Count::CacheWritten).unwrap_or(0);
    let usage = fields.usage().map(|usage| Usage {
        input: usage
            .input
            .saturating_add(written)
            .saturating_add(usage.cached.unwrap_or(0)),
        ..usage
    });
    Event {
        chunks: u64::from(fields.has(Flag::Text)),
        usage,
        finish: fields.finish,
        is_error: fields.has(Flag::Error),
        is_terminal: fields.has(Flag::End),
        is_remote: fields.has(Flag::Remote),
        ..Event::default()
    }
}
