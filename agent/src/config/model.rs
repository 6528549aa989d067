//! The sections of agent.yaml with their defaults.
//!
//! Every struct refuses unknown keys and fills what is missing with its default, so that an empty file is valid.
//! Units are part of the names.

use super::{BaseUrl, RuntimeEndpoint};
use dgon_protocol::frame::Permission;
use dgon_protocol::id::NodeId;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Configuration of dgon-agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who runs the network.
    #[cfg_attr(feature = "schema", schemars(with = "Option<ControlPlane>"))]
    pub control_plane: ControlPlane,
    /// This node.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Node>"))]
    pub node: Node,
    /// Where the LLM runtimes are.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Runtimes>"))]
    pub runtimes: Runtimes,
    /// The metering proxy.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Proxy>"))]
    pub proxy: Proxy,
    /// What the control plane may ask of this machine.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<Vec<super::schema::PermissionName>>")
    )]
    pub allow: Vec<Permission>,
    /// The durable queue of receipts.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Spool>"))]
    pub spool: Spool,
    /// Limits that the owner of the machine sets.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Owner>"))]
    pub owner: Owner,
    /// What the agent tells on this machine about itself.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Telemetry>"))]
    pub telemetry: Telemetry,
    /// What the agent writes about its work.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Log>"))]
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            control_plane: ControlPlane::default(),
            node: Node::default(),
            runtimes: Runtimes::default(),
            proxy: Proxy::default(),
            allow: Permission::DEFAULT.to_vec(),
            spool: Spool::default(),
            owner: Owner::default(),
            telemetry: Telemetry::default(),
            log: Log::default(),
        }
    }
}

/// Section `control_plane`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ControlPlane {
    /// Base address, such as `https://dgon.example`. Without it the agent meters and keeps its receipts.
    pub api: Option<BaseUrl>,
    /// Whether plain HTTP is allowed to a control plane that is not on this machine. Others on the way can then read the
    /// enrolment token and the node's secret, and speak as either side.
    pub insecure_http: bool,
    /// PEM file of the certificate authorities that vouch for the control plane, instead of those that are built in.
    pub ca_file: Option<PathBuf>,
}

/// Section `node`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// The enrolled name. Only a check: the identity in the state directory decides.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<super::schema::NodeIdText>")
    )]
    pub id: Option<NodeId>,
    /// Where the machine is, as receipts say it.
    pub region: Option<String>,
}

/// Section `runtimes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Runtimes {
    /// Look at the default ports of the known runtimes on this machine.
    pub detect: bool,
    /// Further places to look at, such as `http://127.0.0.1:8000`; what answers there is found out.
    pub endpoints: Vec<RuntimeEndpoint>,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self {
            detect: true,
            endpoints: Vec::new(),
        }
    }
}

/// Section `proxy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// Where clients connect. On 127.0.0.1 the same port of `[::1]` is served too, where this machine has IPv6.
    pub listen: SocketAddr,
    /// Names under which clients may ask for this machine, such as `ai.example.org`, besides its addresses and the
    /// names that only local networks have; `*` allows any. Holds for the metrics too.
    pub hosts: Vec<String>,
    /// Origins of web pages, such as `https://chat.example`, that may ask besides those of this machine.
    pub origins: Vec<String>,
    /// Largest request body, MiB.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1024)))]
    pub max_body_mib: u32,
    /// Requests served at once; more are told to come back.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65536)))]
    pub max_in_flight: u32,
    /// How long the runtime may take to accept a connection, ms.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 60000)))]
    pub connect_timeout_ms: u64,
    /// How long the runtime may take to the first byte of its answer, s: waiting in its queue, loading a model and
    /// reading a long prompt are inside of it. Counts from where the request has last moved.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub first_byte_s: u64,
    /// How long the runtime may stay silent within an answer, s.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 86400)))]
    pub stall_timeout_s: u64,
    /// How long running requests may go on when the agent stops, s.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 3600)))]
    pub drain_s: u64,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 11435)),
            hosts: Vec::new(),
            origins: Vec::new(),
            max_body_mib: 64,
            max_in_flight: 512,
            connect_timeout_ms: 5_000,
            first_byte_s: 1_800,
            stall_timeout_s: 600,
            drain_s: 20,
        }
    }
}

/// Section `spool`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Spool {
    /// Receipts that may wait for the control plane.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10000000)))]
    pub max_receipts: u64,
    /// Their size on disk, MiB.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1048576)))]
    pub max_mib: u64,
    /// How long acknowledged receipts are kept for their owner, days.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 3650)))]
    pub keep_days: u32,
}

impl Spool {
    /// [`Spool::max_mib`] in bytes.
    pub fn max_bytes(&self) -> u64 {
        self.max_mib.saturating_mul(1024 * 1024)
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            max_receipts: 100_000,
            max_mib: 256,
            keep_days: 30,
        }
    }
}

/// Section `owner`: when the node takes work from the network. Its own users are served always.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Owner {
    /// Take work from the network only while nobody uses the machine.
    pub idle_only: bool,
    /// Take none in these hours of the day, local time.
    pub quiet_hours: Vec<QuietHours>,
    /// Take none while a GPU is hotter, °C.
    #[cfg_attr(feature = "schema", schemars(range(min = 30, max = 120)))]
    pub max_gpu_temp_c: Option<u32>,
    /// Take none that earns less per hour after electricity, USD.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub min_profit_usd_per_hour: Option<f64>,
    /// Price of electricity, USD per kWh.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub tariff_usd_per_kwh: Option<f64>,
}

/// A span of the day, `HH:MM-HH:MM`; it may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuietHours {
    /// First minute of the day that is quiet.
    pub from_minute: u16,
    /// First minute that is not.
    pub to_minute: u16,
}

impl TryFrom<String> for QuietHours {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let two_digits = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
            if !two_digits(hour) || !two_digits(minute) {
                return None;
            }
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let span = text
            .split_once('-')
            .and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        match span {
            Some((from_minute, to_minute)) if from_minute != to_minute => Ok(Self {
                from_minute,
                to_minute,
            }),
            _ => Err("quiet hours are written \"22:00-07:00\""),
        }
    }
}

impl From<QuietHours> for String {
    fn from(span: QuietHours) -> Self {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        format!("{}-{}", clock(span.from_minute), clock(span.to_minute))
    }
}

/// Section `telemetry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Where Prometheus may read metrics of the runtime, GPUs, spool and link. Off unless set.
    pub metrics_listen: Option<SocketAddr>,
    /// Read the GPUs. Where this is false no driver is ever opened, so that cards can be given to a virtual machine
    /// or their driver be unloaded; heartbeats, inventory and receipts then say nothing of GPUs, and say why.
    pub read_gpus: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            metrics_listen: None,
            read_gpus: true,
        }
    }
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How much is written.
    pub level: LogLevel,
    /// How it is written.
    pub format: LogFormat,
    /// A file instead of the standard error stream, as an absolute path.
    pub file: Option<PathBuf>,
    /// When the file is full and a new one begins, MiB.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1024)))]
    pub max_mib: u32,
    /// How many full files are kept beside it.
    pub keep: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            format: LogFormat::default(),
            file: None,
            max_mib: 16,
            keep: 4,
        }
    }
}

/// How much is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what is suspicious.
    Warn,
    /// And what changed.
    #[default]
    Info,
    /// And how.
    Debug,
    /// And everything else.
    Trace,
}

/// How it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
