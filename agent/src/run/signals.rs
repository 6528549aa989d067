//! Signals: the first asks the agent to stop, the second one ends it where it is.

use std::io;
use tokio_util::sync::CancellationToken;

/// Exit code of a process that a second interrupt ended.
const EXIT_INTERRUPTED: i32 = 130;

/// Cancels `stop` on SIGTERM and SIGINT; a second one exits at once. Nothing acknowledged is lost by that: the
/// spool is built for it.
///
/// # Errors
/// When the system gives no handler.
#[cfg(unix)]
pub(super) fn cancel_on_signal(stop: CancellationToken) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut signals = Signals::default();
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            signals.take(&stop);
        }
    });
    Ok(())
}

/// Cancels `stop` on Ctrl-C; a second one exits at once.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub(super) fn cancel_on_signal(stop: CancellationToken) -> io::Result<()> {
    tokio::spawn(async move {
        let mut signals = Signals::default();
        while tokio::signal::ctrl_c().await.is_ok() {
            signals.take(&stop);
        }
    });
    Ok(())
}

/// The signals so far. Only they are counted: an agent that was asked to stop in another way takes its first signal
/// for the same request.
#[derive(Default)]
struct Signals {
    is_second: bool,
}

impl Signals {
    fn take(&mut self, stop: &CancellationToken) {
        if std::mem::replace(&mut self.is_second, true) {
            std::process::exit(EXIT_INTERRUPTED);
        }
        tracing::info!("stopping: running answers may end; stop again to end at once");
        stop.cancel();
    }
}
