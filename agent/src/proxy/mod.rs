//! The metering proxy: stands in front of the runtimes, passes bytes through and measures.

pub mod settings;
pub mod sink;

pub use settings::Settings;
pub use sink::{ReceiptSink, SinkError};

use crate::runtime::Registry;
use dgon_protocol::frame::{Probe, ProbeOutcome, ProbeResult};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The proxy. Cheap to share behind an [`Arc`].
pub struct Proxy {
    registry: Registry,
    sink: Arc<dyn ReceiptSink>,
    settings: Settings,
}

impl Proxy {
    /// A proxy over the runtimes of `registry`, with receipts into `sink`.
    pub fn new(registry: Registry, sink: Arc<dyn ReceiptSink>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            registry,
            sink,
            settings,
        })
    }

    /// Serves clients until `shutdown`, then lets running answers end within the drain time.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let _ = (listener, &self.registry, &self.sink, &self.settings);
        shutdown.cancelled().await;
    }

    /// Requests that are being served now, for the heartbeat.
    pub fn in_flight(&self) -> u32 {
        0
    }

    /// Serves the control plane's known prompt on the path that clients' requests take.
    pub async fn run_probe(&self, probe: Probe) -> ProbeResult {
        ProbeResult {
            probe_id: probe.probe_id,
            request_id: None,
            outcome: ProbeOutcome::NoRuntime,
            message: None,
            model: None,
            tokens_input: 0,
            tokens_output: 0,
            ttft_ms: None,
            latency_ms: 0,
        }
    }
}
