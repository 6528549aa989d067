//! Writes each node's last 24 hours beside the node, so many at a time that nobody waits long for them.
//!
//! Days that are in memory are written when they have changed and when an hour has ended. Those of nodes that sent
//! nothing since this process began are read from their rows and written when they are old, because days also shrink.

use crate::app::App;
use crate::bus::Event;
use dgon_control_plane_model::rollup::minute_of;
use dgon_control_plane_model::window::HOUR_MINUTES;
use dgon_control_plane_store::node_windows::NodeWindow;
use dgon_control_plane_store::{StoreError, System};
use dgon_protocol::id::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Time from one run to the next: how soon after its receipts a node's day is written while no more than [`BATCH`] nodes
/// are busy.
const EVERY: Duration = Duration::from_secs(1);
/// Days per run, in one transaction: other writers wait no longer than for these. Where more nodes are busy, each waits
/// for its turn, 10,000 of them for 40 s, and what they cost does not grow with them.
const BATCH: usize = 250;
/// Old days looked for per run.
const STALE: i64 = 50;

/// Runs until `stop`, and then until what is known by then is written.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return write_all(&app).await,
        }
        let now_ms = app.clock.now_ms();
        app.windows.advance(now_ms);
        if let Err(error) = write(&app, now_ms).await {
            not_written(&error);
        }
        if let Err(error) = shrink(&app, now_ms).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "old days of nodes not read"
            );
        }
    }
}

fn not_written(error: &StoreError) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "days of nodes not written"
    );
}

/// Writes what waits for its turn; at the first fault the rest is left.
async fn write_all(app: &App) {
    loop {
        match write(app, app.clock.now_ms()).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return not_written(&error),
        }
    }
}

/// Writes the days whose turn it is; how many.
async fn write(app: &App, now_ms: i64) -> Result<usize, StoreError> {
    let windows = app.windows.take(BATCH, now_ms);
    if windows.is_empty() {
        return Ok(0);
    }
    let by = System::of_the_server();
    if let Err(error) = app.store.windows_set(by, &windows).await {
        app.windows.not_written(&windows);
        return Err(error);
    }
    tell(app, &windows);
    Ok(windows.len())
}

/// Days of nodes that are not in memory.
async fn shrink(app: &App, now_ms: i64) -> Result<(), StoreError> {
    let minute = minute_of(now_ms);
    // Days in memory are written anew when an hour begins, so these are others.
    let old = minute - minute.rem_euclid(HOUR_MINUTES);
    let mut windows = Vec::new();
    for node_id in app
        .store
        .windows_stale(System::of_the_server(), old, STALE)
        .await?
    {
        if NodeId::parse(node_id.as_str()).is_ok_and(|node_id| app.windows.has(&node_id)) {
            // It is about to be written.
            continue;
        }
        let day = app.day_of(&node_id, minute).await?;
        windows.push(NodeWindow::of(&node_id, minute, &day));
    }
    if !windows.is_empty() {
        app.store
            .windows_set(System::of_the_server(), &windows)
            .await?;
        tell(app, &windows);
    }
    Ok(())
}

fn tell(app: &App, windows: &[NodeWindow]) {
    for window in windows {
        if let Ok(node_id) = NodeId::parse(window.node_id.as_str()) {
            app.bus.send(Event::Node { node_id });
        }
    }
}
