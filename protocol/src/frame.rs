//! Text frames of the agent link: `{"type": …, "data": …, "ts": unix_ms}`.
//!
//! One enum per direction. A type that this side does not know is [`Incoming::Unknown`]: the peer may be newer.
//! Receipts travel as the entry bytes themselves, as raw JSON inside the frame, so that a receiver can hash and
//! verify exactly what was signed.

use crate::error::ErrorType;
use crate::id::{NodeId, RequestId};
use crate::key::{PublicKey, parse_signature};
use crate::limits::{FRAME_BYTES, RECEIPTS_PER_BATCH};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// WebSocket subprotocol of the link.
pub const SUBPROTOCOL: &str = "dgon.v1";
/// Path of the link.
pub const LINK_PATH: &str = "/api/v1/nodes/link";
const LINK_DOMAIN: &[u8] = b"DGON-LINK-V1\0";

/// The bytes that `hello.signature` covers: domain, nonce, node id, host that the agent connected to.
pub fn link_proof_bytes(nonce: &str, node_id: &NodeId, host: &str) -> Vec<u8> {
    [
        LINK_DOMAIN,
        nonce.as_bytes(),
        node_id.as_str().as_bytes(),
        host.as_bytes(),
    ]
    .concat()
}

/// Why a text frame is refused. The session closes with [`ErrorType::InvalidFrame`].
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Over 1 MiB.
    #[error("a frame has at most {FRAME_BYTES} bytes, this has {bytes}")]
    TooLarge {
        /// Size seen.
        bytes: usize,
    },
    /// Not `{"type","data","ts"}`.
    #[error("not a frame of type, data and ts")]
    Envelope(#[source] serde_json::Error),
    /// The data of a known type does not fit it.
    #[error("the data of a {kind} frame is malformed")]
    Data {
        /// The frame's type.
        kind: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Too many receipts in one frame.
    #[error("a receipts frame carries at most {RECEIPTS_PER_BATCH} receipts")]
    TooManyReceipts,
}

/// A frame that came in.
#[derive(Debug)]
pub enum Incoming<T> {
    /// A type of this version.
    Known(T),
    /// A type of a newer version: count it, ignore it.
    Unknown(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "part of the grammar, so it must be an integer; nothing acts on the peer's clock"
    )]
    ts: i64,
}

#[derive(Serialize)]
struct OutEnvelope<'a, D: Serialize> {
    #[serde(rename = "type")]
    kind: &'a str,
    data: D,
    ts: i64,
}

fn encode<D: Serialize>(kind: &str, data: D, unix_ms: i64) -> String {
    // Serialising our own types into a String cannot fail; an empty frame is ignored by every peer.
    serde_json::to_string(&OutEnvelope {
        kind,
        data,
        ts: unix_ms,
    })
    .unwrap_or_default()
}

macro_rules! frames {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident($data:ty) = $kind:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        #[allow(clippy::large_enum_variant, reason = "frames are built, sent and dropped one at a time")]
        pub enum $name {
            $($(#[$vdoc])* $variant($data),)*
        }

        impl $name {
            /// All types of this direction.
            pub const KINDS: &[&str] = &[$($kind,)*];

            /// The frame's type on the wire.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)* }
            }

            /// Reads a text frame.
            ///
            /// # Errors
            /// [`FrameError`] when the text is no frame or the data does not fit its type.
            pub fn decode(text: &str) -> Result<Incoming<Self>, FrameError> {
                if text.len() > FRAME_BYTES {
                    return Err(FrameError::TooLarge { bytes: text.len() });
                }
                let envelope: Envelope<'_> = serde_json::from_str(text).map_err(FrameError::Envelope)?;
                let data = envelope.data.map_or("null", RawValue::get);
                let malformed = |source| FrameError::Data { kind: envelope.kind.to_string(), source };
                let frame = match envelope.kind.as_ref() {
                    $($kind => Self::$variant(serde_json::from_str(data).map_err(malformed)?),)*
                    other => return Ok(Incoming::Unknown(other.chars().take(64).collect())),
                };
                frame.check()?;
                Ok(Incoming::Known(frame))
            }

            /// Writes the frame, stamped with `unix_ms`.
            pub fn encode(&self, unix_ms: i64) -> String {
                match self { $(Self::$variant(data) => encode($kind, data, unix_ms),)* }
            }
        }
    };
}

frames! {
    /// What an agent says to the control plane.
    ToControlPlane {
        /// Proof of the receipt key, and who this is.
        Hello(Hello) = "hello",
        /// Health and load.
        Heartbeat(Heartbeat) = "heartbeat",
        /// What the node has, on change.
        Inventory(Inventory) = "inventory",
        /// Receipts in `seq` order.
        Receipts(Receipts) = "receipts",
        /// How a probe went.
        ProbeResult(ProbeResult) = "probe_result",
        /// A job moved on.
        JobUpdate(JobUpdate) = "job_update",
        /// A job ended.
        JobResult(JobResult) = "job_result",
        /// Something an operator should know.
        Issue(Issue) = "issue",
        /// The agent is about to go.
        Bye(Bye) = "bye",
    }
}

frames! {
    /// What the control plane says to an agent.
    ToAgent {
        /// Opens the handshake.
        Challenge(Challenge) = "challenge",
        /// The session stands.
        Welcome(Welcome) = "welcome",
        /// Receipts are durable, or refused.
        Ack(Ack) = "ack",
        /// Receipts are missing before those that came.
        Need(Need) = "need",
        /// Lifecycle status of the node.
        Status(NodeStatus) = "status",
        /// Serve one known prompt.
        Probe(Probe) = "probe",
        /// Do a job.
        Job(Job) = "job",
        /// Give a job up.
        JobCancel(JobCancel) = "job_cancel",
        /// Change how the agent runs.
        Control(Control) = "control",
        /// The session ends for this reason.
        Error(LinkError) = "error",
    }
}

impl ToControlPlane {
    fn check(&self) -> Result<(), FrameError> {
        match self {
            Self::Receipts(batch) if batch.receipts.len() > RECEIPTS_PER_BATCH => {
                Err(FrameError::TooManyReceipts)
            }
            _ => Ok(()),
        }
    }
}

impl ToAgent {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the other direction has limits to check; both share one macro"
    )]
    fn check(&self) -> Result<(), FrameError> {
        Ok(())
    }
}

/// `challenge`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// To be signed in `hello`.
    pub nonce: String,
    /// The server's clock, unix ms, so that an agent sees its own drift.
    pub server_time_ms: i64,
}

/// `hello`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Who this is.
    pub node_id: NodeId,
    /// The receipt key in use.
    pub public_key: PublicKey,
    /// Signature of [`link_proof_bytes`], `ed25519:` and base64.
    pub signature: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Changes with every start of the machine.
    pub boot_id: String,
    /// What the node has.
    pub inventory: Inventory,
    /// `seq` of the next receipt that the agent will make.
    pub next_seq: u64,
    /// What the owner lets the control plane ask for.
    pub allow: Vec<Permission>,
}

impl Hello {
    /// Whether the holder of the key answered this challenge for this host.
    pub fn proves_key(&self, nonce: &str, host: &str) -> bool {
        let message = link_proof_bytes(nonce, &self.node_id, host);
        parse_signature(&self.signature)
            .is_some_and(|signature| self.public_key.verify(&message, &signature))
    }
}

/// What the owner of a node lets the control plane ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Known prompts that check the node.
    Probe,
    /// Consumers' requests.
    Gateway,
    /// Inference jobs.
    Inference,
    /// Benchmarks.
    Benchmark,
    /// Containers.
    Container,
    /// Commands.
    Command,
}

impl Permission {
    /// What a node allows unless its owner says otherwise.
    pub const DEFAULT: [Self; 4] = [Self::Probe, Self::Gateway, Self::Inference, Self::Benchmark];
}

/// What a node has: hardware, runtimes, models.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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

/// Why a node's GPUs are not read: what is told of them is then old or absent, and none in the list means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpusNotRead {
    /// The owner has switched it off.
    Off,
    /// The owner has the agent let go of the drivers for a while.
    Released,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The machine of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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

/// `receipts`: entry bytes as raw JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipts {
    /// At most 256, in `seq` order.
    pub receipts: Vec<Box<RawValue>>,
}

/// `ack`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// Every receipt up to this `seq` is durable or refused.
    pub acked_seq: u64,
    /// Those that were refused.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// One refused receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Which one; absent where the bytes had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// Why, for a program.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// Why, for a person.
    pub message: String,
}

/// `need`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// First missing `seq`.
    pub from: u64,
    /// Last missing `seq`.
    pub to: u64,
}

/// Lifecycle status as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
pub struct NodeStatus {
    /// The status.
    pub status: LifecycleStatus,
    /// Why, from a closed list.
    pub reason: String,
}

/// `welcome`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Name of this session.
    pub session_id: String,
    /// Every receipt up to this `seq` is durable.
    pub acked_seq: u64,
    /// How often to send a heartbeat, s.
    pub heartbeat_s: u32,
    /// Limits in force.
    pub limits: LinkLimits,
    /// Switches that the agent may need.
    #[serde(default)]
    pub flags: serde_json::Map<String, serde_json::Value>,
}

/// Limits that `welcome` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkLimits {
    /// Largest frame, bytes.
    pub frame_bytes: u32,
    /// Receipts in one frame.
    pub receipts_per_batch: u32,
    /// Receipts sent and not acknowledged.
    pub receipts_in_flight: u32,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            frame_bytes: FRAME_BYTES as u32,
            receipts_per_batch: RECEIPTS_PER_BATCH as u32,
            receipts_in_flight: crate::limits::RECEIPTS_IN_FLIGHT as u32,
        }
    }
}

/// `probe`: serve a known prompt on the path that consumers' requests take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Comes back in the result.
    pub probe_id: String,
    /// `request_id` that the receipt must carry.
    pub request_id: RequestId,
    /// Which model; absent lets the agent take the first that is loaded, else the first it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The prompt.
    pub prompt: String,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// When to give up, ms.
    pub timeout_ms: u32,
}

/// `probe_result`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Which probe.
    pub probe_id: String,
    /// The receipt's id; absent where no request was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// How it went.
    pub outcome: ProbeOutcome,
    /// Why it failed, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Prompt tokens.
    #[serde(default)]
    pub tokens_input: u64,
    /// Generated tokens.
    #[serde(default)]
    pub tokens_output: u64,
    /// Time to first token, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<u64>,
    /// Total time, ms.
    #[serde(default)]
    pub latency_ms: u64,
}

/// How a probe went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeOutcome {
    /// An answer came.
    Ok,
    /// The runtime failed.
    Failed,
    /// No runtime or no model.
    NoRuntime,
    /// The owner does not allow probes, or has paused the node.
    Refused,
    /// It took too long.
    Timeout,
}

/// `job`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Name of the job.
    pub job_id: String,
    /// What kind of work; must be in the node's `allow`.
    pub kind: Permission,
    /// What to do.
    pub spec: serde_json::Value,
    /// When to give up, s.
    pub timeout_s: u32,
}

/// `job_cancel`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCancel {
    /// Name of the job.
    pub job_id: String,
}

/// `job_update`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobUpdate {
    /// Name of the job.
    pub job_id: String,
    /// `accepted`, `running` or `refused`.
    pub state: String,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `job_result`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// Name of the job.
    pub job_id: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// What came out.
    #[serde(default)]
    pub output: serde_json::Value,
}

/// `issue`: something an operator should know, from a closed list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// What.
    pub kind: IssueKind,
    /// Facts that go with it.
    #[serde(default)]
    pub params: serde_json::Map<String, serde_json::Value>,
}

/// What an agent reports by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// `bye`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// Why, such as `stopping` or `draining`.
    pub reason: String,
}

/// `control`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Control {
    /// Take no new work.
    Pause,
    /// Take work again.
    Resume,
    /// Finish what runs, take nothing new.
    Drain,
    /// Look again at GPUs, runtimes and models.
    Refresh,
    /// Change a setting that the owner lets the network change.
    SetConfig {
        /// The settings.
        config: serde_json::Map<String, serde_json::Value>,
    },
}

/// `error`: the session closes after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkError {
    /// What, for a program.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// What, for a person.
    pub message: String,
    /// When to come back, s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}
