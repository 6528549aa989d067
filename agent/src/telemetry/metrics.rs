//! What the endpoint exposes, and under which names. Units are in the names; what is not known is not there.
//!
//! Labels come from closed lists, from the GPUs of this machine and from the runtimes that answer (a few dozen at
//! most): no model, request or client is a label.

use super::counters::{Counters, SOURCES, STATUSES};
use super::exposition::{Kind, Page};
use crate::heartbeat::HeartbeatSource;
use crate::link::{LinkStatus, Phase};
use crate::mode::{Mode, ModeSwitch};
use crate::proxy::Proxy;
use crate::receipts::Receipts;
use crate::runtime::Registry;
use dgon_protocol::frame::{GpuLoad, Inventory, PausedReason};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Readings of the GPUs that are younger are not taken again: those of the heartbeat, while a session stands.
const FRESH: Duration = Duration::from_secs(10);
const MIB: u64 = 1024 * 1024;
/// Every reason that this agent gives.
const REASONS: [PausedReason; 8] = [
    PausedReason::Owner,
    PausedReason::Draining,
    PausedReason::ControlPlane,
    PausedReason::ControlPlaneDraining,
    PausedReason::MachineInUse,
    PausedReason::QuietHours,
    PausedReason::GpuHot,
    PausedReason::BelowProfit,
];

/// The parts of the agent that are measured.
#[derive(Clone)]
pub struct Metrics {
    /// Requests that have ended.
    pub counters: Arc<Counters>,
    /// Requests that run.
    pub proxy: Arc<Proxy>,
    /// The spool.
    pub receipts: Receipts,
    /// Readings of the GPUs.
    pub heartbeats: HeartbeatSource,
    /// The runtimes.
    pub registry: Registry,
    /// What the machine has.
    pub inventory: watch::Receiver<Arc<Inventory>>,
    /// The link.
    pub link: watch::Receiver<LinkStatus>,
    /// Whether the node serves.
    pub mode: ModeSwitch,
}

/// Whose memory a GPU's is, as a label; empty where it is not known.
fn memory_kind(is_unified: Option<bool>) -> &'static str {
    match is_unified {
        Some(true) => "unified",
        Some(false) => "dedicated",
        None => "",
    }
}

impl Metrics {
    /// The page now.
    pub async fn page(&self) -> String {
        let loads = self.heartbeats.gpu_loads_within(FRESH).await;
        let mut page = Page::default();
        self.agent(&mut page);
        self.requests(&mut page);
        self.spool(&mut page);
        self.link(&mut page);
        self.runtimes(&mut page);
        self.gpus(&mut page, &loads);
        page.finish()
    }

    fn agent(&self, page: &mut Page) {
        let name = "dgon_agent_build_info";
        page.family(name, Kind::Gauge, "The agent that runs; always 1.");
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", env!("DGON_COMMIT")),
        ];
        page.sample(name, &labels, 1);
        page.single(
            "dgon_agent_uptime_seconds",
            Kind::Gauge,
            "Since the agent started.",
            self.heartbeats.uptime_s(),
        );
        let decision = self.mode.state().decision;
        page.single(
            "dgon_agent_serving",
            Kind::Gauge,
            "Whether the node takes work from the network.",
            u8::from(decision.mode == Mode::Serving),
        );
        let name = "dgon_agent_paused";
        page.family(
            name,
            Kind::Gauge,
            "Whether the node takes none for this reason.",
        );
        for reason in REASONS {
            let holds = decision.reasons.contains(&reason);
            page.sample(name, &[("reason", reason.as_str())], u8::from(holds));
        }
    }

    fn requests(&self, page: &mut Page) {
        let counters = &self.counters;
        let name = "dgon_agent_requests_total";
        page.family(name, Kind::Counter, "Requests that ended with a receipt.");
        for source in SOURCES {
            for status in STATUSES {
                let labels = [("source", source.as_str()), ("status", status.as_str())];
                page.sample(name, &labels, counters.requests(source, status));
            }
        }
        let name = "dgon_agent_tokens_total";
        page.family(
            name,
            Kind::Counter,
            "Tokens of requests that ended with a receipt.",
        );
        for source in SOURCES {
            for (direction, tokens) in [
                ("input", counters.tokens_input(source)),
                ("output", counters.tokens_output(source)),
            ] {
                let labels = [("source", source.as_str()), ("direction", direction)];
                page.sample(name, &labels, tokens);
            }
        }
        page.single(
            "dgon_agent_unrecorded_requests_total",
            Kind::Counter,
            "Requests that failed because their receipt could not be made durable.",
            counters.unrecorded(),
        );
        let name = "dgon_agent_requests_in_flight";
        page.family(name, Kind::Gauge, "Requests that are being served.");
        let local = self.proxy.in_flight_local();
        let network = self.proxy.in_flight().saturating_sub(local);
        page.sample(name, &[("source", "local")], local);
        page.sample(name, &[("source", "network")], network);
        page.histogram(
            "dgon_agent_time_to_first_token_seconds",
            "From a request to the first token of its answer.",
            &counters.ttft.snapshot(),
        );
        page.histogram(
            "dgon_agent_request_duration_seconds",
            "From a request to the end of its answer.",
            &counters.whole.snapshot(),
        );
    }

    fn spool(&self, page: &mut Page) {
        let spool = self.receipts.status();
        let mut gauge = |name: &str, help: &str, value: u64| {
            page.single(
                &format!("dgon_agent_spool_{name}"),
                Kind::Gauge,
                help,
                value,
            );
        };
        gauge(
            "receipts",
            "Receipts that wait for the control plane.",
            spool.depth(),
        );
        gauge("receipts_limit", "Most that may wait.", spool.max_receipts);
        gauge(
            "size_bytes",
            "Bytes on disk, kept receipts included.",
            spool.bytes,
        );
        gauge("last_seq", "Last receipt that was made.", spool.last_seq);
        gauge(
            "acked_seq",
            "Last receipt that the control plane has.",
            spool.acked_seq,
        );
        gauge(
            "writable",
            "Whether a receipt can be written; without it no request is served.",
            u64::from(spool.not_ready.is_none()),
        );
        gauge(
            "dead_letters",
            "Refused receipts in the dead-letter file.",
            spool.dead_letters,
        );
        gauge(
            "damaged",
            "Receipts that can no longer be read.",
            spool.damaged,
        );
    }

    fn link(&self, page: &mut Page) {
        let link = self.link.borrow();
        let seconds = |ms: u64| ms as f64 / 1000.0;
        page.single(
            "dgon_agent_link_connected",
            Kind::Gauge,
            "Whether a session with the control plane stands.",
            u8::from(link.phase == Phase::Connected),
        );
        page.known(
            "dgon_agent_link_connected_since_timestamp_seconds",
            Kind::Gauge,
            "When it began.",
            link.connected_ms.map(seconds),
        );
        page.known(
            "dgon_agent_link_last_ack_timestamp_seconds",
            Kind::Gauge,
            "When the control plane last acknowledged receipts.",
            link.last_ack_ms.map(seconds),
        );
        page.known(
            "dgon_agent_link_clock_offset_seconds",
            Kind::Gauge,
            "This machine's clock less the control plane's.",
            link.clock_ahead_ms.map(|ms| ms as f64 / 1000.0),
        );
        page.single(
            "dgon_agent_link_unknown_frames_total",
            Kind::Counter,
            "Frames of types that this version does not know.",
            link.unknown_frames,
        );
    }

    fn runtimes(&self, page: &mut Page) {
        let found = self.registry.current();
        let names: Vec<String> = found.iter().map(|one| one.endpoint.to_string()).collect();
        let mut family = |name: &str, help: &str, value: &dyn Fn(usize) -> Option<u64>| {
            let name = format!("dgon_agent_runtime_{name}");
            page.family(&name, Kind::Gauge, help);
            for (at, runtime) in found.iter().enumerate() {
                if let Some(value) = value(at) {
                    let labels = [("runtime", runtime.kind.as_str()), ("endpoint", &names[at])];
                    page.sample(&name, &labels, value);
                }
            }
        };
        family("ready", "Whether the runtime takes requests.", &|at| {
            Some(u64::from(found[at].is_ready()))
        });
        family("models", "Models that it serves.", &|at| {
            Some(found[at].models.len() as u64)
        });
        family(
            "requests_running",
            "Requests it works on, as it says.",
            &|at| found[at].running.map(u64::from),
        );
        family(
            "requests_waiting",
            "Requests in its queue, as it says.",
            &|at| found[at].queue.map(u64::from),
        );
    }

    fn gpus(&self, page: &mut Page, loads: &[GpuLoad]) {
        let inventory = self.inventory.borrow().clone();
        let name = "dgon_agent_gpu_info";
        page.family(name, Kind::Gauge, "A GPU of this machine; always 1.");
        for gpu in &inventory.gpus {
            let index = gpu.index.to_string();
            let labels = [
                ("gpu", index.as_str()),
                ("name", &gpu.name),
                ("uuid", gpu.uuid.as_deref().unwrap_or_default()),
                ("backend", &gpu.backend),
                ("memory", memory_kind(gpu.unified_memory)),
            ];
            page.sample(name, &labels, 1);
        }
        let name = "dgon_agent_gpu_memory_bytes";
        page.family(name, Kind::Gauge, "Memory of the GPU.");
        for gpu in &inventory.gpus {
            if let Some(mib) = gpu.vram_mib {
                page.sample(
                    name,
                    &[("gpu", &gpu.index.to_string())],
                    mib.saturating_mul(MIB),
                );
            }
        }
        let mut family = |name: &str, help: &str, value: &dyn Fn(&GpuLoad) -> Option<f64>| {
            let name = format!("dgon_agent_gpu_{name}");
            page.family(&name, Kind::Gauge, help);
            for load in loads {
                if let Some(value) = value(load) {
                    page.sample(&name, &[("gpu", &load.index.to_string())], value);
                }
            }
        };
        family(
            "utilization_ratio",
            "Share of time in which it worked.",
            &|load| load.util_pct.map(|pct| f64::from(pct) / 100.0),
        );
        family("memory_used_bytes", "Memory in use.", &|load| {
            load.vram_used_mib.map(|mib| mib.saturating_mul(MIB) as f64)
        });
        family("temperature_celsius", "Temperature.", &|load| {
            load.temp_c.map(f64::from)
        });
        family("power_watts", "Power.", &|load| load.power_w.map(f64::from));
    }
}
