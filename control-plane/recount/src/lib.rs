//! The gateway's own count of the tokens of a request and of its answer, and what is billed by it.
//!
//! A node says how many tokens it read and wrote. The gateway relays both texts, so it can count again, with the
//! tokenizer of the model, and bill no more than that. How well it can is said with each count, as one of three levels,
//! which stand in the countersignature; the gateway never says `exact` of what it cannot reproduce.
//!
//! | module | owns |
//! |---|---|
//! | [`count`] | counts, their levels, what is allowed beyond them, what is billed: integers alone |
//! | [`counter`] | which tokenizer counts for a model, and the count of a request and of an answer |
//! | [`directory`] | the operator's directory of tokenizers: the only place that reads files |
//! | [`index`] | its index, `models.yaml` |
//! | [`limits`] | how large things may be, and why |
//! | `request` | what of a request's JSON becomes text of the prompt, and what makes its count uncertain |
//! | `template` | chat templates, rendered as Python would |
//! | `encoder` | one tokenizer |
//!
//! Counting does no I/O and cannot fail: what cannot be counted has the level `none` and a ceiling by bytes. All of it
//! is work for the CPU, so callers run it beside the event loop, on a few threads. What it costs is measured by
//! `cargo run --profile quick -p dgon-control-plane-recount --example count_cost`; [`limits`] has the numbers.
//!
//! Requests are a stranger's, tokenizers and templates the operator's. What a stranger sends is data for a template and
//! never part of one, and every step has a bound: bytes before parsing, instructions and bytes in the template (its
//! fuel), bytes before encoding.

pub mod count;
pub mod counter;
pub mod directory;
mod encoder;
pub mod index;
pub mod limits;
mod request;
mod template;

pub use count::{Counted, Part, allowance, billed, worse};
pub use counter::{AnswerText, Counter, ModelRef};
pub use directory::{ReadError, read};
pub use request::Route;
