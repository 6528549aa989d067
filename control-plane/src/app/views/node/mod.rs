//! Nodes as people see them: the stored row with what is known in memory laid over it.

mod detail;
mod machine;

pub use detail::{AssigneeView, ChainView, GapView, HistoryView, NodeDetail, ProbeView};
pub use machine::{GpuLoadView, GpuView, HeartbeatEvent, HeartbeatView, HostView, ModelView};

use super::time;
use crate::presence::NodePresence;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::node_queries::NodeListRow;
use dgon_protocol::frame::{GpusNotRead, Inventory};
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Lifecycle status as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// Enrolled; its probe has not passed yet.
    Pending,
    /// Serves.
    Active,
    /// Stopped by a rule or an admin.
    Quarantine,
    /// Silent for too long, or retired.
    Offline,
}

impl NodeStatus {
    /// How a state of the lifecycle is shown.
    pub fn of_state(state: &str) -> Self {
        match state {
            "active" => Self::Active,
            "quarantine" => Self::Quarantine,
            "offline" | "retired" => Self::Offline,
            _ => Self::Pending,
        }
    }
}

/// A node in a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeRow {
    /// Which.
    pub node_id: String,
    /// Where.
    pub region: String,
    /// Status.
    pub status: NodeStatus,
    /// Why, from a closed list.
    pub status_reason: String,
    /// Since when.
    pub status_since: String,
    /// LLM servers on it.
    pub runtimes: Vec<RuntimeView>,
    /// Models that they serve.
    pub models: Vec<String>,
    /// Names of its GPUs.
    pub gpus: Vec<String>,
    /// Why its GPUs are not read: `off`, `released`, `no_answer` where they were not read in time, or `unknown` for a
    /// reason that this version does not know. The list of GPUs is then as they were known before, and an empty one means
    /// nothing. `null`: they are read.
    pub gpus_not_read: Option<String>,
    /// 95th percentile of the time to first token over 24 h, ms.
    pub p95_ms: Option<i64>,
    /// Receipts over 24 h.
    pub requests_24h: i64,
    /// Last heartbeat.
    pub last_heartbeat_at: Option<String>,
    /// The last heartbeat is older than it should be.
    pub late: bool,
    /// A session is open.
    pub connected: bool,
    /// Version of its agent.
    pub agent_version: Option<String>,
    /// Whether something is left out that only its own organisation and admins are shown. In a list that is the version of
    /// its agent; of one node also its machine, organisation, people, receipts and probes, and who changed its state. What is
    /// missing then may well exist.
    pub withheld: bool,
    /// The private pool that it is in; `null` for a node that everybody may see.
    pub pool: Option<PoolRef>,
}

/// A private pool by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolRef {
    /// Identity.
    pub pool_id: String,
    /// What it is called.
    pub name: String,
}

impl PoolRef {
    /// From columns.
    pub fn of(pool_id: Option<String>, name: Option<String>) -> Option<Self> {
        let pool_id = pool_id?;
        let name = name.unwrap_or_default();
        Some(Self { pool_id, name })
    }
}

/// A runtime in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuntimeView {
    /// Such as `ollama`.
    pub kind: String,
    /// Where it tells.
    pub version: Option<String>,
    /// Takes requests now.
    pub ready: bool,
}

/// What is known of a node besides its row.
#[derive(Debug, Clone, Copy)]
pub struct Now<'p> {
    /// In memory.
    pub presence: Option<&'p NodePresence>,
    /// The clock, unix ms.
    pub now_ms: i64,
    /// Silence after which a node is late, ms.
    pub late_after_ms: i64,
}

/// The inventory of this session, or the stored one.
fn inventory(row: &NodeListRow, now: Now<'_>) -> Inventory {
    let live = now
        .presence
        .and_then(|presence| presence.inventory.as_deref());
    live.cloned().unwrap_or_else(|| {
        let stored = row.inventory.as_deref();
        stored
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    })
}

impl NodeRow {
    /// Lays what is known now over a stored row; trimmed where it is not in scope.
    pub fn of_row(scope: &Scope, row: &NodeListRow, now: Now<'_>) -> Self {
        let all = Self::with_inventory(row, now, &inventory(row, now));
        match scope.owns(row.org_id.as_deref()) {
            true => all,
            false => all.trimmed(),
        }
    }

    fn with_inventory(row: &NodeListRow, now: Now<'_>, inventory: &Inventory) -> Self {
        let status = NodeStatus::of_state(&row.state);
        let seen_ms = now
            .presence
            .and_then(|presence| presence.heartbeat.as_ref().map(|(at_ms, _)| *at_ms))
            .max(row.last_heartbeat_at_ms);
        let models: BTreeSet<&String> = inventory
            .runtimes
            .iter()
            .flat_map(|runtime| runtime.models.iter().map(|model| &model.id))
            .collect();
        Self {
            node_id: row.node_id.clone(),
            region: row.region.clone(),
            status,
            status_reason: row.state_reason.clone(),
            status_since: time(row.state_since_ms),
            runtimes: inventory
                .runtimes
                .iter()
                .map(|runtime| RuntimeView {
                    kind: runtime.kind.clone(),
                    version: runtime.version.clone(),
                    ready: runtime.ready,
                })
                .collect(),
            models: models.into_iter().cloned().collect(),
            gpus: inventory.gpus.iter().map(|gpu| gpu.name.clone()).collect(),
            gpus_not_read: inventory
                .gpus_not_read
                .map(|why| GpusNotRead::as_str(why).to_owned()),
            p95_ms: row.p95_ms,
            requests_24h: row.requests_24h,
            last_heartbeat_at: seen_ms.map(time),
            late: status != NodeStatus::Offline
                && seen_ms.is_some_and(|at| now.now_ms.saturating_sub(at) > now.late_after_ms),
            connected: now.presence.is_some_and(NodePresence::is_connected),
            agent_version: Some(row.agent_version.clone()).filter(|version| !version.is_empty()),
            withheld: false,
            pool: PoolRef::of(row.pool_id.clone(), row.pool_name.clone()),
        }
    }

    /// What others may see. No order and no filter of the list is by what is left out here (`node_queries` of the store).
    fn trimmed(mut self) -> Self {
        self.agent_version = None;
        self.withheld = true;
        self
    }
}
