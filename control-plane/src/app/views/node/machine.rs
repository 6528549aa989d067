//! A node's machine: what it has, and how it does.

use crate::app::views::time;
use dgon_protocol::frame::{GpuLoad, Heartbeat, Host, Inventory};
use serde::Serialize;
use utoipa::ToSchema;

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

impl HostView {
    pub(super) fn of(host: Host) -> Self {
        Self {
            os_version: host.os_version,
            cpu: host.cpu,
            cores: host.cores,
            memory_mib: host.memory_mib,
        }
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
    pub(super) fn of(at_ms: i64, beat: &Heartbeat) -> Self {
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

pub(super) fn models_detail(inventory: &Inventory) -> Vec<ModelView> {
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

pub(super) fn gpu_details(inventory: &Inventory, beat: Option<&Heartbeat>) -> Vec<GpuView> {
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
