//! The owner's controls on the real program: orders, limits, status, metrics, the live line, clocks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod clock;
mod limits;
mod metrics;
mod node;
mod orders;
mod status;
mod stop;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
