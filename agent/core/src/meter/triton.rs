//! Triton's generate extension: no terminal mark, no finish reason, and counts only where the model is
//! configured to give them.

use super::collect::Fields;
use super::event::{Event, Usage};
use super::schema::{Count, Flag, Node, Place, Rule, Text};

pub(super) static ROOT: Node = Node::object(
    Place::Plain,
    &[
        (b"text_output", Rule::Text(Text::Growing)),
        (b"num_input_tokens", Rule::Node(&INPUT)),
        (b"num_output_tokens", Rule::Node(&OUTPUT)),
        (b"error", Rule::Flag(Flag::Error)),
    ],
);
static INPUT: Node = numbers(Count::Input);
static OUTPUT: Node = numbers(Count::Output);

const fn numbers(count: Count) -> Node {
    Node::array_or(Rule::Add(count), Rule::Count(count))
}

pub(super) fn event(fields: &Fields) -> Event {
    Event {
        chunks: u64::from(fields.has(Flag::Text)),
        usage: fields.count(Count::Output).map(|output| Usage {
            input: fields.count(Count::Input).unwrap_or(0),
            output,
            cached: None,
        }),
        // Each response of a stream tells the tokens that are new in it.
        usage_adds: true,
        is_error: fields.has(Flag::Error),
        ..Event::default()
    }
}
