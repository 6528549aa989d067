//! Finding runtimes: each kind is told apart, nothing else is taken for one, changes are noticed.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod access;
mod exchanges;
mod fingerprints;
mod registry;
mod support;
