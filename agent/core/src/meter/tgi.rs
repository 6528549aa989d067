//! TGI's native routes: one event per token, the last one with the whole text, no `[DONE]`. The compatibility route
//! `POST /` answers an array of one.

use super::collect::Fields;
use super::event::Event;
use super::schema::{Count, Flag, Node, Place, Rule, Text, Word};

pub(super) static ROOT: Node = Node::root(MEMBERS, &ITEM);
static ITEM: Node = Node::object(Place::Item, MEMBERS);

const MEMBERS: &[(&[u8], Rule)] = &[
    (b"token", Rule::Node(&TOKEN)),
    (b"generated_text", Rule::Text(Text::Generated)),
    (b"details", Rule::Node(&DETAILS)),
    (b"error", Rule::Flag(Flag::Error)),
];
static TOKEN: Node = Node::object(
    Place::Token,
    &[
        (b"text", Rule::Text(Text::Token)),
        (b"special", Rule::Flag(Flag::Special)),
    ],
);
static DETAILS: Node = Node::object(
    Place::Plain,
    &[
        (b"finish_reason", Rule::Word(Word::Finish)),
        (b"generated_tokens", Rule::Count(Count::Output)),
        (b"input_length", Rule::Count(Count::Input)),
    ],
);

pub(super) fn event(fields: &Fields) -> Event {
    Event {
        chunks: u64::from(fields.has(Flag::Text)),
        usage: fields.usage(),
        finish: fields.finish,
        is_error: fields.has(Flag::Error),
        is_terminal: fields.has(Flag::Generated),
        is_piece: fields.has(Flag::Token),
        ..Event::default()
    }
}
