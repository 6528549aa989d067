//! The proxy over real sockets: bytes, receipts, the held end, cancelling, routes, many streams at once.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod bytes;
mod cancel;
mod errors;
mod hold;
mod load;
mod probe;
mod routes;
mod support;
