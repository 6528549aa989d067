//! The keys of a node as anybody may see them: what a stranger needs to verify its receipts offline.

use super::time;
use dgon_control_plane_store::node_keys::NodeKey;
use serde::Serialize;
use utoipa::ToSchema;

/// `GET /nodes/{node_id}/keys`: every key that the node ever had, the one in use first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeKeys {
    /// Whose keys.
    pub node_id: String,
    /// The keys.
    pub items: Vec<NodeKeyView>,
}

/// A key and its time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeKeyView {
    /// Short name, as receipts name it.
    pub key_id: String,
    /// `ed25519:` and base64.
    pub public_key: String,
    /// Since when it is valid.
    pub valid_from: String,
    /// Until when it was; `null` for the key in use.
    pub valid_to: Option<String>,
    /// The last `seq` that its holder signed, as the holder stated when it was given up.
    pub closed_seq: Option<i64>,
    /// The statement that brought the key, signed by the key before it and by itself; `null` for the key that the
    /// node enrolled with.
    pub rotation: Option<serde_json::Value>,
    /// The statement that ended its chain, signed by the key.
    pub closing: Option<serde_json::Value>,
}

impl NodeKeyView {
    /// From the store.
    pub fn of(key: &NodeKey) -> Self {
        let statement = |text: &Option<String>| {
            text.as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
        };
        Self {
            key_id: key.public_key.key_id(),
            public_key: key.public_key.to_string(),
            valid_from: time(key.valid_from_ms),
            valid_to: key.valid_to_ms.map(time),
            closed_seq: key.closed_seq,
            rotation: statement(&key.rotation),
            closing: statement(&key.closing),
        }
    }
}
