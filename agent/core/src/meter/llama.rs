//! llama.cpp's native completion routes. `tokens_cached` there is the fill of the slot, not a hit count.
//! `n` above 1, several prompts and the embedding route answer an array.

use super::collect::{CHOICES, Fields};
use super::event::{Event, Usage};
use super::openai::{TIMINGS, USAGE};
use super::schema::{Count, Flag, Node, Place, Rule, Text, Word};

pub(super) static ROOT: Node = Node::root(MEMBERS, &ITEM);
static ITEM: Node = Node::object(Place::Item, MEMBERS);

const MEMBERS: &[(&[u8], Rule)] = &[
    (b"index", Rule::Count(Count::Index)),
    (b"content", Rule::Text(Text::Plain)),
    (b"stop", Rule::Flag(Flag::Stop)),
    (b"stop_type", Rule::Word(Word::Finish)),
    (b"tokens_predicted", Rule::Count(Count::Output)),
    (b"tokens_evaluated", Rule::Count(Count::Input)),
    (b"timings", Rule::Node(&TIMINGS)),
    (b"usage", Rule::Node(&USAGE)),
    (b"error", Rule::Flag(Flag::Error)),
];

pub(super) fn event(fields: &Fields) -> Event {
    let timed = fields.timed();
    let usage = fields.usage().map(|usage| Usage {
        cached: usage.cached.or(timed.and_then(|timed| timed.cached)),
        ..usage
    });
    let is_stop = fields.has(Flag::Stop);
    let index = 1 << fields.count(Count::Index).unwrap_or(0).min(CHOICES - 1);
    Event {
        chunks: u64::from(fields.has(Flag::Text)),
        usage: usage.or(timed),
        // Each prompt of several has counts of its own.
        usage_settles: is_stop,
        choices_seen: index,
        choices_finished: if is_stop { index } else { 0 },
        // Partial events carry `"stop_type":"none"`.
        finish: fields.finish.filter(|_| is_stop),
        is_error: fields.has(Flag::Error),
        is_terminal: is_stop,
        is_piece: fields.denies(Flag::Stop),
        ..Event::default()
    }
}
