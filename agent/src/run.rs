//! `dgon-agent run`: puts the parts together, waits for a signal, takes them apart again in order.
//!
//! Order of start: identity, spool, runtimes, local socket, link, proxy. Nothing waits for a control plane or a runtime
//! to be there; the agent calls itself ready once every runtime was looked for. Order of stop: the proxy first, within its
//! drain time, so that its receipts still come; then the link, which sends what it can and says `bye`; then the local
//! socket and the metrics; then the spool, which gives the lock of the state directory back: who gets that lock finds
//! every port and the socket's name free. An agent whose link or writer panicked stops in the same order, and says so
//! by its exit code.

use crate::cli::VERSION;
use crate::config::plain_http::{self, PlainHttp};
use crate::config::{Config, StateDir};
use crate::gpu::{Detector, EnergyMeter, GpuAccess};
use crate::heartbeat::HeartbeatSource;
use crate::host;
use crate::identity::{Identity, IdentityError};
use crate::link::{self, LinkSettings, LinkStatus, Parts};
use crate::liveness::LivenessSignal;
use crate::local;
use crate::mode::{ModeSwitch, Orders};
use crate::net::Network;
use crate::open_files::{self, Share};
use crate::own_command::own_command;
use crate::owner::{self, LimitsTask, Observer};
use crate::proxy::{Proxy, Settings};
use crate::receipts::{Receipts, Signer};
use crate::rotation::{FilesError, files};
use crate::runtime::{self, AccessError, Endpoint, RegistrySettings};
use crate::service::notify::{self, Notifier};
use crate::spool::{DeadLetters, Folder, Lock, LockError, OpenError, Spool};
use crate::telemetry::counters::CountingSink;
use crate::telemetry::{self, Counters, Metrics};
use dgon_agent_core::link::Backoff;
use dgon_agent_core::spool::Limits;
use dgon_protocol::frame::{Inventory, LINK_PATH};
use dgon_protocol::id::NodeId;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

mod linked;
mod readiness;
mod responder;
mod signals;
mod status_line;

use linked::LinkSupervisor;
use readiness::{Loops, Readiness};
use responder::LocalResponder;

/// How long a stopping agent waits for its last acknowledgements.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// How long a stop may take after running answers have ended: the flush, and a slow disk.
const STOP_BEYOND_DRAIN: Duration = Duration::from_secs(15);
/// How long parts that write nothing may take to end.
const REST_WITHIN: Duration = Duration::from_secs(5);
/// How long a starting agent waits for one that is ending.
const LOCK_WITHIN: Duration = Duration::from_secs(3);
const LOCK_AGAIN: Duration = Duration::from_millis(50);
/// Threads for drivers and files.
const BLOCKING_THREADS: usize = 4;

/// Why the agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Who this node is cannot be read.
    #[error("the node's identity cannot be used")]
    Identity(#[source] IdentityError),
    /// The configuration names another node.
    #[error(
        "agent.yaml says that this node is {configured} and it is enrolled as {enrolled}; correct node.id, or \
         use the state directory of {configured}"
    )]
    OtherNode {
        /// In the configuration.
        configured: NodeId,
        /// In the identity.
        enrolled: NodeId,
    },
    /// The control plane would be spoken to in the clear.
    #[error(transparent)]
    PlainHttp(PlainHttp),
    /// The key or the certificates of a runtime cannot be used.
    #[error("an entry of runtimes.endpoints in agent.yaml cannot be used")]
    Runtimes(#[source] AccessError),
    /// The spool's folder cannot be made.
    #[error("the spool folder cannot be made; check the permissions of the state directory")]
    SpoolFolder(#[source] io::Error),
    /// Another agent has the state directory.
    #[error("the state directory is in use")]
    Lock(#[source] LockError),
    /// A change of keys that was cut off cannot be brought in order.
    #[error("a change of keys that was cut off cannot be brought in order")]
    Files(#[source] FilesError),
    /// A part without which the agent is of no use panicked.
    #[error(
        "the agent's {part} panicked, which is a fault of this program, so it has stopped; start it again, and send the \
         log to the people of DGON"
    )]
    Panicked {
        /// Which one.
        part: &'static str,
    },
    /// The spool cannot be opened.
    #[error("the spool cannot be opened")]
    Spool(#[source] OpenError),
    /// The proxy's address is taken or not ours.
    #[error(
        "the proxy cannot listen on {address}; stop what listens there, or choose another address with --listen \
         or proxy.listen"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system gives no thread or signal handler.
    #[error("the system does not give the agent what it needs to run")]
    System(#[source] io::Error),
}

/// Runs the agent until a signal stops it, or `stop` is cancelled.
///
/// # Errors
/// [`RunError`] when it cannot start.
pub fn run(config: &Config, state: &StateDir, stop: CancellationToken) -> Result<(), RunError> {
    // Link, registry and local socket need little and share this thread; proxy, spool and drivers have their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(BLOCKING_THREADS)
        // Longer than the period of heartbeats, which ask drivers: no thread is begun anew for each.
        .thread_keep_alive(Duration::from_secs(30))
        .thread_name("agent-drivers")
        .enable_all()
        .build()
        .map_err(RunError::System)?;
    let outcome = runtime.block_on(async {
        signals::cancel_on_signal(stop.clone()).map_err(RunError::System)?;
        run_until(config, state, stop).await
    });
    // A driver call that hangs must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Runs the agent until `stop`.
///
/// # Errors
/// [`RunError`] when it cannot start.
pub async fn run_until(
    config: &Config,
    state: &StateDir,
    stop: CancellationToken,
) -> Result<(), RunError> {
    let identity = Identity::load(state).map_err(RunError::Identity)?;
    check_node(config, &identity)?;
    let api = config.control_plane.api.clone();
    if let Some(api) = api.or_else(|| identity.enrolment.api()) {
        plain_http::check(config, &api).map_err(RunError::PlainHttp)?;
    }
    let lock = lock_state(state).await?;
    files::settle(state).map_err(RunError::Files)?;
    // Again, now that nobody else can change it.
    let identity = Identity::load(state).map_err(RunError::Identity)?;
    let receipts = open_receipts(config, state, &identity, lock)?;
    let settings = registry_settings(config).map_err(RunError::Runtimes)?;
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
    tracing::info!(
        node = %identity.node_id(),
        proxy = %format!("http://{address}"),
        version = VERSION,
        waiting_receipts = receipts.status().depth(),
        "the agent runs; point clients of your runtime to the proxy"
    );

    let refresh = Arc::new(Notify::new());
    let heartbeats = HeartbeatSource::new(
        registry.clone(),
        Arc::clone(&proxy),
        receipts.clone(),
        mode.clone(),
        gpus.clone(),
    );
    let (inventory_out, inventory) = watch::channel(Arc::new(Inventory::default()));
    let link_settings = link_settings(config, &identity);
    let http_proxy = link_settings.http_proxy();
    let (link_out, link_status) = watch::channel(LinkStatus::new(Some(link_settings.url)));
    let (key_changes_out, key_changes) = mpsc::channel(1);
    let stop_within = Duration::from_secs(config.proxy.drain_s) + STOP_BEYOND_DRAIN;
    let responder = Arc::new(LocalResponder {
        node_id: identity.node_id().to_string(),
        region: region(config, &identity),
        proxy_address: format!("http://{address}"),
        proxy: Arc::clone(&proxy),
        receipts: receipts.clone(),
        heartbeats: heartbeats.clone(),
        inventory: inventory.clone(),
        endpoints,
        configuration: serde_json::to_value(config).unwrap_or_default(),
        http_proxy,
        link: link_status,
        mode: mode.clone(),
        refresh: Arc::clone(&refresh),
        counters: Arc::clone(&counters),
        state: state.clone(),
        ordering: tokio::sync::Mutex::default(),
        key_changes: key_changes_out,
        gpus,
        energy,
        stop: stop.clone(),
        stop_within,
    });
    let observer = Observer {
        heartbeats: heartbeats.clone(),
        proxy: Arc::clone(&proxy),
        counters: Arc::clone(&counters),
    };
    let metrics = Metrics {
        counters,
        proxy: Arc::clone(&proxy),
        receipts: receipts.clone(),
        heartbeats: heartbeats.clone(),
        registry: registry.clone(),
        inventory: inventory.clone(),
        link: responder.link.clone(),
        mode: mode.clone(),
    };
    let mut limits_task = LimitsTask::new(owner::limits_of(&config.owner), observer, mode.clone());
    // Before the network can ask for anything.
    limits_task.look().await;

    // Each stage has its own token, so that they can be stopped one after the other.
    let (stop_link, stop_rest) = (CancellationToken::new(), CancellationToken::new());
    let halt = stop.child_token();
    let mut rest = JoinSet::new();
    rest.spawn(serve_local(
        state.clone(),
        Arc::clone(&responder),
        stop_rest.clone(),
    ));
    rest.spawn(limits_task.run(stop_rest.clone()));
    let link_sign = LivenessSignal::new("link");
    let environment = |name: &str| std::env::var(name).ok();
    let readiness = Readiness {
        notifier: Notifier::from_environment(&environment),
        every: notify::watchdog_every(&environment),
        signs: vec![link_sign.clone(), receipts.life()],
        link: responder.link.clone(),
        spool: Arc::new({
            let receipts = receipts.clone();
            move || {
                let spool = receipts.status();
                spool
                    .not_ready
                    .as_ref()
                    .map_or_else(|| Ok(spool.depth()), |reason| Err(reason.to_string()))
            }
        }),
        stop_within,
        loops: Loops::new({
            let proxy = Arc::clone(&proxy);
            move || proxy.loops()
        }),
        registry: registry.clone(),
    };
    rest.spawn(readiness.run(halt.clone(), stop_rest.clone()));
    if let Some(address) = config.telemetry.metrics_listen {
        rest.spawn(telemetry::server::serve(
            address,
            config.proxy.hosts.as_slice().into(),
            page_writer(metrics),
            stop_rest.clone(),
        ));
    }
    rest.spawn(status_line::show(Arc::clone(&responder), stop_rest.clone()));
    rest.spawn(until(stop_rest.clone(), {
        let (heartbeats, refresh) = (heartbeats.clone(), Arc::clone(&refresh));
        heartbeats.keep_inventory(inventory_out, refresh)
    }));
    let parts = Parts {
        receipts: receipts.clone(),
        inventory,
        heartbeat: Arc::new(move || {
            let heartbeats = heartbeats.clone();
            Box::pin(async move { heartbeats.take().await })
        }),
        prober: Arc::new(Arc::clone(&proxy)) as Arc<dyn link::Prober>,
        mode,
        refresh,
        life: link_sign,
    };
    let linked = LinkSupervisor {
        config: config.clone(),
        state: state.clone(),
        identity,
        receipts: receipts.clone(),
        hash_key,
        parts,
        link_out,
        key_changes,
    };
    let kept = tokio::spawn({
        let (stop_link, halt) = (stop_link.clone(), halt.clone());
        async move {
            let ended = linked.run(stop_link).await;
            // Without a link that can come back, or with a fault in it, the agent does not go on.
            halt.cancel();
            ended
        }
    });
    let halts = tokio::spawn({
        let (panicked, halt) = (receipts.panicked().clone(), halt.clone());
        async move {
            tokio::select! {
                () = panicked.cancelled() => halt.cancel(),
                () = halt.cancelled() => {}
            }
        }
    });

    proxy.serve_on_threads(listeners, halt.clone()).await;
    stop_link.cancel();
    halt.cancel();
    let ended = kept.await;
    drop(halts.await);
    stop_rest.cancel();
    let ending = async { while rest.join_next().await.is_some() {} };
    // A driver that hangs must keep neither the process nor the lock.
    drop(timeout(REST_WITHIN, ending).await);
    // Last, for it frees the lock: an agent that starts then must not lose its socket to this one.
    receipts.close().await;
    verdict(ended, receipts.panicked().is_cancelled())?;
    tracing::info!("the agent has stopped; every receipt is on disk");
    Ok(())
}

/// What a stop comes to: an agent of which a part panicked has not simply stopped.
fn verdict(
    linked: Result<Result<(), RunError>, JoinError>,
    writer_panicked: bool,
) -> Result<(), RunError> {
    if writer_panicked {
        return Err(RunError::Panicked { part: "spool" });
    }
    linked.map_err(|_| RunError::Panicked { part: "link" })?
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

/// What clients may take of the files that this process may open; said where it is less than the configuration asks.
fn open_files(config: &Config) -> Share {
    let endpoints = config.runtimes.endpoints.len() + Endpoint::defaults().len();
    let share = Share::of(open_files::raise_limit(), endpoints);
    if let Some(limit) = share.limit
        && (share.connections as u64) < u64::from(config.proxy.max_in_flight)
    {
        tracing::warn!(
            limit,
            connections = share.connections,
            max_in_flight = config.proxy.max_in_flight,
            "this process may open {limit} files, so that {} clients are served at once, fewer than \
             proxy.max_in_flight; raise the limit (`ulimit -n`, LimitNOFILE)",
            share.connections
        );
    }
    share
}

fn page_writer(metrics: Metrics) -> telemetry::server::WritePage {
    Arc::new(move || {
        let metrics = metrics.clone();
        Box::pin(async move { metrics.page().await })
    })
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

async fn serve_local(state: StateDir, responder: Arc<LocalResponder>, stop: CancellationToken) {
    if let Err(error) = local::serve(&state.socket(), responder, stop).await {
        tracing::warn!(
            error = %error,
            source = std::error::Error::source(&error).map(ToString::to_string),
            "`{}` will not work",
            own_command("status")
        );
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

fn open_receipts(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
    lock: Lock,
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

fn open_spool(
    config: &Config,
    state: &StateDir,
    identity: &Identity,
) -> Result<Spool<Folder>, RunError> {
    let folder = Folder::open(&state.spool_dir()).map_err(RunError::SpoolFolder)?;
    let key_id = identity.key.public().key_id();
    let now_s = crate::clock::unix_s();
    let spool = Spool::open(folder, &key_id, limits(config), now_s).map_err(RunError::Spool)?;
    if let Some(fault) = spool.fault() {
        tracing::error!(
            error = %fault,
            source = std::error::Error::source(fault).map(ToString::to_string),
            "no request is served until the spool can be written"
        );
    }
    Ok(spool)
}

fn limits(config: &Config) -> Limits {
    Limits {
        keep_s: u64::from(config.spool.keep_days) * 24 * 3600,
        ..Limits::new(config.spool.max_receipts, config.spool.max_bytes())
    }
}

fn region(config: &Config, identity: &Identity) -> Option<String> {
    config
        .node
        .region
        .clone()
        .or_else(|| Some(identity.enrolment.region.clone()))
        .filter(|region| !region.is_empty())
}

/// Where to look for runtimes, and what never is one.
///
/// # Errors
/// The file with the key or the certificates of an endpoint cannot be used.
pub(crate) fn registry_settings(config: &Config) -> Result<RegistrySettings, AccessError> {
    let mut exclude = vec![Endpoint::new(
        config.proxy.listen.ip().to_string(),
        config.proxy.listen.port(),
    )];
    if let Some(api) = &config.control_plane.api {
        exclude.push(Endpoint::new(api.host(), api.port()));
    }
    let endpoints = config
        .runtimes
        .endpoints
        .iter()
        .map(|named| named.open())
        .collect::<Result<_, _>>()?;
    Ok(RegistrySettings {
        endpoints,
        detect: config.runtimes.detect,
        exclude,
        ..RegistrySettings::default()
    })
}

fn proxy_settings(
    config: &Config,
    identity: &Identity,
    mode: ModeSwitch,
    energy: Option<EnergyMeter>,
) -> Settings {
    let proxy = &config.proxy;
    let mib = usize::try_from(proxy.max_body_mib).unwrap_or(usize::MAX);
    let share = open_files(config);
    Settings {
        hosts: proxy.hosts.clone(),
        origins: proxy.origins.clone(),
        mode,
        max_in_flight: proxy.max_in_flight,
        max_connections: share.connections,
        max_idle_upstream: share.idle_upstream,
        max_body_bytes: mib.saturating_mul(1024 * 1024),
        connect_timeout: Duration::from_millis(proxy.connect_timeout_ms),
        first_byte_timeout: Duration::from_secs(proxy.first_byte_s),
        stall_timeout: Duration::from_secs(proxy.stall_timeout_s),
        drain_timeout: Duration::from_secs(proxy.drain_s),
        energy: energy.map(|meter| Arc::new(meter) as Arc<dyn crate::proxy::settings::EnergyMeter>),
        ..Settings::with_hash_key(*identity.prompt_hash_key())
    }
}

/// Measures by the cards' counters. A system that gives no thread gives receipts without energy.
fn energy_meter(gpus: &GpuAccess) -> Option<EnergyMeter> {
    let mut cards = Detector::with_access(gpus.clone());
    EnergyMeter::start(move || cards.energy()).ok()
}

/// The address that enrolment went through is known to work, so it wins over the one that the control plane
/// thinks it has.
pub(crate) fn link_settings(config: &Config, identity: &Identity) -> LinkSettings {
    let url = config.control_plane.api.as_ref().map_or_else(
        || identity.enrolment.link_url.clone(),
        |api| {
            let scheme = if api.is_https() { "wss" } else { "ws" };
            format!("{scheme}://{}{}", api.authority(), api.path_of(LINK_PATH))
        },
    );
    LinkSettings {
        url,
        node_id: identity.node_id().clone(),
        key: identity.key.clone(),
        secret: identity.enrolment.secret.as_bytes().into(),
        allow: config.allow.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: host::boot_id(),
        flush_within: FLUSH_WITHIN,
        backoff: Backoff::default(),
        network: Network::from_environment(config.control_plane.ca_file.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_after_a_panic_is_no_success() {
        assert!(verdict(Ok(Ok(())), false).is_ok());
        let part = |outcome: Result<(), RunError>| match outcome {
            Err(RunError::Panicked { part }) => part,
            other => panic!("{other:?}"),
        };
        assert_eq!(part(verdict(Ok(Ok(())), true)), "spool");
        let told = Err(RunError::Panicked { part: "link" });
        assert_eq!(part(verdict(Ok(told), false)), "link");
        let swallowed = tokio::spawn(async { panic!("a fault in the program") }).await;
        assert_eq!(part(verdict(swallowed, false)), "link");
    }
}
