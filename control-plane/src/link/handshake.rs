//! Challenge, hello, welcome: the node proves the key that its receipts verify under, and the control plane proves
//! that it knows the node's secret.
//!
//! Beyond wire.md: `hello` carries a nonce of the agent, which `welcome` repeats under its proof. The challenge's nonce
//! is the server's choice, so an impostor could otherwise play a recorded challenge and its welcome again.

use super::wire::{End, Reader, Received, Writer};
use crate::app::{App, KEY_OF_BEFORE, NodeSession, Secret, SessionEnd};
use crate::presence::{AgentInfo, Report};
use dgon_control_plane_store::System;
use dgon_protocol::auth;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{
    Challenge, Hello, Incoming, Inventory, LinkLimits, SealedWelcome, ToAgent, ToControlPlane,
    Welcome,
};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::hex;
use dgon_protocol::order::OrderKeys;
use serde_json::value::RawValue;
use std::sync::Arc;

const AGENT_TEXT_CHARS: usize = 128;
const INVENTORY_BYTES: usize = 256 * 1024;
/// GPUs of one node; also the most that a heartbeat may speak of.
pub(super) const GPUS: usize = 256;

/// A node that proved its key, what it said of itself, and what it is told.
pub(super) struct Proven {
    pub(super) node: Arc<NodeSession>,
    pub(super) report: Report,
    pub(super) welcome: SealedWelcome,
    /// The secret that this control plane proves itself by.
    pub(super) secret: Arc<Secret>,
    /// Version of the set of order keys in the welcome.
    pub(super) keys_version: u64,
}

/// Runs the handshake up to the moment before `welcome`. `host` is what the agent asked for.
pub(super) async fn prove(
    app: &App,
    reader: &mut Reader,
    writer: &mut Writer,
    node_id: &NodeId,
    host: &str,
) -> Result<Proven, End> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|_| End::unavailable("no randomness"))?;
    let nonce = hex(&random);
    let challenge = Challenge {
        nonce: nonce.clone(),
        server_time_ms: app.clock.now_ms(),
    };
    writer.send(&ToAgent::Challenge(challenge)).await?;
    let hello = loop {
        let Received::Frame(frame) = reader.receive().await? else {
            let message = "no relay stream is open";
            return Err(End::error(ErrorType::InvalidFrame, message));
        };
        match *frame {
            Incoming::Known(ToControlPlane::Hello(hello)) => break Box::new(hello),
            Incoming::Known(other) => {
                let message = format!("the first frame must be hello, this is {}", other.kind());
                return Err(End::error(ErrorType::InvalidFrame, message));
            }
            Incoming::Unknown(_) => {}
        }
    };
    if hello.node_id != *node_id {
        let message = "hello names another node than X-Node-ID";
        return Err(End::error(ErrorType::WrongNode, message));
    }
    let session_id = hex(&random[16..]);
    let node = app
        .node_session(node_id, Some(session_id))
        .await
        .map_err(|error| End::store(&error))?
        .ok_or_else(|| End::error(ErrorType::Unauthorized, "the node has no key here"))?;
    if hello.public_key != node.public_key {
        let is_former = node
            .former
            .iter()
            .any(|key| key.public_key == hello.public_key);
        let message = if is_former {
            "hello shows a key that this node gave up; finish the rotation with `dgon-agent key rotate`, or restore \
             the node's state as it was after it"
        } else {
            "hello shows another key than the one enrolled; enrol again or restore the node's state"
        };
        return Err(End::error(ErrorType::InvalidKey, message));
    }
    if node.has_key_of_before() {
        return Err(End::error(ErrorType::InvalidKey, KEY_OF_BEFORE));
    }
    check_proof(&hello, &nonce, host, app.settings.public_url.as_deref())?;
    if !hello.agent_nonce.as_deref().is_none_or(auth::is_nonce) {
        let message = "hello's agent_nonce must be 22 to 128 of A-Z a-z 0-9 _ -";
        return Err(End::error(ErrorType::InvalidFrame, message));
    }
    let (order_keys, keys_version) = app.order_keys.live(app.clock.now_ms());
    let (welcome, secret) = sealed(app, &node, &hello, (&nonce, order_keys)).await?;
    Ok(Proven {
        secret,
        keys_version,
        node: Arc::new(node),
        report: report(*hello)?,
        welcome,
    })
}

/// What the node says of itself, as it is kept.
fn report(hello: Hello) -> Result<Report, End> {
    let mut allow = hello.allow;
    allow.sort_unstable();
    allow.dedup();
    Ok(Report {
        agent: AgentInfo {
            version: cut(&hello.agent_version),
            os: cut(&hello.os),
            arch: cut(&hello.arch),
        },
        inventory: bounded(hello.inventory)?,
        allow,
    })
}

/// Whether the node's proof was made for this control plane. With a public URL it must be for that address: a server
/// in between, which the agent took for us, has another one.
fn check_proof(
    hello: &Hello,
    nonce: &str,
    host: &str,
    public_url: Option<&str>,
) -> Result<(), End> {
    let public = public_url.map(authority);
    if hello.proves_key(nonce, public.as_deref().unwrap_or(host)) {
        return Ok(());
    }
    let message = match public {
        Some(public) if hello.proves_key(nonce, host) => format!(
            "the agent connects to {host}, and this control plane's public address is {public}; set control_plane.api \
             in agent.yaml to the public address, or correct public_url"
        ),
        Some(_) | None => "hello does not prove the receipt key for this nonce and host".to_owned(),
    };
    Err(End::error(ErrorType::InvalidSignature, message))
}

/// Host and port of an address as a `Host` header has them: in lower case, without the port that the scheme implies.
fn authority(url: &str) -> String {
    let (rest, implied) = match url.strip_prefix("https://") {
        Some(rest) => (rest, ":443"),
        None => (url.strip_prefix("http://").unwrap_or(url), ":80"),
    };
    let authority = rest.trim_end_matches('/').to_ascii_lowercase();
    authority
        .strip_suffix(implied)
        .unwrap_or(&authority)
        .to_owned()
}

/// Tells the node that its session stands, and its status.
pub(super) async fn welcome(
    app: &App,
    writer: &mut Writer,
    node_id: &NodeId,
    welcome: SealedWelcome,
) -> Result<(), End> {
    let Some(life) = app.lifecycles.get(node_id) else {
        return Err(End::from(SessionEnd::Retired));
    };
    writer.send(&ToAgent::Welcome(welcome)).await?;
    writer.send(&ToAgent::Status(life.status())).await
}

/// The welcome, with the proof that we know the node's secret.
async fn sealed(
    app: &App,
    node: &NodeSession,
    hello: &Hello,
    (nonce, order_keys): (&str, OrderKeys),
) -> Result<(SealedWelcome, Arc<Secret>), End> {
    let secret = app.node_secret(&node.node_id).await;
    let secret = secret
        .map_err(|error| End::store(&error))?
        .ok_or_else(|| End::error(ErrorType::Unauthorized, "the node has no secret here"))?;
    let welcome = Welcome {
        session_id: node.session_id.clone().unwrap_or_default(),
        acked_seq: node.head_seq,
        acked_receipt: newest_receipt(app, node, hello.next_seq).await?,
        heartbeat_s: u32::try_from(app.settings.heartbeat.as_secs())
            .unwrap_or(10)
            .max(1),
        limits: LinkLimits::default(),
        flags: serde_json::Map::new(),
        agent_nonce: hello.agent_nonce.clone(),
        order_keys,
    };
    let sealed = welcome.seal(&secret, nonce).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a welcome was not sealed"
        );
        End::unavailable("the control plane cannot prove itself now")
    })?;
    Ok((sealed, secret))
}

/// The newest stored receipt of the chain, for an agent that speaks of fewer: it believes nothing less.
async fn newest_receipt(
    app: &App,
    node: &NodeSession,
    next_seq: u64,
) -> Result<Option<Box<RawValue>>, End> {
    if next_seq > node.head_seq {
        return Ok(None);
    }
    let from_seq = i64::try_from(next_seq).unwrap_or(i64::MAX);
    let stored = app
        .store
        .newest_receipt(System::of_the_server(), node.node_key_id, from_seq)
        .await;
    Ok(stored
        .map_err(|error| End::store(&error))?
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| RawValue::from_string(text).ok()))
}

/// A text of the agent as it is stored and shown: short, and without control characters, which PostgreSQL or a
/// terminal would stumble over.
fn cut(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(AGENT_TEXT_CHARS).collect()
}

/// Refuses an inventory that no machine has: it is kept in memory for as long as the node is known. Names that no
/// receipt could have are left out.
pub(super) fn bounded(mut inventory: Inventory) -> Result<Inventory, End> {
    let size = serde_json::to_string(&inventory).map_or(usize::MAX, |json| json.len());
    if size > INVENTORY_BYTES || inventory.gpus.len() > GPUS {
        let message = format!("an inventory has at most {INVENTORY_BYTES} bytes and {GPUS} GPUs");
        return Err(End::error(ErrorType::InvalidFrame, message));
    }
    inventory.leave_out_unnameable();
    Ok(inventory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_as_a_host_header_has_it() {
        for (url, expected) in [
            ("https://DGON.example", "dgon.example"),
            ("https://dgon.example:443/", "dgon.example"),
            ("https://dgon.example:80", "dgon.example:80"),
            ("http://10.0.0.5:8080", "10.0.0.5:8080"),
            ("http://[::1]:80", "[::1]"),
        ] {
            assert_eq!(authority(url), expected, "{url}");
        }
    }
}
