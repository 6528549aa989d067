//! The OpenAI `/v1/responses` route: typed events, the last of them with the whole response in it; or the response
//! alone. One that works in the background answers at once that it is queued: what it comes to is told to later
//! questions, which are no work.

use super::collect::Fields;
use super::event::Event;
use super::openai::USAGE;
use super::schema::{Flag, Node, Place, Rule, Text, Word};

pub(super) static ROOT: Node = Node::object(
    Place::Plain,
    &[
        (b"type", Rule::Word(Word::Kind)),
        // Only events of pieces have it, and it is the piece.
        (b"delta", Rule::Text(Text::Content)),
        (b"response", Rule::Node(&RESPONSE)),
        (b"status", Rule::Word(Word::Status)),
        (b"usage", Rule::Node(&USAGE)),
        (b"output", Rule::Node(&OUTPUT)),
        (b"error", Rule::Flag(Flag::Error)),
        (b"remote_host", Rule::Flag(Flag::Remote)),
        (b"remote_model", Rule::Flag(Flag::Remote)),
    ],
);
/// The response inside an event. Its text has come in pieces before.
static RESPONSE: Node = Node::object(
    Place::Plain,
    &[
        (b"status", Rule::Word(Word::Status)),
        (b"usage", Rule::Node(&USAGE)),
        (b"error", Rule::Flag(Flag::Error)),
        (b"remote_host", Rule::Flag(Flag::Remote)),
        (b"remote_model", Rule::Flag(Flag::Remote)),
    ],
);
static OUTPUT: Node = Node::array(Place::Plain, Rule::Node(&OUTPUT_ITEM));
static OUTPUT_ITEM: Node = Node::object(
    Place::Plain,
    &[
        (b"content", Rule::Node(&PARTS)),
        (b"summary", Rule::Node(&PARTS)),
        (b"arguments", Rule::Text(Text::Plain)),
    ],
);
static PARTS: Node = Node::array(Place::Plain, Rule::Node(&PART));
static PART: Node = Node::object(
    Place::Plain,
    &[
        (b"text", Rule::Text(Text::Plain)),
        (b"refusal", Rule::Text(Text::Plain)),
    ],
);

pub(super) fn event(fields: &Fields) -> Event {
    let is_pending = fields.has(Flag::Pending);
    Event {
        chunks: u64::from(fields.has(Flag::Text)),
        usage: fields.usage(),
        finish: fields.finish,
        is_error: fields.has(Flag::Error),
        is_terminal: fields.has(Flag::End),
        is_remote: fields.has(Flag::Remote),
        is_pending: (is_pending || fields.has(Flag::Settled)).then_some(is_pending),
        ..Event::default()
    }
}
