//! Enrolment: how a new node and the control plane meet.
//!
//! The agent fetches a nonce (`POST /api/v1/nodes/register/nonce`, empty body), makes its key, and posts
//! [`RegisterRequest`] to `/api/v1/nodes/register`. The token is consumed in the same transaction that stores
//! the key, after the proof of possession over the nonce held.

use crate::id::NodeId;
use crate::key::{PublicKey, parse_signature};
use serde::{Deserialize, Serialize};

/// Domain of the proof of possession.
const ENROL_DOMAIN: &[u8] = b"DGON-ENROL-V1\0";

/// Answer to `POST /api/v1/nodes/register/nonce`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = node::RegisterNonce))]
pub struct RegisterNonce {
    /// To be signed, once, within `expires_s`.
    pub nonce: String,
    /// Lifetime, s.
    pub expires_s: u32,
}

/// Body of `POST /api/v1/nodes/register`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = node::RegisterRequest))]
pub struct RegisterRequest {
    /// The enrolment token, as shown once in the console.
    pub token: String,
    /// The key made on the node.
    pub public_key: PublicKey,
    /// The nonce that the server gave.
    pub nonce: String,
    /// Signature of [`proof_bytes`], `ed25519:` and base64.
    #[cfg_attr(feature = "schema", schema(pattern = "^ed25519:[A-Za-z0-9+/]{86}==$"))]
    pub signature: String,
    /// The name that the operator wants; the server makes one where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<NodeId>,
    /// Where the node is; the token's region where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Version of the agent.
    #[cfg_attr(feature = "schema", schema(max_length = 128))]
    pub agent_version: String,
    /// Operating system, such as `linux` or `macos`.
    #[cfg_attr(feature = "schema", schema(max_length = 128))]
    pub os: String,
    /// Architecture, such as `x86_64` or `aarch64`.
    #[cfg_attr(feature = "schema", schema(max_length = 128))]
    pub arch: String,
    /// Keyed hash over stable hardware ids, `blake3:` and hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(max_length = 128))]
    pub hardware_hash: Option<String>,
}

impl std::fmt::Debug for RegisterRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret: never in a log.
        f.debug_struct("RegisterRequest")
            .field("public_key", &self.public_key)
            .field("node_id", &self.node_id)
            .finish_non_exhaustive()
    }
}

impl RegisterRequest {
    /// Whether the holder of the key signed the nonce.
    pub fn proves_possession(&self) -> bool {
        let message = proof_bytes(&self.nonce, &self.public_key);
        parse_signature(&self.signature)
            .is_some_and(|signature| self.public_key.verify(&message, &signature))
    }
}

/// The bytes that the new key signs: domain, nonce, NUL, public key as text.
pub fn proof_bytes(nonce: &str, public_key: &PublicKey) -> Vec<u8> {
    let mut bytes = ENROL_DOMAIN.to_vec();
    bytes.extend_from_slice(nonce.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(public_key.to_string().as_bytes());
    bytes
}

/// Answer of `POST /api/v1/nodes/register`, status 201.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = node::RegisterResponse))]
pub struct RegisterResponse {
    /// The node's name from now on.
    pub node_id: NodeId,
    /// HMAC secret, base64 of 32 bytes. Shown this once.
    #[cfg_attr(feature = "schema", schema(pattern = "^[A-Za-z0-9+/]{43}=$"))]
    pub node_secret: String,
    /// Where the agent link is, `ws://` or `wss://`.
    pub link_url: String,
    /// The region that the network has the node in.
    pub region: String,
}

impl std::fmt::Debug for RegisterResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegisterResponse")
            .field("node_id", &self.node_id)
            .field("link_url", &self.link_url)
            .finish_non_exhaustive()
    }
}
