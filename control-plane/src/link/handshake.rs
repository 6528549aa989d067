//! Challenge, hello, welcome: the node proves the key that its receipts verify under.

use super::session::{End, Wire};
use crate::app::{App, NodeSession};
use crate::bus::Event;
use crate::presence::{AgentInfo, Report};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{
    Challenge, Hello, Incoming, Inventory, LinkLimits, NodeStatus, ToAgent, ToControlPlane, Welcome,
};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::hex;
use std::sync::Arc;

const AGENT_TEXT_CHARS: usize = 128;
const INVENTORY_BYTES: usize = 256 * 1024;
/// GPUs of one node; also the most that a heartbeat may speak of.
pub(super) const GPUS: usize = 256;

/// Runs the handshake up to the moment before `welcome`.
pub(super) async fn prove(
    app: &App,
    wire: &mut Wire,
    node_id: &NodeId,
    host: &str,
) -> Result<(Arc<NodeSession>, Box<Hello>), End> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|_| End::unavailable("no randomness"))?;
    let nonce = hex(&random);
    let challenge = Challenge {
        nonce: nonce.clone(),
        server_time_ms: app.clock.now_ms(),
    };
    wire.send(&ToAgent::Challenge(challenge)).await?;
    let hello = loop {
        match wire.receive().await? {
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
    if !hello.proves_key(&nonce, host) {
        let message = "hello does not prove the receipt key for this nonce and host";
        return Err(End::error(ErrorType::InvalidSignature, message));
    }
    Ok((Arc::new(node), hello))
}

/// Makes the session known to the rest and tells the node that it stands.
pub(super) async fn welcome(
    app: &App,
    wire: &mut Wire,
    node: &NodeSession,
    hello: Hello,
) -> Result<(), End> {
    let session_id = node.session_id.clone().unwrap_or_default();
    let mut allow = hello.allow;
    allow.sort_unstable();
    allow.dedup();
    let report = Report {
        agent: AgentInfo {
            version: cut(&hello.agent_version),
            os: cut(&hello.os),
            arch: cut(&hello.arch),
        },
        inventory: bounded(hello.inventory)?,
        allow,
    };
    app.presence.connect(
        &node.node_id,
        session_id.clone(),
        app.clock.now_ms(),
        report,
    );
    app.bus.send(Event::Node {
        node_id: node.node_id.clone(),
    });
    app.lifecycle_wake.notify_one();
    let welcome = Welcome {
        session_id,
        acked_seq: node.head_seq,
        heartbeat_s: u32::try_from(app.settings.heartbeat.as_secs())
            .unwrap_or(10)
            .max(1),
        limits: LinkLimits::default(),
        flags: serde_json::Map::new(),
    };
    wire.send(&ToAgent::Welcome(welcome)).await?;
    let status = app.lifecycles.get(&node.node_id).map(|life| life.status());
    wire.send(&ToAgent::Status(status.unwrap_or(NodeStatus {
        status: dgon_protocol::frame::LifecycleStatus::Pending,
        reason: "enrolled".to_owned(),
    })))
    .await
}

fn cut(text: &str) -> String {
    text.chars().take(AGENT_TEXT_CHARS).collect()
}

/// Refuses an inventory that no machine has: it is kept in memory for as long as the node is known.
pub(super) fn bounded(inventory: Inventory) -> Result<Inventory, End> {
    let size = serde_json::to_string(&inventory).map_or(usize::MAX, |json| json.len());
    if size > INVENTORY_BYTES || inventory.gpus.len() > GPUS {
        let message = format!("an inventory has at most {INVENTORY_BYTES} bytes and {GPUS} GPUs");
        return Err(End::error(ErrorType::InvalidFrame, message));
    }
    Ok(inventory)
}
