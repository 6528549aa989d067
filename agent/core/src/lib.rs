//! Pure state machines of the agent: no tokio, no files, no network; time and randomness are arguments.

pub mod error;
pub mod facts;
pub mod host;
pub mod link;
pub mod meter;
pub mod order_gate;
pub mod owner;
pub mod request;
pub mod spool;
pub mod watchdog;
