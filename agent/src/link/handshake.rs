//! challenge, hello, welcome: both sides prove who they are.
//!
//! Until the proof in `welcome` held, the server is a stranger. Of a stranger come a challenge, which is signed for the
//! host that was asked for, and at most an error, which ends the attempt. Nothing else of it is read.

use super::dial::{Dialled, Socket};
use super::ended::Ended;
use super::{LinkSettings, Parts, now_ms};
use crate::own_command::own_command;
use dgon_protocol::frame::{
    Challenge, Hello, Incoming, SealedWelcome, ToAgent, ToControlPlane, Welcome, link_proof_bytes,
};
use dgon_protocol::key::{hex, signature_text};
use dgon_protocol::text::Text;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;

/// Messages before the welcome, pings and frames of newer versions among them.
const MESSAGES: usize = 32;

/// A session with a control plane that has proven itself.
pub(super) struct Authenticated {
    pub(super) socket: Socket,
    pub(super) welcome: Welcome,
    /// This machine's clock less the control plane's, ms.
    pub(super) clock_ahead_ms: i64,
    /// `seq` of a receipt of our own key that the spool does not have, as the control plane has shown.
    pub(super) ahead: Option<u64>,
}

/// Goes through the handshake on a fresh connection.
pub(super) async fn authenticate_session(
    settings: &LinkSettings,
    parts: &Parts,
    dialled: Dialled,
) -> Result<Authenticated, Ended> {
    let Dialled { mut socket, host } = dialled;
    let challenge = match next_frame(&mut socket).await? {
        ToAgent::Challenge(challenge) => challenge,
        ToAgent::Error(error) => return Err(Ended::told_unproven(&error)),
        other => return Err(unexpected(&other, "challenge")),
    };
    let agent_nonce = nonce().ok_or_else(|| Ended::failed("the system gives no random bytes"))?;
    let hello = hello(settings, parts, &challenge, &host, &agent_nonce);
    let text = ToControlPlane::Hello(hello).encode(i64::try_from(now_ms()).unwrap_or(i64::MAX));
    let sent = socket.send(Message::text(text)).await;
    sent.map_err(|error| Ended::failed(format!("the link broke ({error})")))?;
    let sealed = match next_frame(&mut socket).await? {
        ToAgent::Welcome(sealed) => sealed,
        ToAgent::Error(error) => return Err(Ended::told_unproven(&error)),
        other => return Err(unexpected(&other, "welcome")),
    };
    let welcome = open(settings, &sealed, &challenge.nonce, &agent_nonce)?;
    let ahead = ahead(settings, parts, &welcome)?;
    let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    Ok(Authenticated {
        socket,
        welcome,
        clock_ahead_ms: now.saturating_sub(challenge.server_time_ms),
        ahead,
    })
}

/// 256 fresh bits.
fn nonce() -> Option<String> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).ok()?;
    Some(hex(&random))
}

fn hello(
    settings: &LinkSettings,
    parts: &Parts,
    challenge: &Challenge,
    host: &str,
    agent_nonce: &str,
) -> Hello {
    let proof = link_proof_bytes(&challenge.nonce, &settings.node_id, host);
    Hello {
        node_id: settings.node_id.clone(),
        public_key: settings.key.public(),
        signature: signature_text(&settings.key.sign(&proof)),
        agent_version: settings.agent_version.clone(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        boot_id: settings.boot_id.clone(),
        inventory: parts.inventory.borrow().as_ref().clone(),
        next_seq: parts.receipts.status().last_seq + 1,
        allow: settings.allow.clone(),
        agent_nonce: Some(agent_nonce.to_owned()),
    }
}

fn open(
    settings: &LinkSettings,
    sealed: &SealedWelcome,
    nonce: &str,
    agent_nonce: &str,
) -> Result<Welcome, Ended> {
    let opened = sealed.open(&settings.secret, nonce, agent_nonce);
    opened.map_err(|error| {
        Ended::failed(format!(
            "what answers at {} is not this node's control plane: {}. Check control_plane.api in agent.yaml; a control \
             plane that is older than this agent must be updated; if this node's control plane was set up anew, enrol \
             this machine again (`{}`)",
            settings.url,
            dgon_agent_core::error::chain(&error),
            own_command("enroll --force")
        ))
    })
}

/// Whether receipts of this key are missing here. Believed only where one of them is shown, signed by this key: else
/// a number would be enough to stop this machine's own users.
fn ahead(settings: &LinkSettings, parts: &Parts, welcome: &Welcome) -> Result<Option<u64>, Ended> {
    let last_seq = parts.receipts.status().last_seq;
    if welcome.acked_seq <= last_seq {
        return Ok(None);
    }
    match welcome.shown_seq(&settings.key.public(), &settings.node_id) {
        Some(seq) if seq > last_seq => Ok(Some(seq)),
        _ => Err(Ended::fault(format!(
            "the control plane says that it has receipts of this node up to {} and shows none beyond {last_seq}, the last \
             one here, so it is not believed; its own people must look into it. This machine's own users are served",
            welcome.acked_seq
        ))),
    }
}

/// The next text frame of a handshake.
pub(super) async fn next_frame(socket: &mut Socket) -> Result<ToAgent, Ended> {
    for _ in 0..MESSAGES {
        let text = match socket.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(_))) | None => {
                return Err(Ended::failed(
                    "the control plane closed the link during the handshake",
                ));
            }
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Err(Ended::failed(format!("the link broke ({error})"))),
        };
        match ToAgent::decode(&text) {
            Ok(Incoming::Known(frame)) => return Ok(frame),
            Ok(Incoming::Unknown(_)) => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Err(Ended::fault(
        "the control plane sends everything but what belongs into a handshake",
    ))
}

/// A frame that breaks the grammar.
pub(super) fn unreadable(error: &dgon_protocol::frame::FrameError) -> Ended {
    // The reason may quote what was sent, at any length.
    let why = Text::new(&dgon_agent_core::error::chain(error));
    Ended::fault(format!(
        "the control plane sent a frame that cannot be read ({why})"
    ))
}

/// A frame that is none of those that may come now.
pub(super) fn unexpected(frame: &ToAgent, expected: &str) -> Ended {
    Ended::fault(format!(
        "the control plane sent {} where {expected} belongs",
        frame.kind()
    ))
}
