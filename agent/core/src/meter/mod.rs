//! Reading a runtime's answer as it passes: tokens, times, hashes, how it ended. No I/O, no clock.
//!
//! | module | owns |
//! |---|---|
//! | [`dialect`] | which route's language an answer is in, and what its head says of its body |
//! | [`reader`] | [`Meter`]: takes chunks, says what may be released and what must wait |
//! | `stream` | how events are laid out in the bytes, found out from the bytes |
//! | `scan` | one JSON value, in pieces, in constant memory |
//! | `schema` | what a dialect wants of a value |
//! | `collect` | what was found in one payload |
//! | `event` | what one event means, whatever the dialect |
//! | `openai`, `ollama`, `tgi`, `llama`, `triton`, `responses`, `messages` | one dialect each |
//! | `counters` | the running counters of one answer, and [`Measured`] |
//! | `output`, `gaps`, `text` | the output hash, the gaps between chunks, strings with escapes |
//!
//! Invariants: the bytes that are released are the bytes that came, in their order, less exactly one usage
//! event where one was asked for behind the client's back; any chunking of an answer gives the same result;
//! a body is read to its end whatever its size and that of its lines, in memory that does not grow with either
//! (at most [`HELD_BYTES`] of an event that may have to be taken out, and what Triton said so far up to a bound);
//! what cannot be counted is [`Unknown`](crate::facts::TokensSource::Unknown), never 0 as if it were a fact; no
//! input panics.

mod collect;
mod counters;
pub mod dialect;
mod event;
mod gaps;
mod llama;
mod messages;
mod ollama;
mod openai;
mod output;
pub mod reader;
mod responses;
mod scan;
mod schema;
mod stream;
mod tail;
mod text;
mod tgi;
mod triton;

pub use counters::{Ending, Measured};
pub use dialect::{Dialect, Label};
pub use event::{Finish, Usage};
pub use reader::{HELD_BYTES, Meter, MeterSettings, Release};
pub use tail::Tail;
