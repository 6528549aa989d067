//! Nodes against a control plane in this process: enrolment, node HTTP, the link, lifecycle, ingest.
//!
//! Everything is real but the agents, which `dgon_testkit::fleet` moves by hand, and the thresholds.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

mod database;
mod days;
#[path = "../support/documented.rs"]
mod documented;
mod enrolment;
mod handshakes;
mod hostile;
mod http_api;
mod ingest;
mod key;
mod kills;
mod lifecycle;
mod link;
mod offers;
mod orders;
mod relay;
mod steps;
mod strangers;
mod sums;
mod support;
mod volume;
