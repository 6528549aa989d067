//! What a node has and how it is: `inventory`, `heartbeat`, `issue`, and the status that the control plane gives it.

use crate::text::Text;
use serde::{Deserialize, Serialize};

/// What a node has: hardware, runtimes, models.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Inventory))]
pub struct Inventory {
    /// The machine.
    pub host: Host,
    /// Its GPUs; empty where there is none or none can be read.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// LLM runtimes that were found.
    #[serde(default)]
    pub runtimes: Vec<Runtime>,
    /// Keyed hash over stable hardware ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware_hash: Option<String>,
    /// Why the GPUs are not read; absent where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus_not_read: Option<GpusNotRead>,
}

impl Inventory {
    /// Longest name of a runtime and of a model, characters: what a receipt can say.
    const NAME_CHARS: (usize, usize) = (32, 256);

    /// Leaves out runtimes and models with a name that no receipt could have: nothing could be asked of them, and no
    /// database, log or screen should meet them.
    pub fn leave_out_unnameable(&mut self) {
        let is_name = |text: &str, max: usize| {
            (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        let (runtime_chars, model_chars) = Self::NAME_CHARS;
        self.runtimes
            .retain(|runtime| is_name(&runtime.kind, runtime_chars));
        for runtime in &mut self.runtimes {
            runtime
                .models
                .retain(|model| is_name(&model.id, model_chars));
        }
    }
}

/// Why a node's GPUs are not read: what is told of them is then old or absent, and none in the list means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::GpusNotRead))]
#[serde(rename_all = "snake_case")]
pub enum GpusNotRead {
    /// The owner has switched it off.
    Off,
    /// The owner has the agent let go of the drivers for a while.
    Released,
    /// They were not read in time: drivers hang, or somebody else is reading them.
    NoAnswer,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

impl GpusNotRead {
    /// Whether somebody does not want them read: then nobody reads them.
    pub const fn is_wanted(self) -> bool {
        !matches!(self, Self::NoAnswer)
    }

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Released => "released",
            Self::NoAnswer => "no_answer",
            Self::Unknown => "unknown",
        }
    }
}

/// The machine of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Host))]
pub struct Host {
    /// Such as `Debian GNU/Linux 12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// CPU brand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Logical cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cores: Option<u32>,
    /// Memory, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
}

/// One GPU as it is built. Unknown is absent, never 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Gpu))]
pub struct Gpu {
    /// Position on this machine, from 0.
    pub index: u32,
    /// Such as `NVIDIA GeForce RTX 4090`.
    pub name: String,
    /// Vendor's stable id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Memory, MiB. Where it is unified, what the GPU may use of the machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_mib: Option<u64>,
    /// Whether its memory is the machine's (true) or its own (false); unknown is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unified_memory: Option<bool>,
    /// Driver version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// CUDA version that the driver supports, such as `12.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// PCI bus id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<String>,
    /// What read it, such as `nvml`.
    pub backend: String,
    /// The parts that a card in MIG mode is split into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mig: Vec<GpuInstance>,
}

/// A part of a card in MIG mode: a GPU of its own for those who use it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::GpuInstance))]
pub struct GpuInstance {
    /// Stable id, by which a runtime chooses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Its profile: compute slices and memory, such as `3g.40gb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Its memory, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_mib: Option<u64>,
}

/// One LLM runtime on the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Runtime))]
pub struct Runtime {
    /// `ollama`, `vllm`, `tgi`, `tensorrt-llm`, `llama.cpp` or `openai-compatible`.
    pub kind: String,
    /// Its version where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it takes requests now.
    pub ready: bool,
    /// What it serves.
    #[serde(default)]
    pub models: Vec<Model>,
}

/// One model of a runtime.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Model))]
pub struct Model {
    /// The name that requests use.
    pub id: String,
    /// `sha256:` digest of the weights or manifest, where the runtime gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Size, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// In memory now (true), only on disk (false), unknown (absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded: Option<bool>,
}

/// Load of one GPU. Unknown is absent, never 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::GpuLoad))]
pub struct GpuLoad {
    /// Position on this machine.
    pub index: u32,
    /// Utilisation, percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub util_pct: Option<f32>,
    /// Memory in use, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vram_used_mib: Option<u64>,
    /// Temperature, °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temp_c: Option<f32>,
    /// Power, W.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_w: Option<f32>,
    /// Why its clocks are held down, such as `thermal`; empty where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Vec<String>>,
    /// The driver's last fault on this card since the agent started (NVIDIA: Xid).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xid: Option<u64>,
    /// Memory that LLM runtimes hold, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_vram_mib: Option<u64>,
    /// True where the card is suspended: it is not asked, so that it stays so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asleep: Option<bool>,
}

/// `heartbeat`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Heartbeat))]
pub struct Heartbeat {
    /// Since the agent started, s.
    pub uptime_s: u64,
    /// Load of each GPU.
    #[serde(default)]
    pub gpus: Vec<GpuLoad>,
    /// Why the GPUs are not read; absent where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus_not_read: Option<GpusNotRead>,
    /// CPU use of the machine, percent of all cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pct: Option<f32>,
    /// Requests that the proxy is serving.
    pub in_flight: u32,
    /// Requests that wait in the runtime, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
    /// Receipts in the spool that are not acknowledged.
    pub spool_depth: u64,
    /// The node takes no work from the network now.
    #[serde(default)]
    pub paused: bool,
    /// Why, where it is paused: the first of the reasons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_reason: Option<PausedReason>,
}

/// Why a node takes no work from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::PausedReason))]
#[serde(rename_all = "snake_case")]
pub enum PausedReason {
    /// Its owner has paused it.
    Owner,
    /// Its owner drains it.
    Draining,
    /// The control plane has paused it.
    ControlPlane,
    /// The control plane drains it.
    ControlPlaneDraining,
    /// Somebody uses the machine, and the node serves only while nobody does.
    MachineInUse,
    /// It is one of the hours in which the owner wants quiet.
    QuietHours,
    /// A GPU is hotter than the owner allows.
    GpuHot,
    /// It would earn less than the owner asks for, after electricity.
    BelowProfit,
    /// A reason that only a newer agent knows.
    #[serde(other)]
    Other,
}

impl PausedReason {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Draining => "draining",
            Self::ControlPlane => "control_plane",
            Self::ControlPlaneDraining => "control_plane_draining",
            Self::MachineInUse => "machine_in_use",
            Self::QuietHours => "quiet_hours",
            Self::GpuHot => "gpu_hot",
            Self::BelowProfit => "below_profit",
            Self::Other => "other",
        }
    }
}

/// Lifecycle status as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::LifecycleStatus))]
#[serde(rename_all = "snake_case")]
pub enum LifecycleStatus {
    /// Enrolled; its probe has not passed yet.
    Pending,
    /// Serves.
    Active,
    /// Stopped by a rule or an admin; the reason says which.
    Quarantine,
    /// No heartbeat for too long.
    Offline,
}

impl LifecycleStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Quarantine => "quarantine",
            Self::Offline => "offline",
        }
    }
}

/// `status`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::NodeStatus))]
pub struct NodeStatus {
    /// The status.
    pub status: LifecycleStatus,
    /// Why, from a closed list.
    pub reason: Text,
}

/// `issue`: something an operator should know, from a closed list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::Issue))]
pub struct Issue {
    /// What.
    pub kind: IssueKind,
    /// Facts that go with it.
    #[serde(default)]
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// What an agent reports by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = link::IssueKind))]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The runtime stopped answering.
    RuntimeLost,
    /// A GPU stopped answering.
    GpuLost,
    /// The spool is nearly full.
    SpoolFilling,
    /// The spool cannot be written.
    SpoolUnwritable,
    /// The clock is off.
    ClockDrift,
    /// A receipt was refused and lies in the dead-letter file.
    ReceiptRefused,
}
