//! Ollama's native chat, generate and embed routes. Zero counts are left out by the runtime, not sent as 0.

use super::collect::Fields;
use super::event::Event;
use super::schema::{Count, Flag, Node, Place, Rule, Text, Word};

pub(super) static ROOT: Node = Node::object(
    Place::Plain,
    &[
        (b"message", Rule::Node(&MESSAGE)),
        (b"response", Rule::Text(Text::Plain)),
        (b"thinking", Rule::Text(Text::Plain)),
        (b"done", Rule::Flag(Flag::Done)),
        (b"done_reason", Rule::Word(Word::Finish)),
        (b"prompt_eval_count", Rule::Count(Count::Input)),
        (b"eval_count", Rule::Count(Count::Output)),
        (b"error", Rule::Flag(Flag::Error)),
        (b"remote_host", Rule::Flag(Flag::Remote)),
        (b"remote_model", Rule::Flag(Flag::Remote)),
    ],
);
static MESSAGE: Node = Node::object(
    Place::Message,
    &[
        (b"content", Rule::Text(Text::Plain)),
        (b"thinking", Rule::Text(Text::Plain)),
        (b"tool_calls", Rule::Raw),
    ],
);

pub(super) fn event(fields: &Fields) -> Event {
    Event {
        chunks: u64::from(fields.has(Flag::Text)),
        usage: fields.usage(),
        finish: fields.finish,
        is_error: fields.has(Flag::Error),
        is_terminal: fields.has(Flag::Done),
        is_remote: fields.has(Flag::Remote),
        is_piece: fields.denies(Flag::Done),
        is_load: fields.has(Flag::Load),
        ..Event::default()
    }
}
