//! Gathers the agent's state for the local socket and the status line.

use crate::cli::VERSION;
use crate::heartbeat::Pulse;
use crate::link::LinkStatus;
use crate::local::{Answer, Request, Responder, SpoolReport, Status};
use crate::mode::{Mode, ModeSwitch};
use crate::proxy::Proxy;
use crate::receipts::Receipts;
use dgon_protocol::frame::Inventory;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// The parts of the running agent that tell of themselves.
pub(super) struct Desk {
    pub(super) node_id: String,
    pub(super) region: Option<String>,
    pub(super) proxy_address: String,
    pub(super) proxy: Arc<Proxy>,
    pub(super) receipts: Receipts,
    pub(super) pulse: Pulse,
    pub(super) inventory: watch::Receiver<Arc<Inventory>>,
    pub(super) link: watch::Receiver<LinkStatus>,
    pub(super) mode: ModeSwitch,
    pub(super) refresh: Arc<Notify>,
}

impl Desk {
    /// The spool as it is shown.
    pub(super) fn spool(&self) -> SpoolReport {
        let status = self.receipts.status();
        SpoolReport {
            depth: status.depth(),
            max_receipts: status.max_receipts,
            bytes: status.bytes,
            last_seq: status.last_seq,
            acked_seq: status.acked_seq,
            receipts_today: status.receipts_today,
            dead_letters: status.dead_letters,
            damaged: status.damaged,
            not_ready: status
                .not_ready
                .as_ref()
                .map(|reason| reason.kind().to_owned()),
            reason: status.not_ready.as_ref().map(ToString::to_string),
        }
    }

    async fn status(&self) -> Status {
        let gpu_loads = self.pulse.gpu_loads().await;
        let inventory = self.inventory.borrow().clone();
        Status {
            node_id: self.node_id.clone(),
            region: self.region.clone(),
            version: VERSION.to_owned(),
            pid: std::process::id(),
            uptime_s: self.pulse.uptime_s(),
            proxy: self.proxy_address.clone(),
            mode: self.mode.get(),
            in_flight: self.proxy.in_flight(),
            link: self.link.borrow().clone(),
            spool: self.spool(),
            gpus: inventory.gpus.clone(),
            gpu_loads,
            runtimes: inventory.runtimes.clone(),
        }
    }
}

impl Responder for Desk {
    fn answer(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match request {
                Request::Status => return Answer::Status(Box::new(self.status().await)),
                Request::Pause => self.mode.set(Mode::Paused),
                Request::Resume => self.mode.set(Mode::Serving),
                Request::Drain => self.mode.set(Mode::Draining),
                Request::Refresh => self.refresh.notify_one(),
            }
            Answer::Done
        })
    }
}
