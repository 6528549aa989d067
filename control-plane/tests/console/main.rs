//! What the console reads: queries over HTTP and the live socket, on a real server over a seeded network.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod live;
mod queries;
mod server;
