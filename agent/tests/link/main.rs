//! The link against a stepped control plane, through a network that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hostile;
mod relay;
mod requests;
mod resume;
mod setup;
