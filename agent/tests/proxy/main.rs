//! The proxy over real sockets: bytes, receipts, the held end, cancelling, routes, many streams, threads.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../support/mod.rs"]
mod agent;
mod bytes;
mod cancel;
mod clients;
mod energy;
mod errors;
mod garbage;
mod hold;
mod kinds;
mod lists;
mod load;
mod memory;
mod odd;
mod probe;
mod routes;
mod slow_bodies;
mod support;
mod worker_threads;
