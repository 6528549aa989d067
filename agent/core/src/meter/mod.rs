//! Reading a runtime's answer as it passes: tokens, times, hashes, how it ended. No I/O, no clock.
//!
//! | module | owns |
//! |---|---|
//! | [`dialect`] | which route's language an answer is in, and how it is framed |
//! | [`reader`] | [`Meter`]: takes chunks, says what may be released and what must wait |
//! | `lines` | splitting a byte stream into lines under a bound |
//! | `event` | what one event means, whatever the dialect |
//! | `openai`, `ollama`, `tgi`, `llama`, `triton`, `responses`, `messages` | one dialect each |
//! | `whole` | answers that are one JSON body |
//! | `tally` | the running sums of one answer, and [`Measured`] |
//! | `output`, `gaps`, `json` | the output hash, the gaps between chunks, forgiving JSON values |
//!
//! Invariants: the bytes that are released are the bytes that came, in their order, less exactly one usage
//! event where one was asked for behind the client's back; any chunking of an answer gives the same result;
//! memory per answer is bounded by [`LINE_BYTES`] and [`BODY_BYTES`]; no input panics.

pub mod dialect;
mod event;
mod gaps;
mod json;
mod lines;
mod llama;
mod messages;
mod ollama;
mod openai;
mod output;
pub mod reader;
mod responses;
mod tally;
mod tgi;
mod triton;
mod whole;

pub use dialect::{Dialect, Framing};
pub use event::{Finish, Usage};
pub use lines::LINE_BYTES;
pub use reader::{Meter, MeterSettings, Release};
pub use tally::{Ending, Measured};
pub use whole::BODY_BYTES;
