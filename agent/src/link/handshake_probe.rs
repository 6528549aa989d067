//! The handshake up to the challenge, and not a step further: what the doctor tries.
//!
//! The control plane gives a node's session to another only after `hello`, so this never disturbs the agent that
//! runs. It shows everything that can keep the link from standing, but for the proofs.

use super::LinkSettings;
use super::dial::{DialError, Dialled, dial};
use super::handshake::next_frame;
use dgon_protocol::frame::{Challenge, ToAgent};
use std::time::Duration;
use tokio::time::timeout;

/// How long the closing handshake may take.
const CLOSE_WITHIN: Duration = Duration::from_millis(200);

/// Why there is no challenge.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeProbeError {
    /// There is no WebSocket.
    #[error(transparent)]
    Dial(DialError),
    /// It takes too long.
    #[error("there is no {0} in time")]
    Late(&'static str),
    /// There is one, and it does not go on as ours does.
    #[error("the WebSocket stands, but {0}")]
    Talk(String),
}

/// Dials, for `upgrade` at most, and waits for the challenge, for `challenge` at most.
///
/// # Errors
/// [`HandshakeProbeError`].
pub async fn probe_handshake(
    settings: &LinkSettings,
    upgrade: Duration,
    challenge: Duration,
) -> Result<Challenge, HandshakeProbeError> {
    let dialled = timeout(upgrade, dial(settings)).await;
    let dialled =
        dialled.map_err(|_| HandshakeProbeError::Late("answer to the WebSocket upgrade"))?;
    let Dialled { mut socket, .. } = dialled.map_err(HandshakeProbeError::Dial)?;
    let first = timeout(challenge, next_frame(&mut socket)).await;
    let first = first
        .map_err(|_| HandshakeProbeError::Late("challenge on the WebSocket, which stands,"))?;
    drop(timeout(CLOSE_WITHIN, socket.close(None)).await);
    match first {
        Ok(ToAgent::Challenge(challenge)) => Ok(challenge),
        Ok(other) => Err(HandshakeProbeError::Talk(format!(
            "the control plane sent {} where challenge belongs",
            other.kind()
        ))),
        Err(ended) => Err(HandshakeProbeError::Talk(ended.to_string())),
    }
}
