//! Discovery of GPUs: the real loading code and the real binary on a stand-in driver library and recorded sysfs trees.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod amd;
#[cfg(unix)]
mod let_go;
mod machine;
mod nvml_command;
mod nvml_running;
