//! What a node may ask about itself over HTTP: `GET /api/v1/nodes/self`, authenticated by v2 headers.

use crate::frame::LifecycleStatus;
use crate::id::NodeId;
use crate::text::Text;
use serde::{Deserialize, Serialize};

/// Path of the question.
pub const SELF_PATH: &str = "/api/v1/nodes/self";

/// The control plane's answer: proof that the node's credentials are accepted, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = node::NodeSelf))]
pub struct NodeSelf {
    /// Whom the control plane took the caller for.
    pub node_id: NodeId,
    /// Lifecycle status.
    pub status: LifecycleStatus,
    /// Why the status is what it is, for a person.
    #[serde(default)]
    pub status_reason: Text,
    /// Every receipt up to this `seq` is durable or refused; 0 where there is none.
    pub acked_seq: u64,
    /// The server's clock, RFC 3339 in UTC with milliseconds.
    pub server_time: String,
}
