//! The state that every part of the control plane works on.
//!
//! [`App`] is made once by `serve` and shared as an [`Arc`]. It knows no HTTP.

mod access;
mod attention;
mod audit;
mod bodies;
mod clock;
mod enrolment;
mod guard;
mod key_uses;
mod lifecycle;
mod master_key;
mod nodes;
mod open_minutes;
mod order_keys;
mod orders;
mod probes;
pub mod queries;
mod queues;
mod readiness;
mod regions;
mod sessions;
mod settings;
mod switches;
mod turns;
pub mod views;
mod windows;

pub use access::{Access, AccessChange};
pub use attention::Attention;
pub use audit::{AuditCheck, AuditFault, ERASED, SealError, audit_check};
pub use bodies::{Bodies, BodyShare, NoRoom};
pub use clock::Clock;
pub use guard::{Conduct, Limits, NodeGuard, NonceState, Nonces, SENT_AWAY, Share};
pub use key_uses::KeyUses;
pub use lifecycle::{Cause, Lifecycles, NodeLife};
pub use master_key::{MasterKey, MasterKeyError};
pub use nodes::{FormerKey, KEY_OF_BEFORE, Known, NodeSession, Posting, Secret};
pub use open_minutes::{Counting, OpenMinutes};
pub use order_keys::{Keyring, OVERLAP, OrderKeyFault, SIGNS};
pub use probes::{OpenProbe, Probes};
pub use queues::Queue;
pub use readiness::Readiness;
pub use regions::{DEFAULT_REGIONS, REGIONS_MAX, Regions, UnlistedRegion};
pub use sessions::{Mailbox, Outbound, OwnMailbox, SessionEnd, SessionHandle, Sessions};
pub use settings::Settings;
pub use switches::{ANONYMOUS_OVERVIEW, SIGNATURE_VERIFY, Signatures, Switches};
pub use turns::{Asker, Turn, Turns};
pub use windows::{DayFact, Windows};

use crate::bus::{Bus, Event};
use crate::ingest::Ingest;
use crate::live::Hub;
use crate::presence::Presence;
use crate::relay::Room;
use crate::supervisor::Supervisor;
use dgon_control_plane_model::lifecycle::State;
use dgon_control_plane_store::{Store, StoreError, System};
use dgon_protocol::frame::{Heartbeat, ProbeResult};
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::{Fields, Source};
use std::sync::Arc;
use tokio::runtime::Handle;

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
    /// Who may no longer do what they could.
    pub access: Access,
    /// Open links.
    pub sessions: Sessions,
    /// The way of receipts into the store.
    pub ingest: Ingest,
    /// Lifecycle state of every node that is not retired.
    pub lifecycles: Lifecycles,
    /// HMAC secrets that were opened.
    pub secrets: Known<Arc<Secret>>,
    /// Nodes that posted receipts.
    pub posting: Known<Posting>,
    /// What node HTTP remembers between requests.
    pub guard: NodeGuard,
    /// When API keys were used.
    pub key_uses: Arc<KeyUses>,
    /// What the lifecycle task should look at.
    pub attention: Attention,
    /// Probes under way.
    pub probes: Probes,
    /// Each node's last 24 hours.
    pub windows: Windows,
    /// Sums that are not rows yet.
    pub open_minutes: OpenMinutes,
    /// The network in numbers, as last computed.
    pub summaries: queries::SummaryCache,
    /// Hands events to browsers.
    pub live: Hub,
    /// Notices when a task ended that should run.
    pub supervisor: Supervisor,
    /// Flags that are asked often.
    pub switches: Arc<Switches>,
    /// The keys that this process signs work orders with.
    pub order_keys: Keyring,
    /// What relayed requests and answers may hold.
    pub relay_room: Room,
    /// Whether the database can be read and written, as last tried.
    pub readiness: Readiness,
    /// Who asks for pages now.
    pub turns: Turns,
    /// Where work runs that is everybody's, whoever began it: a socket's thread is for its sockets.
    pub runtime: Handle,
}

/// Pages that one asker may wait for at once: half of the connections.
const PAGES_EACH: usize = 2;

impl App {
    /// Puts the parts together. [`crate::tasks::spawn`] makes them move; without it nothing is ingested.
    ///
    /// # Panics
    /// Outside of a runtime: this one is where everything runs.
    pub fn new(store: Store, settings: Settings, master_key: MasterKey, clock: Clock) -> Arc<Self> {
        let guard = NodeGuard::new(&settings);
        let relay_room = Room::new(settings.relay_bytes);
        Arc::new(Self {
            store,
            bus: Bus::default(),
            presence: Presence::default(),
            clock,
            master_key,
            settings,
            access: Access::default(),
            sessions: Sessions::default(),
            ingest: Ingest::new(),
            lifecycles: Lifecycles::default(),
            secrets: Known::default(),
            posting: Known::default(),
            guard,
            key_uses: Arc::default(),
            attention: Attention::default(),
            probes: Probes::default(),
            windows: Windows::default(),
            open_minutes: OpenMinutes::default(),
            summaries: queries::SummaryCache::default(),
            live: Hub::default(),
            supervisor: Supervisor::default(),
            switches: Arc::default(),
            order_keys: Keyring::default(),
            relay_room,
            readiness: Readiness::default(),
            turns: Turns::new(PAGES_EACH),
            runtime: Handle::current(),
        })
    }

    /// Reads what is kept in memory from the database. Call it before serving.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self) -> Result<(), StoreError> {
        self.open_minutes.begin(&self.store).await?;
        for (name, enabled) in self.store.flags_changed(System::of_the_server()).await? {
            self.switches.set(&name, enabled);
        }
        let states = self.store.node_states(System::of_the_server()).await?;
        self.lifecycles.replace(states, self.clock.mono_ms());
        for (node_id, _) in self.lifecycles.all() {
            self.attention.look_at(&node_id);
        }
        match self.order_keys_renew().await {
            Err(OrderKeyFault::Store(error)) => return Err(error),
            // Nothing can be ordered until the task that renews keys has made one.
            Err(error @ (OrderKeyFault::Entropy | OrderKeyFault::None)) => {
                tracing::error!(%error, "work orders have no key yet");
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// A node was heard: memory and bus know at once, the database with the next batch.
    pub fn heard(&self, node_id: &NodeId, heartbeat: Heartbeat) {
        let at = (self.clock.now_ms(), self.clock.mono_ms());
        let silent_ms = self.presence.heartbeat(node_id, at, heartbeat);
        if self.bus.has_readers() {
            self.bus.send(Event::Heartbeat {
                node_id: node_id.clone(),
                at_ms: at.0,
            });
        }
        let is_offline = |life: NodeLife| life.state == State::Offline;
        let late_ms = i64::try_from(self.settings.late_after.as_millis()).unwrap_or(i64::MAX);
        // What comes in time changes nothing that the task knows.
        if silent_ms >= late_ms || self.lifecycles.get(node_id).is_some_and(is_offline) {
            self.attention.look_at(node_id);
        }
    }

    /// A probe ended, says the node.
    pub fn probe_result(&self, node_id: &NodeId, result: ProbeResult) {
        if self.probes.result(node_id, result) {
            self.attention.look_at(node_id);
        } else {
            tracing::debug!(%node_id, "result of no open probe ignored");
        }
    }

    /// A receipt is durable.
    pub fn receipt_stored(&self, fields: &Fields) {
        if fields.source == Some(Source::Probe) && self.probes.receipt(fields) {
            self.attention.look_at(&fields.node_id);
        }
    }
}
