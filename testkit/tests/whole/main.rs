//! Whole networks of real programs: one test program, because each links the same.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod chaos;
#[path = "../common/mod.rs"]
mod common;
mod disk_faults;
mod end_to_end;
mod fleet;
mod identity;
mod plane_away;
mod proxy_bytes;
mod runtime_faults;
mod unknown;
