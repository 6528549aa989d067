//! An evidence bundle: receipts of this node in one file that a stranger checks without network and without us.
//!
//! | module | owns |
//! |---|---|
//! | `make` | from the spools of this node to a bundle |
//! | [`verify`] | from bytes to what they prove |
//!
//! The file is one JSON object in RFC 8785 form, so that its bytes are what it says and nothing else. It holds the
//! node's keys with the statements by which each passed the node on, the receipts' exact entry bytes, chain by chain,
//! and a seal: the key in use signs everything else in the file. `docs/agent/receipts.md` has the whole format.

mod make;
pub mod verify;

pub use make::{MakeError, make};

use dgon_protocol::id::NodeId;
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::rotate::{Closing, Rotation};
use serde::{Deserialize, Serialize};

/// Name and version of the format.
pub const FORMAT: &str = "dgon-evidence-1";
/// Domain of the seal.
const SEAL_DOMAIN: &str = "DGON-EVIDENCE-V1\0";
/// Levels of the object: the statements in a key are the deepest.
const DEPTH: usize = 8;

/// The bundle. Members are in the order of their names, as in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Version of the agent that made it.
    pub agent_version: String,
    /// One chain per key, in the order of the keys.
    pub chains: Vec<Chain>,
    /// [`FORMAT`].
    pub format: String,
    /// Every key, the first first and the one in use last.
    pub keys: Vec<Key>,
    /// When it was made, unix s by the node's clock.
    pub made_at: u64,
    /// Whose receipts they are.
    pub node_id: NodeId,
    /// Signature of the last key over everything else, `ed25519:` and base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<String>,
}

/// A key of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The old key's word on where its chain ends; absent for the key in use and for a chain whose end was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Closing>,
    /// Short name.
    pub key_id: String,
    /// The key.
    pub public_key: PublicKey,
    /// The statement that brought it; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Since when it is valid, unix ms, as the control plane told the node; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from_ms: Option<i64>,
    /// Until when it was, likewise; absent for the key in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to_ms: Option<i64>,
}

/// The receipts of one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Up to which `seq` the control plane acknowledged, as the node remembers it.
    pub acked_seq: u64,
    /// The last receipt in the bundle; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Whose chain it is.
    pub key_id: String,
    /// First and last `seq` of stretches inside that the node has lost.
    pub missing: Vec<(u64, u64)>,
    /// Entry bytes, in the order of the chain.
    pub receipts: Vec<String>,
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// SHA-256 of the last receipt's entry bytes.
    pub hash: Sha256Hash,
    /// Its `seq`.
    pub seq: u64,
}

/// What the seal signs: domain, and SHA-256 of the canonical bytes of everything but the seal.
fn seal_bytes(unsealed: &[u8]) -> Vec<u8> {
    format!("{SEAL_DOMAIN}{}", Sha256Hash::of(unsealed)).into_bytes()
}

#[cfg(test)]
mod tests;
