//! Systems without Unix sockets: the agent runs without its local socket.

use super::{Answer, LocalError, Request, Responder};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Waits for `stop`; nobody can ask.
///
/// # Errors
/// Never.
pub async fn serve(
    _path: &Path,
    _responder: Arc<dyn Responder>,
    stop: CancellationToken,
) -> Result<(), LocalError> {
    stop.cancelled().await;
    Ok(())
}

/// Never known here.
pub async fn listener_pid(_path: &Path) -> Option<u32> {
    None
}

/// Says that nobody can be asked.
///
/// # Errors
/// Always [`LocalError::Unsupported`].
pub async fn ask(_path: &Path, _request: Request) -> Result<Answer, LocalError> {
    Err(LocalError::Unsupported)
}
