//! Keys as anybody may see them: those of a node, which verify its receipts offline, and those of work orders.

use super::time;
use dgon_control_plane_store::node_keys::NodeKey;
use dgon_control_plane_store::order_keys::OrderKeyRow;
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

/// A key that signs work orders and countersignatures, and its time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderKeyView {
    /// Short name, as orders and countersignatures name it.
    pub kid: String,
    /// `ed25519:` and base64.
    pub public_key: String,
    /// Since when an agent believes what it signs.
    pub not_before: String,
    /// Until when: earlier than was planned where its process ended before.
    pub not_after: String,
    /// When it was made.
    pub created_at: String,
}

impl OrderKeyView {
    /// From the store.
    pub fn of(row: &OrderKeyRow) -> Self {
        Self {
            kid: row.key.kid.to_string(),
            public_key: row.key.public_key.to_string(),
            not_before: time(row.key.not_before_ms),
            not_after: time(row.key.not_after_ms),
            created_at: time(row.created_at_ms),
        }
    }
}
