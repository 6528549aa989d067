//! Nodes and their receipts: enrolled at our control plane, signed before any clock starts, the same for every stack.

use super::load::{LANES, NODE_PAUSE, RUN};
use crate::programs::Place;
use anyhow::{Context as _, Result};
use dgon_testkit::fleet::{SimAgent, load};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;

/// So many that nobody has to wait for [`NODE_PAUSE`]: 10,240 receipts a second.
const NODES: u32 = 2_048;
const PATH: &str = "/api/v1/receipts";

/// A node and its receipts, in the order of its chain.
struct Sender {
    agent: SimAgent,
    bodies: Vec<Vec<u8>>,
}

/// What all stacks are asked to take.
pub(super) struct Work(Vec<Sender>);

/// What a peer is told of a node.
#[derive(Serialize)]
struct Known<'a> {
    node_id: &'a str,
    public_key: String,
    secret: String,
}

impl Work {
    /// Enrols nodes at the control plane that runs there, and signs more receipts than a run can take.
    pub(super) async fn make(place: &Place) -> Result<Self> {
        let tokens = place.tokens(NODES)?;
        let api = format!("http://{}", place.api);
        // The client of the tests brings the provider of TLS, without which there is no client at all.
        dgon_testkit::programs::http_client()?;
        let agents = load::enrol(&api, &tokens, NODES as usize, None).await?;
        let each = RUN.as_millis().div_ceil(NODE_PAUSE.as_millis()) + 1;
        let senders = agents.into_iter().map(|mut agent| {
            let bodies = (0..each)
                .map(|_| Ok(agent.next_receipt()?.signed.entry_bytes))
                .collect::<Result<_>>()?;
            Ok(Sender { agent, bodies })
        });
        Ok(Self(senders.collect::<Result<_>>()?))
    }

    /// Writes the keys and secrets of all nodes for a peer.
    pub(super) fn write_nodes(&self, path: &Path) -> Result<()> {
        use base64::Engine as _;
        let known: Vec<Known<'_>> = self
            .0
            .iter()
            .map(|Sender { agent, .. }| Known {
                node_id: agent.node_id.as_str(),
                public_key: agent.key.public().to_string(),
                secret: base64::engine::general_purpose::STANDARD.encode(&agent.secret),
            })
            .collect();
        std::fs::write(path, serde_json::to_vec(&known)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The requests of every connection, whole and with their MACs. A node belongs to one connection, so that its
    /// receipts come in their order.
    pub(super) fn lanes(&self, address: SocketAddr) -> Result<Vec<Lane>> {
        let lane = |number| {
            let senders = self.0.iter().skip(number).step_by(LANES);
            let nodes = senders.map(|sender| {
                let requests = sender.bodies.iter();
                requests
                    .map(|body| request(&sender.agent, address, body))
                    .collect()
            });
            nodes.collect::<Result<_>>().map(Lane)
        };
        (0..LANES).map(lane).collect()
    }
}

/// The requests of one connection, by node.
pub(super) struct Lane(pub(super) Vec<Vec<Vec<u8>>>);

fn request(agent: &SimAgent, address: SocketAddr, body: &[u8]) -> Result<Vec<u8>> {
    let mut request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in agent.headers("POST", PATH, body)? {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    Ok(request)
}
