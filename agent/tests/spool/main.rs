//! The spool under everything that a disk and a power socket can do to it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod fault_disk;
mod faults;
mod kill;
mod model;
mod receipts;
mod torn;
