//! Running below a service manager that wants to be spoken to in its own way: Windows'.
//!
//! systemd and launchd run the agent as any program and end it by a signal. Windows starts a program that must at once
//! ask to be told what to do; `service install` marks that start with a flag of `run`.

use crate::run::RunError;
use tokio_util::sync::CancellationToken;

#[cfg(not(windows))]
mod other;
#[cfg(not(windows))]
use other as os;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;

/// The flag of `run`, as `service install` gives it.
pub const FLAG: &str = "--hosted";

/// What the service is to do until `stop` is cancelled.
pub type Work = Box<dyn FnOnce() -> Result<(), RunError> + Send>;

/// Does `work` as the service; a wish of the service manager to end cancels `stop`.
///
/// # Errors
/// What `work` says, or [`RunError::System`] where no service manager has started this program.
pub fn run(stop: CancellationToken, work: Work) -> Result<(), RunError> {
    os::run(stop, work)
}
