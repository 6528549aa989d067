//! The HTTP API. Handlers authorise and parse, call `app`, and answer; they hold no rules.

pub mod error;
pub mod node;
pub mod query;
