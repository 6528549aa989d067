//! What a request asks for, read from its head and body without trusting either. No I/O, no clock.
//!
//! | module | owns |
//! |---|---|
//! | [`path`] | one spelling for all the spellings of a path that servers take for the same |
//! | [`route`] | which requests are work, and how their answers are read |
//! | [`body`] | the model and the stream that a body asks for, as each family of servers reads it |
//! | `scan` | the members of a JSON object, one pass, without a tree |
//! | `text`, `inflate`, `form` | encodings of text, compressed bodies, forms |
//! | [`usage`] | asking for usage in a body that does not, and servers that refuse to be asked |
//! | [`location`] | redirects of a server to itself |
//! | [`ollama_name`] | names of Ollama's models: which are one, which are served elsewhere |
//!
//! Invariants: only the reading is normalised, the bytes that are forwarded are the client's; a request that
//! cannot be read is work whose model is unknown, never work of another model; one pass over the body, memory
//! bounded by [`body::VALUE_BYTES`] a member; no input panics.

pub mod body;
mod form;
mod inflate;
pub mod location;
pub mod ollama_name;
pub mod path;
pub mod route;
mod scan;
mod text;
pub mod usage;

pub use body::{Body, Keys, Model};
pub use path::Path;
pub use route::{Class, Route};
