//! Gathers the agent's state for the local socket and the status line.

use super::linked::KeyChangeRequest;
use crate::cli::VERSION;
use crate::config::StateDir;
use crate::gpu::{EnergyMeter, GpuAccess, why_not_read};
use crate::heartbeat::HeartbeatSource;
use crate::link::LinkStatus;
use crate::local::{Answer, KeyRotated, Request, Responder, SpoolReport, Status, Stopping};
use crate::mode::ModeSwitch;
use crate::own_command::own_command;
use crate::owner::{OwnerReport, saved};
use crate::proxy::Proxy;
use crate::receipts::Receipts;
use crate::rotation::tail::former_waiting;
use crate::runtime::{EndpointReports, Registry};
use crate::telemetry::{Counters, Tokens};
use dgon_protocol::frame::{GpusNotRead, Inventory};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long who asks for a new key waits; the change goes on without him.
const CHANGE_WITHIN: Duration = Duration::from_secs(8);

/// How long reading one part of the status may take: less than the doctor waits for all of it.
const READ_WITHIN: Duration = Duration::from_millis(1_200);

/// How long the thread that reads energy may take to let its driver go.
const LET_GO_WITHIN: Duration = Duration::from_secs(3);

/// The parts of the running agent that tell of themselves.
pub(super) struct LocalResponder {
    pub(super) node_id: String,
    pub(super) region: Option<String>,
    pub(super) proxy_address: String,
    pub(super) proxy: Arc<Proxy>,
    pub(super) receipts: Receipts,
    pub(super) heartbeats: HeartbeatSource,
    pub(super) inventory: watch::Receiver<Arc<Inventory>>,
    pub(super) registry: Registry,
    pub(super) endpoints: EndpointReports,
    /// Every value in force.
    pub(super) configuration: serde_json::Value,
    pub(super) http_proxy: Option<String>,
    pub(super) link: watch::Receiver<LinkStatus>,
    pub(super) mode: ModeSwitch,
    pub(super) refresh: Arc<Notify>,
    pub(super) counters: Arc<Counters>,
    pub(super) state: StateDir,
    /// Held while an order of the owner is written, so that they are kept in the order in which they came.
    pub(super) ordering: tokio::sync::Mutex<()>,
    /// Held while the day's receipts and those of former keys are counted, so that a disk that hangs holds two threads,
    /// however often it is asked about.
    pub(super) counting: [Arc<tokio::sync::Mutex<()>>; 2],
    pub(super) key_changes: mpsc::Sender<KeyChangeRequest>,
    pub(super) gpus: GpuAccess,
    pub(super) energy: Option<EnergyMeter>,
    /// Asks the agent to stop, as a signal does.
    pub(super) stop: CancellationToken,
    /// How long a stop may take.
    pub(super) stop_within: Duration,
}

impl LocalResponder {
    /// The spool as it is shown.
    pub(super) fn spool(&self) -> SpoolReport {
        let status = self.receipts.status();
        SpoolReport {
            depth: status.depth(),
            max_receipts: status.max_receipts,
            bytes: status.bytes,
            last_seq: status.last_seq,
            acked_seq: status.acked_seq,
            former_waiting: None,
            receipts_today: self
                .counters
                .today
                .get()
                .map_or_else(|| status.receipts_today(), |today| today.receipts),
            dead_letters: status.dead_letters,
            damaged: status.damaged,
            not_ready: status
                .not_ready
                .as_ref()
                .map(|reason| reason.kind().to_owned()),
            reason: status.not_ready.as_ref().map(ToString::to_string),
        }
    }

    /// Asks for a new key and waits for the answer a while.
    async fn rotate_key(&self) -> Answer {
        let (request, answer) = oneshot::channel();
        let waiting = async {
            self.key_changes.send(request).await.ok()?;
            answer.await.ok()
        };
        match timeout(CHANGE_WITHIN, waiting).await {
            Ok(Some(Ok(changed))) => Answer::KeyRotated(Box::new(KeyRotated {
                old_key: changed.old,
                new_key: changed.new,
                valid_from_ms: changed.valid_from_ms,
            })),
            Ok(Some(Err(message))) => Answer::Refused { message },
            Ok(None) => Answer::Refused {
                message: "the agent is stopping".to_owned(),
            },
            Err(_) => Answer::Refused {
                message: format!(
                    "the change is under way and has no answer yet; `{}` tells when it is done",
                    own_command("key show")
                ),
            },
        }
    }

    /// Stops as the first signal does.
    fn stop(&self) -> Answer {
        if !self.stop.is_cancelled() {
            tracing::info!("stopping, as its owner asked: running answers may end");
        }
        self.stop.cancel();
        Answer::Stopping(Stopping {
            pid: std::process::id(),
            in_flight: self.proxy.in_flight(),
            receipts_waiting: self.receipts.status().depth(),
            within_s: self.stop_within.as_secs(),
        })
    }

    async fn status(&self) -> Status {
        // Each with a bound of its own: a disk or a driver that hangs must not make the agent look frozen.
        let (gpu_loads, today, former_waiting) = tokio::join!(
            timeout(READ_WITHIN, self.heartbeats.gpu_loads()),
            timeout(READ_WITHIN, self.today()),
            timeout(READ_WITHIN, self.former_waiting()),
        );
        let inventory = self.inventory.borrow().clone();
        Status {
            node_id: self.node_id.clone(),
            region: self.region.clone(),
            version: VERSION.to_owned(),
            pid: std::process::id(),
            uptime_s: self.heartbeats.uptime_s(),
            proxy: self.proxy_address.clone(),
            owner: OwnerReport::of(self.mode.state()),
            in_flight: self.proxy.in_flight(),
            in_flight_local: self.proxy.in_flight_local(),
            tokens_per_second: self.counters.tokens_per_second(),
            link: self.link.borrow().clone(),
            spool: SpoolReport {
                former_waiting: former_waiting.ok().flatten(),
                ..self.spool()
            },
            today: today.ok().flatten(),
            earnings_today_usd: None,
            gpus: inventory.gpus.clone(),
            gpu_loads: gpu_loads.unwrap_or_default(),
            gpus_not_read: self
                .heartbeats
                .gpus_not_read()
                .or(inventory.gpus_not_read.filter(|why| !why.is_wanted())),
            runtimes: inventory.runtimes.clone(),
            has_looked: Some(self.registry.has_looked()),
            endpoints: self.endpoints.borrow().to_vec(),
            http_proxy: self.http_proxy.clone(),
            configuration: self.configuration.clone(),
        }
    }
}

impl LocalResponder {
    /// Receipts of former keys that wait for the control plane.
    async fn former_waiting(&self) -> Option<u64> {
        let state = self.state.clone();
        read_alone(&self.counting[1], move || former_waiting(&state)).await
    }

    /// Receipts and tokens of the day.
    pub(super) async fn today(&self) -> Option<Tokens> {
        let (counters, state) = (Arc::clone(&self.counters), self.state.clone());
        read_alone(&self.counting[0], move || {
            counters.today.get_or_count(&state)
        })
        .await
    }

    /// In force at once, and kept.
    async fn pause(&self) -> Result<(), String> {
        let _ordering = self.ordering.lock().await;
        self.mode.pause_by_owner(true);
        self.save(true).await.map_err(|error| {
            format!("the node is paused, but that cannot be saved and ends with the agent: {error}")
        })
    }

    /// Kept first: a node that would be paused again by a restart is not resumed.
    async fn resume(&self) -> Result<(), String> {
        let _ordering = self.ordering.lock().await;
        if self.mode.state().orders.owner_paused {
            self.save(false).await.map_err(|error| {
                format!("the node stays paused, because the order cannot be saved: {error}")
            })?;
        }
        self.mode.pause_by_owner(false);
        self.mode.drain_by_owner(false);
        Ok(())
    }

    async fn save(&self, paused: bool) -> std::io::Result<()> {
        let state = self.state.clone();
        tokio::task::spawn_blocking(move || saved::save(&state, paused))
            .await
            .map_err(std::io::Error::other)?
    }
}

impl LocalResponder {
    /// Lets go of every GPU driver, and says so only when it is done.
    async fn release_gpus(&self, span: Option<Duration>) -> Answer {
        if self.gpus.refused() == Some(GpusNotRead::Off) {
            return Answer::Done;
        }
        self.gpus.release(span);
        let is_settled = match &self.energy {
            Some(energy) => energy.settle(LET_GO_WITHIN).await,
            None => true,
        };
        if self.heartbeats.let_gpus_go().await && is_settled {
            tracing::info!("the agent has let go of the GPUs, as its owner asked");
            return Answer::Done;
        }
        Answer::Refused {
            message: "a GPU driver does not answer, so it is still open; nothing new is asked of it, and stopping the \
                      agent lets it go"
                .to_owned(),
        }
    }

    fn read_gpus(&self) -> Answer {
        self.gpus.resume();
        self.heartbeats.survey_soon();
        match self.gpus.refused() {
            None => Answer::Done,
            Some(reason) => Answer::Refused {
                message: why_not_read(reason),
            },
        }
    }
}

/// Reads in a thread, while nobody else does that holds `alone`.
async fn read_alone<T: Send + 'static>(
    alone: &Arc<tokio::sync::Mutex<()>>,
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Option<T> {
    let alone = Arc::clone(alone).lock_owned().await;
    let reading = tokio::task::spawn_blocking(move || {
        let read = read();
        drop(alone);
        read
    });
    reading.await.ok()?.ok()
}

impl Responder for LocalResponder {
    fn answer(&self, request: Request) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match request {
                Request::Status => return Answer::Status(Box::new(self.status().await)),
                Request::Refresh => {
                    self.refresh.notify_one();
                    return Answer::Done;
                }
                Request::Pause => self.pause().await,
                Request::Resume => self.resume().await,
                Request::Drain => {
                    self.mode.drain_by_owner(true);
                    Ok(())
                }
                Request::Stop => return self.stop(),
                Request::RotateKey => return self.rotate_key().await,
                Request::ReleaseGpus { for_s } => {
                    return self.release_gpus(for_s.map(Duration::from_secs)).await;
                }
                Request::ReadGpus => return self.read_gpus(),
            }
            .map_or_else(
                |message| Answer::Refused { message },
                |()| Answer::Owner(OwnerReport::of(self.mode.state())),
            )
        })
    }
}
