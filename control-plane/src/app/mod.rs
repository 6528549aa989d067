//! The state that every part of the control plane works on.
//!
//! [`App`] is made once by `serve` and shared as an [`Arc`]. It knows no HTTP.

mod clock;
mod guard;
mod lifecycle;
mod master_key;
mod nodes;
pub mod queries;
mod readiness;
mod sessions;
mod settings;
mod switches;
pub mod viewer;
pub mod views;

pub use clock::Clock;
pub use guard::{Limits, NodeGuard, NonceState, Nonces, Share};
pub use lifecycle::{Cause, Lifecycles, NodeLife};
pub use master_key::{MasterKey, MasterKeyError};
pub use nodes::{FormerKey, NodeSession, Secrets};
pub use readiness::Readiness;
pub use sessions::{Outbound, SessionEnd, SessionHandle, Sessions};
pub use settings::Settings;
pub use switches::{ANONYMOUS_OVERVIEW, SIGNATURE_VERIFY, Signatures, Switches};

use crate::bus::{Bus, Event};
use crate::ingest::Ingest;
use crate::live::Hub;
use crate::presence::Presence;
use crate::supervisor::Supervisor;
use dgon_control_plane_model::lifecycle::State;
use dgon_control_plane_store::{Store, StoreError};
use dgon_protocol::frame::{Heartbeat, ProbeResult};
use dgon_protocol::id::NodeId;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Probe results that wait for the lifecycle task.
const PROBE_RESULTS_QUEUED: usize = 1024;

/// Everything shared.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Typed events.
    pub bus: Bus,
    /// Who is connected.
    pub presence: Presence,
    /// What time it is.
    pub clock: Clock,
    /// Seals node secrets.
    pub master_key: MasterKey,
    /// Thresholds and names, fixed at start.
    pub settings: Settings,
    /// Open links.
    pub sessions: Sessions,
    /// The way of receipts into the store.
    pub ingest: Ingest,
    /// Lifecycle state of every node that is not retired.
    pub lifecycles: Lifecycles,
    /// HMAC secrets that were opened.
    pub secrets: Secrets,
    /// What node HTTP remembers between requests.
    pub guard: NodeGuard,
    /// Rings the lifecycle task.
    pub lifecycle_wake: Notify,
    probe_results: mpsc::Sender<(NodeId, ProbeResult)>,
    probe_inbox: Mutex<Option<mpsc::Receiver<(NodeId, ProbeResult)>>>,
    /// The network in numbers, as last computed.
    pub summaries: queries::SummaryCache,
    /// Hands events to browsers.
    pub live: Hub,
    /// Notices when a task ended that should run.
    pub supervisor: Supervisor,
    /// Flags that are asked often.
    pub switches: Arc<Switches>,
    /// Whether the database can be read and written, as last tried.
    pub readiness: Readiness,
}

impl App {
    /// Puts the parts together. [`crate::tasks::spawn`] makes them move; without it nothing is ingested.
    pub fn new(store: Store, settings: Settings, master_key: MasterKey, clock: Clock) -> Arc<Self> {
        let (probe_results, probe_inbox) = mpsc::channel(PROBE_RESULTS_QUEUED);
        Arc::new(Self {
            store,
            bus: Bus::default(),
            presence: Presence::default(),
            clock,
            master_key,
            settings,
            sessions: Sessions::default(),
            ingest: Ingest::new(),
            lifecycles: Lifecycles::default(),
            secrets: Secrets::default(),
            guard: NodeGuard::default(),
            lifecycle_wake: Notify::new(),
            probe_results,
            probe_inbox: Mutex::new(Some(probe_inbox)),
            summaries: queries::SummaryCache::default(),
            live: Hub::default(),
            supervisor: Supervisor::default(),
            switches: Arc::default(),
            readiness: Readiness::default(),
        })
    }

    /// Reads what is kept in memory from the database. Call it before serving.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self) -> Result<(), StoreError> {
        self.lifecycles.replace(self.store.node_states().await?);
        for (name, enabled) in self.store.flags_changed().await? {
            self.switches.set(&name, enabled);
        }
        Ok(())
    }

    /// A node was heard: memory and bus know at once, the database with the next batch.
    pub fn heard(&self, node_id: &NodeId, heartbeat: Heartbeat) {
        let at_ms = self.clock.now_ms();
        self.presence.heartbeat(node_id, at_ms, heartbeat);
        if self.bus.has_readers() {
            self.bus.send(Event::Heartbeat {
                node_id: node_id.clone(),
                at_ms,
            });
        }
        if self
            .lifecycles
            .get(node_id)
            .is_some_and(|life| life.state == State::Offline)
        {
            self.lifecycle_wake.notify_one();
        }
    }

    /// A probe ended, says the node. Dropped when more wait than a working task leaves.
    pub fn probe_result(&self, node_id: &NodeId, result: ProbeResult) {
        if self
            .probe_results
            .try_send((node_id.clone(), result))
            .is_err()
        {
            tracing::warn!(%node_id, "probe result dropped: the lifecycle task is behind");
        }
    }

    /// The receiving end of probe results, once: for the lifecycle task.
    pub fn take_probe_inbox(&self) -> Option<mpsc::Receiver<(NodeId, ProbeResult)>> {
        self.probe_inbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}
