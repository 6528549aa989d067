//! `dgon-agent run`: puts the parts together, waits for a signal, takes them apart again in order.
//!
//! Order of start: identity, spool, runtimes, local socket, link, proxy. Nothing waits for a control plane or a runtime
//! to be there; the agent calls itself ready once every runtime was looked for. Order of stop: the proxy first, within its
//! drain time, so that its receipts still come; then the link, which sends what it can and says `bye`; then the local
//! socket and the metrics; then the spool, which gives the lock of the state directory back: who gets that lock finds
//! every port and the socket's name free. An agent whose link or writer panicked stops in the same order, and says so
//! by its exit code.

use crate::cli::VERSION;
use crate::config::{Config, StateDir};
use crate::link::{self, LinkStatus, Parts};
use crate::liveness::LivenessSignal;
use crate::local;
use crate::own_command::own_command;
use crate::owner::{self, LimitsTask};
use crate::telemetry::{self, Metrics};
use crate::timer_borders;
use dgon_protocol::frame::Inventory;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

mod error;
mod linked;
mod opened;
mod readiness;
mod responder;
mod settings;
mod signals;
mod status_line;

pub use error::RunError;
pub(crate) use settings::{link_settings, registry_settings};

use linked::LinkSupervisor;
use opened::Opened;
use responder::LocalResponder;
use settings::{region, stop_within};

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

/// Runs the agent until a signal stops it, or `stop` is cancelled.
///
/// # Errors
/// [`RunError`] when it cannot start.
pub fn run(config: &Config, state: &StateDir, stop: CancellationToken) -> Result<(), RunError> {
    // Link, registry and local socket need little and share this thread; proxy, spool and drivers have their own.
    timer_borders::begin();
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
    let mut opened = Opened::open(config, state).await?;
    let listeners = std::mem::take(&mut opened.listeners);
    tracing::info!(
        node = %opened.identity.node_id(),
        proxy = %format!("http://{}", opened.address),
        version = VERSION,
        waiting_receipts = opened.receipts.status().depth(),
        "the agent runs; point clients of your runtime to the proxy"
    );
    tracing::debug!(
        state = %state.path().display(),
        control_plane = config.control_plane.api.as_ref().map(tracing::field::display),
        allow = ?config.allow,
        detect = config.runtimes.detect,
        endpoints = config.runtimes.endpoints.len(),
        max_in_flight = config.proxy.max_in_flight,
        "the settings that it runs with"
    );
    let (receipts, proxy) = (opened.receipts.clone(), Arc::clone(&opened.proxy));
    let lock = Arc::clone(&opened.lock);
    // Each stage has its own token, so that they can be stopped one after the other.
    let (stop_link, stop_rest) = (CancellationToken::new(), CancellationToken::new());
    let tokens = StageTokens {
        halt: stop.child_token(),
        stop,
        stop_rest: stop_rest.clone(),
    };
    let halt = tokens.halt.clone();
    let (linked, mut rest) = begin(opened, config, state, tokens).await;
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
    receipts.close().await;
    // Last: an agent that starts then must not lose its socket to this one.
    drop(lock);
    verdict(ended, receipts.panicked().is_cancelled())?;
    tracing::info!("the agent has stopped; every receipt is on disk");
    Ok(())
}

/// How the stages are told to end.
struct StageTokens {
    /// The request to stop, of a signal or of `dgon-agent stop`.
    stop: CancellationToken,
    /// The same, or a fault.
    halt: CancellationToken,
    /// When proxy and link have ended.
    stop_rest: CancellationToken,
}

/// Begins what runs beside the proxy, and hands back the link, which is yet to be run.
async fn begin(
    opened: Opened,
    config: &Config,
    state: &StateDir,
    tokens: StageTokens,
) -> (LinkSupervisor, JoinSet<()>) {
    let StageTokens {
        stop,
        halt,
        stop_rest,
    } = tokens;
    let heartbeats = opened.heartbeats();
    let refresh = Arc::new(Notify::new());
    let (inventory_out, inventory) = watch::channel(Arc::new(Inventory::default()));
    let link_settings = link_settings(config, &opened.identity);
    let http_proxy = link_settings.http_proxy();
    let (link_out, link_status) = watch::channel(LinkStatus::new(Some(link_settings.url)));
    let (key_changes_out, key_changes) = mpsc::channel(1);
    let observer = opened.observer(&heartbeats);
    let mut limits_task = LimitsTask::new(
        owner::limits_of(&config.owner),
        observer,
        opened.mode.clone(),
    );
    // Before the network can ask for anything.
    limits_task.look().await;

    let mut rest = JoinSet::new();
    rest.spawn(limits_task.run(stop_rest.clone()));
    let link_sign = LivenessSignal::new("link");
    let readiness = opened.readiness(config, link_sign.clone(), &link_status);
    rest.spawn(readiness.run(halt, stop_rest.clone()));
    if let Some(address) = config.telemetry.metrics_listen {
        let metrics = opened.metrics(&heartbeats, &inventory, &link_status);
        rest.spawn(telemetry::server::serve(
            address,
            config.proxy.hosts.as_slice().into(),
            page_writer(metrics),
            stop_rest.clone(),
        ));
    }
    rest.spawn(until(stop_rest.clone(), {
        let (heartbeats, refresh) = (heartbeats.clone(), Arc::clone(&refresh));
        heartbeats.keep_inventory(inventory_out, refresh)
    }));
    let responder = Arc::new(LocalResponder {
        node_id: opened.identity.node_id().to_string(),
        region: region(config, &opened.identity),
        proxy_address: format!("http://{}", opened.address),
        proxy: Arc::clone(&opened.proxy),
        receipts: opened.receipts.clone(),
        heartbeats: heartbeats.clone(),
        inventory: inventory.clone(),
        registry: opened.registry,
        endpoints: opened.endpoints,
        configuration: serde_json::to_value(config).unwrap_or_default(),
        http_proxy,
        link: link_status,
        mode: opened.mode.clone(),
        refresh: Arc::clone(&refresh),
        counters: opened.counters,
        state: state.clone(),
        ordering: tokio::sync::Mutex::default(),
        counting: Default::default(),
        key_changes: key_changes_out,
        gpus: opened.gpus,
        energy: opened.energy,
        stop,
        stop_within: stop_within(config),
    });
    rest.spawn(status_line::show(Arc::clone(&responder), stop_rest.clone()));
    rest.spawn(serve_local(state.clone(), responder, stop_rest.clone()));
    let parts = Parts {
        receipts: opened.receipts.clone(),
        inventory,
        heartbeat: Arc::new(move || {
            let heartbeats = heartbeats.clone();
            Box::pin(async move { heartbeats.take().await })
        }),
        prober: Arc::new(Arc::clone(&opened.proxy)) as Arc<dyn link::Prober>,
        proxy: opened.proxy,
        orders: Arc::default(),
        mode: opened.mode,
        refresh,
        liveness: link_sign,
    };
    let linked = LinkSupervisor {
        config: config.clone(),
        state: state.clone(),
        identity: opened.identity,
        receipts: opened.receipts,
        hash_key: opened.hash_key,
        parts,
        link_out,
        key_changes,
    };
    (linked, rest)
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
