//! The link against a stepped control plane, through a network that misbehaves.

mod duties;
mod resume;
mod setup;
