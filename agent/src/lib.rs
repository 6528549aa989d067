//! The agent of DGON as a library; `main` is a thin shell around it.

pub mod api;
pub mod cli;
pub mod cmd;
pub mod config;
pub mod doctor;
pub mod enrol;
pub mod evidence;
pub mod files;
pub mod gpu;
pub mod heartbeat;
pub mod host;
pub mod identity;
#[cfg(target_os = "macos")]
mod iokit;
pub mod link;
pub mod local;
pub mod log;
pub mod net;
pub mod open_files;
pub mod owner;
pub mod rotation;
pub mod run;
pub mod runtime;
pub mod service;
pub mod shell;
pub mod telemetry;
pub mod terminal;
mod timer_borders;

pub use dgon_agent_dataplane::{clock, liveness, mode, own_command, proxy, receipts, sink, spool};
