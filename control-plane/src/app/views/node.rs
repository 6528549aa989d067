//! Nodes as people see them: the stored row with what is known in memory laid over it.

use super::{ReceiptRow, time};
use crate::presence::NodePresence;
use dgon_control_plane_store::LifecycleEventRow;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::assignments::Assignee;
use dgon_control_plane_store::node_queries::{NodeDetailRow, NodeListRow};
use dgon_protocol::frame::{GpuLoad, GpusNotRead, Heartbeat, Inventory};
use dgon_protocol::key::PublicKey;
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

/// `GET /nodes/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeDetail {
    /// The row of the list.
    #[serde(flatten)]
    pub row: NodeRow,
    /// The receipt key in use: `ed25519:` and base64.
    pub public_key: String,
    /// Its short name.
    pub key_id: String,
    /// When it joined.
    pub enrolled_at: String,
    /// Operating system.
    pub os: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
    /// The machine.
    pub host: HostView,
    /// Its GPUs, with their load.
    pub gpu_details: Vec<GpuView>,
    /// Its models, with their digests.
    pub models_detail: Vec<ModelView>,
    /// Its last heartbeat.
    pub heartbeat: Option<HeartbeatView>,
    /// The organisation that owns it.
    pub org_id: Option<String>,
    /// What that is called.
    pub org_name: Option<String>,
    /// What is still to be done where it was passed on to this organisation: `enrolment` with a token of it, then `key`, a change
    /// of its key. Until then it opens no session.
    pub handover: Option<String>,
    /// Who takes care of it, in the order in which they came. It gives them no rights.
    pub assignees: Vec<AssigneeView>,
    /// Its last ten receipts.
    pub receipts: Vec<ReceiptRow>,
    /// Changes of state, the newest first. Who made one, and why in words, is told to the organisation whose node it was then.
    pub history: Vec<HistoryView>,
    /// Its chain of receipts.
    pub chain: ChainView,
    /// The last probe that ended.
    pub last_probe: Option<ProbeView>,
}

/// Somebody who takes care of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssigneeView {
    /// Who.
    pub user_id: String,
    /// Their address.
    pub email: String,
    /// Since when.
    pub assigned_at: String,
    /// Who says so: `user:ID`.
    pub assigned_by: String,
    /// Their address, for admins; `null` where it is not told, or they are not known any more.
    pub assigned_by_email: Option<String>,
}

impl AssigneeView {
    /// From a row.
    pub fn of(row: Assignee) -> Self {
        Self {
            user_id: row.user_id,
            email: row.email,
            assigned_at: time(row.assigned_at_ms),
            assigned_by: row.assigned_by,
            assigned_by_email: row.assigned_by_email,
        }
    }
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct HostView {
    /// Such as `Debian GNU/Linux 12`.
    pub os_version: Option<String>,
    /// CPU brand.
    pub cpu: Option<String>,
    /// Logical cores.
    pub cores: Option<u32>,
    /// Memory, MiB.
    pub memory_mib: Option<u64>,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GpuView {
    /// Position on this machine, from 0.
    pub index: u32,
    /// Model.
    pub name: String,
    /// Vendor's stable id.
    pub uuid: Option<String>,
    /// Memory, MiB. Where it is unified, what the GPU may use of the machine's.
    pub vram_mib: Option<u64>,
    /// Whether its memory is the machine's; `null` where nobody says.
    pub unified_memory: Option<bool>,
    /// Driver version.
    pub driver: Option<String>,
    /// CUDA version.
    pub cuda: Option<String>,
    /// What read it.
    pub backend: String,
    /// From the last heartbeat; `null` while the GPUs are not read.
    pub load: Option<GpuLoadView>,
}

/// Load of a GPU.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GpuLoadView {
    /// Position on this machine, from 0.
    pub index: u32,
    /// Utilisation, percent.
    pub util_pct: Option<f32>,
    /// Memory in use, MiB.
    pub vram_used_mib: Option<u64>,
    /// Temperature, °C.
    pub temp_c: Option<f32>,
    /// Power, W.
    pub power_w: Option<f32>,
}

/// A model on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelView {
    /// The runtime that has it.
    pub runtime: String,
    /// The name that requests use.
    pub id: String,
    /// `sha256:` digest.
    pub digest: Option<String>,
    /// Size, bytes.
    pub size_bytes: Option<u64>,
    /// In memory now.
    pub loaded: Option<bool>,
}

/// A heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HeartbeatView {
    /// When it came.
    pub at: String,
    /// Since the agent started, s.
    pub uptime_s: u64,
    /// CPU use of the machine, percent.
    pub cpu_pct: Option<f32>,
    /// Requests being served.
    pub in_flight: u32,
    /// Requests that wait in the runtime.
    pub queue: Option<u32>,
    /// Receipts not acknowledged yet.
    pub spool_depth: u64,
    /// Takes no work from the network.
    pub paused: bool,
    /// Why, where the agent says: `owner`, `draining`, `control_plane`, `control_plane_draining`, `machine_in_use`,
    /// `quiet_hours`, `gpu_hot`, `below_profit` or `other`.
    pub paused_reason: Option<String>,
}

/// A heartbeat as a live event.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HeartbeatEvent {
    /// Which node.
    pub node_id: String,
    /// The heartbeat.
    #[serde(flatten)]
    pub heartbeat: HeartbeatView,
    /// Load of each GPU.
    pub gpus: Vec<GpuLoadView>,
}

/// A change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryView {
    /// When.
    pub at: String,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// Why, from a closed list.
    pub reason: String,
    /// Who; empty where it is withheld.
    pub actor: String,
    /// A sentence for people.
    pub detail: Option<String>,
}

impl HistoryView {
    fn of(scope: &Scope, event: LifecycleEventRow) -> Self {
        let is_own = scope.owns(event.org_id.as_deref());
        Self {
            at: time(event.at_ms),
            from: event.from_state,
            to: event.to_state,
            reason: event.reason,
            actor: Some(event.actor).filter(|_| is_own).unwrap_or_default(),
            detail: event.detail.filter(|_| is_own),
        }
    }
}

/// A chain of receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChainView {
    /// The last position.
    pub head_seq: i64,
    /// Positions that no stored receipt fills.
    pub gaps: Vec<GapView>,
    /// Forks that were seen.
    pub forks: i64,
}

/// Missing positions of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GapView {
    /// First missing.
    pub from: i64,
    /// Last missing.
    pub to: i64,
}

/// A probe that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProbeView {
    /// When.
    pub at: String,
    /// `ok`, `failed`, `no_runtime`, `refused` or `timeout`.
    pub outcome: String,
    /// Why it failed.
    pub message: Option<String>,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
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

fn load_view(load: &GpuLoad) -> GpuLoadView {
    GpuLoadView {
        index: load.index,
        util_pct: load.util_pct,
        vram_used_mib: load.vram_used_mib,
        temp_c: load.temp_c,
        power_w: load.power_w,
    }
}

impl HeartbeatView {
    fn of(at_ms: i64, beat: &Heartbeat) -> Self {
        Self {
            at: time(at_ms),
            uptime_s: beat.uptime_s,
            cpu_pct: beat.cpu_pct,
            in_flight: beat.in_flight,
            queue: beat.queue,
            spool_depth: beat.spool_depth,
            paused: beat.paused,
            paused_reason: beat.paused_reason.map(|reason| reason.as_str().to_owned()),
        }
    }
}

impl HeartbeatEvent {
    /// From presence.
    pub fn of(node_id: &str, at_ms: i64, beat: &Heartbeat) -> Self {
        Self {
            node_id: node_id.to_owned(),
            heartbeat: HeartbeatView::of(at_ms, beat),
            gpus: loads(beat).iter().map(load_view).collect(),
        }
    }
}

/// What a heartbeat tells of the GPUs: nothing where it says that they are not read.
fn loads(beat: &Heartbeat) -> &[GpuLoad] {
    if beat.gpus_not_read.is_some() {
        return &[];
    }
    &beat.gpus
}

fn models_detail(inventory: &Inventory) -> Vec<ModelView> {
    let models = inventory.runtimes.iter().flat_map(|runtime| {
        runtime.models.iter().map(|model| ModelView {
            runtime: runtime.kind.clone(),
            id: model.id.clone(),
            digest: model.digest.clone(),
            size_bytes: model.size_bytes,
            loaded: model.loaded,
        })
    });
    models.collect()
}

fn gpu_details(inventory: &Inventory, beat: Option<&Heartbeat>) -> Vec<GpuView> {
    // An inventory comes at once, the next heartbeat later: until then the last one tells of GPUs as they were.
    let beat = beat.filter(|_| inventory.gpus_not_read.is_none());
    let loads = beat.map(loads).unwrap_or_default();
    let gpus = inventory.gpus.iter().map(|gpu| GpuView {
        index: gpu.index,
        name: gpu.name.clone(),
        uuid: gpu.uuid.clone(),
        vram_mib: gpu.vram_mib,
        unified_memory: gpu.unified_memory,
        driver: gpu.driver.clone(),
        cuda: gpu.cuda.clone(),
        backend: gpu.backend.clone(),
        load: loads
            .iter()
            .find(|load| load.index == gpu.index)
            .map(load_view),
    });
    gpus.collect()
}

impl NodeDetail {
    /// Lays what is known now over what is stored; trimmed where it is not in scope.
    pub fn of(
        scope: &Scope,
        stored: NodeDetailRow,
        receipts: Vec<ReceiptRow>,
        assignees: Vec<Assignee>,
        now: Now<'_>,
    ) -> Self {
        let NodeDetailRow {
            row,
            more,
            history,
            gaps,
            forks,
            last_probe,
        } = stored;
        let inventory = inventory(&row, now);
        let live = now
            .presence
            .and_then(|presence| presence.heartbeat.as_ref());
        let beat: Option<(i64, Heartbeat)> = match live {
            Some((at_ms, beat)) => Some((*at_ms, (**beat).clone())),
            None => row.last_heartbeat_at_ms.zip(
                more.last_heartbeat
                    .as_deref()
                    .and_then(|text| serde_json::from_str(text).ok()),
            ),
        };
        let key = <[u8; 32]>::try_from(more.public_key.as_slice())
            .ok()
            .map(PublicKey::from_bytes);
        let is_own = scope.owns(row.org_id.as_deref());
        let all = Self {
            row: NodeRow::with_inventory(&row, now, &inventory),
            public_key: key.map(|key| key.to_string()).unwrap_or_default(),
            key_id: more.key_id,
            enrolled_at: time(more.enrolled_at_ms),
            os: Some(more.os).filter(|os| !os.is_empty()),
            arch: Some(more.arch).filter(|arch| !arch.is_empty()),
            gpu_details: gpu_details(&inventory, beat.as_ref().map(|beat| &beat.1)),
            models_detail: models_detail(&inventory),
            host: HostView {
                os_version: inventory.host.os_version,
                cpu: inventory.host.cpu,
                cores: inventory.host.cores,
                memory_mib: inventory.host.memory_mib,
            },
            heartbeat: beat.map(|(at_ms, beat)| HeartbeatView::of(at_ms, &beat)),
            org_id: row.org_id,
            org_name: more.org_name,
            handover: more.handover,
            assignees: assignees.into_iter().map(AssigneeView::of).collect(),
            receipts,
            history: history
                .into_iter()
                .map(|event| HistoryView::of(scope, event))
                .collect(),
            chain: ChainView {
                head_seq: more.head_seq,
                gaps: gaps
                    .into_iter()
                    .map(|gap| GapView {
                        from: gap.from_seq,
                        to: gap.to_seq,
                    })
                    .collect(),
                forks,
            },
            last_probe: last_probe.map(|probe| ProbeView {
                at: time(probe.finished_at_ms),
                outcome: probe.outcome,
                message: probe.message,
                ttft_ms: probe.ttft_ms,
            }),
        };
        match is_own {
            true => all,
            false => all.trimmed(),
        }
    }

    /// What others may see: how the node does, and nothing about whose machine it is.
    fn trimmed(mut self) -> Self {
        self.row = self.row.trimmed();
        self.host = HostView::default();
        self.org_id = None;
        self.org_name = None;
        self.handover = None;
        self.assignees.clear();
        self.receipts.clear();
        self.last_probe = None;
        for gpu in &mut self.gpu_details {
            gpu.uuid = None;
        }
        self
    }
}
