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
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked(&stop);
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
        while tokio::signal::ctrl_c().await.is_ok() {
            asked(&stop);
        }
    });
    Ok(())
}

fn asked(stop: &CancellationToken) {
    if stop.is_cancelled() {
        std::process::exit(EXIT_INTERRUPTED);
    }
    tracing::info!("stopping: running answers may end; stop again to end at once");
    stop.cancel();
}
