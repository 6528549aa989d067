//! What differs between systems: which sources of cards there are, the kernel's log, the names of processes.
//!
//! Every system has the same functions; one that cannot answer says so, and one whose cards cannot be read gives a
//! finding of the kind `unsupported`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(super) use linux::{backends, command_line, kernel_faults};
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
pub(super) use macos::{backends, command_line, kernel_faults};
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod other;
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) use other::{backends, command_line, kernel_faults};

/// A fault of a card in the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(dead_code, reason = "made only where the kernel's log can be read")]
pub(super) struct KernelFault {
    /// The card's address without its function, such as `0000:3b:00`.
    pub(super) address: String,
    /// NVIDIA's number of the fault.
    pub(super) xid: u64,
    /// When, s since the machine started.
    pub(super) at_uptime_s: u64,
}
