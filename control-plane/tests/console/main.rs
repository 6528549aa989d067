//! What the console reads: queries over HTTP and the live socket, on a real server. `network` is what agents sent over
//! their links and proves that each figure comes from there; the rest is over a seeded network, for volume.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[allow(
    dead_code,
    reason = "the conversations of agents, of which these tests need a part"
)]
#[path = "../nodes/support.rs"]
mod agents;
#[path = "../support/documented.rs"]
mod documented;
mod live;
mod network;
mod queries;
mod server;
mod sights;
