//! What the agent opens before it takes anybody in, and the parts that are made of it.

use super::readiness::{Loops, Readiness};
use super::settings::{proxy_settings, region, registry_settings, spool_limits, stop_within};
use super::{LOCK_AGAIN, LOCK_WITHIN, RunError};
use crate::config::plain_http;
use crate::config::{Config, StateDir};
use crate::gpu::{Detector, EnergyMeter, GpuAccess};
use crate::heartbeat::HeartbeatSource;
use crate::identity::{self, Identity};
use crate::link::LinkStatus;
use crate::liveness::LivenessSignal;
use crate::mode::{ModeSwitch, Orders};
use crate::owner::{self, Observer};
use crate::proxy::{HashKey, Proxy};
use crate::receipts::{Receipts, Signer};
use crate::rotation::files;
use crate::runtime::{self, EndpointReports, Registry};
use crate::service::notify::{self, Notifier};
use crate::spool::{DeadLetters, Folder, Lock, LockError, Spool};
use crate::telemetry::counters::CountingSink;
use crate::telemetry::{Counters, Metrics};
use dgon_protocol::frame::Inventory;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

/// Identity, spool, runtimes and proxy of this node: all that serves requests.
pub(super) struct Opened {
    /// Also held by the writer of receipts, so that neither frees the state directory before the other has ended.
    pub(super) lock: Arc<Lock>,
    pub(super) identity: Identity,
    pub(super) receipts: Receipts,
    pub(super) registry: Registry,
    pub(super) endpoints: EndpointReports,
    pub(super) counters: Arc<Counters>,
    pub(super) mode: ModeSwitch,
    pub(super) gpus: GpuAccess,
    pub(super) energy: Option<EnergyMeter>,
    pub(super) hash_key: HashKey,
    pub(super) proxy: Arc<Proxy>,
    pub(super) listeners: Vec<TcpListener>,
    /// Where the proxy listens.
    pub(super) address: SocketAddr,
}

impl Opened {
    /// Opens all of it. Nothing is served yet.
    ///
    /// # Errors
    /// What cannot be opened; what was opened before is closed again.
    pub(super) async fn open(config: &Config, state: &StateDir) -> Result<Self, RunError> {
        let identity = Identity::load(state).map_err(RunError::Identity)?;
        check_node(config, &identity)?;
        let api = identity::control_plane(config, Some(&identity.enrolment));
        if let Some(api) = &api {
            plain_http::check(config, api).map_err(RunError::PlainHttp)?;
        }
        let lock = Arc::new(lock_state(state).await?);
        files::settle(state).map_err(RunError::Files)?;
        // Again, now that nobody else can change it.
        let identity = Identity::load(state).map_err(RunError::Identity)?;
        let receipts = open_receipts(config, state, &identity, Arc::clone(&lock))?;
        let settings = registry_settings(config, api.as_ref()).map_err(RunError::Runtimes)?;
        let (registry, endpoints) = runtime::watch_and_report(settings);
        let counters = Counters::new(Arc::new(receipts.clone()));
        let sink = Arc::new(CountingSink(Arc::clone(&counters)));
        let mode = ModeSwitch::new(Orders {
            owner_paused: owner::saved::paused(state),
            ..Orders::default()
        });
        let gpus = GpuAccess::new(config.telemetry.read_gpus);
        let energy = energy_meter(&gpus);
        let proxy_settings = proxy_settings(config, &identity, mode.clone(), energy.clone());
        let hash_key = proxy_settings.hash_key.clone();
        let proxy = Proxy::new(registry.clone(), sink, proxy_settings);
        let listeners = listen(config.proxy.listen).await?;
        let address = listeners
            .first()
            .and_then(|listener| listener.local_addr().ok())
            .unwrap_or(config.proxy.listen);
        Ok(Self {
            lock,
            identity,
            receipts,
            registry,
            endpoints,
            counters,
            mode,
            gpus,
            energy,
            hash_key,
            proxy,
            listeners,
            address,
        })
    }

    /// What is told of the node, to the network and to its owner.
    pub(super) fn heartbeats(&self) -> HeartbeatSource {
        HeartbeatSource::new(
            self.registry.clone(),
            Arc::clone(&self.proxy),
            self.receipts.clone(),
            self.mode.clone(),
            self.gpus.clone(),
        )
    }

    /// What the owner's limits are held against.
    pub(super) fn observer(&self, heartbeats: &HeartbeatSource) -> Observer {
        Observer {
            heartbeats: heartbeats.clone(),
            proxy: Arc::clone(&self.proxy),
            counters: Arc::clone(&self.counters),
        }
    }

    /// The figures for a scraper.
    pub(super) fn metrics(
        &self,
        heartbeats: &HeartbeatSource,
        inventory: &watch::Receiver<Arc<Inventory>>,
        link: &watch::Receiver<LinkStatus>,
    ) -> Metrics {
        Metrics {
            counters: Arc::clone(&self.counters),
            proxy: Arc::clone(&self.proxy),
            receipts: self.receipts.clone(),
            heartbeats: heartbeats.clone(),
            registry: self.registry.clone(),
            inventory: inventory.clone(),
            link: link.clone(),
            mode: self.mode.clone(),
        }
    }

    /// What the service manager is told.
    pub(super) fn readiness(
        &self,
        config: &Config,
        link_sign: LivenessSignal,
        link: &watch::Receiver<LinkStatus>,
    ) -> Readiness {
        let environment = |name: &str| std::env::var(name).ok();
        let (receipts, proxy) = (self.receipts.clone(), Arc::clone(&self.proxy));
        Readiness {
            notifier: Notifier::from_environment(&environment),
            every: notify::watchdog_every(&environment),
            signs: vec![link_sign, self.receipts.liveness()],
            link: link.clone(),
            spool: Arc::new(move || {
                let spool = receipts.status();
                spool
                    .not_ready
                    .as_ref()
                    .map_or_else(|| Ok(spool.depth()), |reason| Err(reason.to_string()))
            }),
            stop_within: stop_within(config),
            loops: Loops::new(move || proxy.loops()),
            registry: self.registry.clone(),
        }
    }
}

fn check_node(config: &Config, identity: &Identity) -> Result<(), RunError> {
    match &config.node.id {
        Some(configured) if configured != identity.node_id() => Err(RunError::OtherNode {
            configured: configured.clone(),
            enrolled: identity.node_id().clone(),
        }),
        _ => Ok(()),
    }
}

/// Takes the lock of the state directory. An agent that was killed a moment ago may still hold it until its last write
/// is through.
async fn lock_state(state: &StateDir) -> Result<Lock, RunError> {
    let give_up = Instant::now() + LOCK_WITHIN;
    loop {
        match Lock::take(state.path()) {
            Err(LockError::Taken) if Instant::now() < give_up => {
                tokio::time::sleep(LOCK_AGAIN).await;
            }
            other => return other.map_err(RunError::Lock),
        }
    }
}

pub(super) fn open_receipts(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
    lock: Arc<Lock>,
) -> Result<Receipts, RunError> {
    let spool = open_spool(config, state, identity)?;
    let signer = Signer::new(
        identity.key.clone(),
        identity.node_id().clone(),
        region(config, identity),
    );
    let dead_letters = DeadLetters::in_dir(state.path());
    Receipts::start(spool, signer, dead_letters, Some(lock)).map_err(RunError::System)
}

pub(super) fn open_spool(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
) -> Result<Spool<Folder>, RunError> {
    let folder = Folder::open(&state.spool_dir()).map_err(RunError::SpoolFolder)?;
    let key_id = identity.key.public().key_id();
    let now_s = crate::clock::unix_s();
    let spool =
        Spool::open(folder, &key_id, spool_limits(config), now_s).map_err(RunError::Spool)?;
    if let Some(fault) = spool.fault() {
        tracing::error!(
            error = %fault,
            source = std::error::Error::source(fault).map(ToString::to_string),
            "no request is served until the spool can be written"
        );
    }
    Ok(spool)
}

/// Measures by the cards' counters. A system that gives no thread gives receipts without energy.
fn energy_meter(gpus: &GpuAccess) -> Option<EnergyMeter> {
    let mut cards = Detector::with_access(gpus.clone());
    EnergyMeter::start(move || cards.energy()).ok()
}

/// The sockets of the proxy: its own, and on the loopback address of IPv4 also that of IPv6, since `localhost` is both.
async fn listen(address: SocketAddr) -> Result<Vec<TcpListener>, RunError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    let port = listener.local_addr().map_or(address.port(), |at| at.port());
    let mut listeners = vec![listener];
    if address.ip() == Ipv4Addr::LOCALHOST {
        match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => tracing::warn!(
                "something else listens on [::1]:{port}, and gets the requests of clients that take localhost for \
                 IPv6; have them use 127.0.0.1, or stop it"
            ),
            Err(error) => {
                tracing::info!(%error, "the proxy serves IPv4 alone: [::1] cannot be listened on")
            }
        }
    }
    Ok(listeners)
}
