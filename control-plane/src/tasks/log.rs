//! Keeps SQLite's write-ahead log short.

use crate::app::App;
use dgon_control_plane_store::System;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time from one moving of what it holds to the next. What came since is left for the commit that finds the log full; but
/// a page that was written many times meanwhile is moved once, and each moving syncs two files.
const MOVE: Duration = Duration::from_millis(500);
/// Time from one look at its size to the next.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    if !app.store.has_log(System::of_the_server()) {
        return stop.cancelled().await;
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = move_on(&app) => {}
        () = keep_short(&app) => {}
    }
}

/// Moves what the log holds to its place, so that little is left for the commit that finds the log full.
async fn move_on(app: &App) {
    let mut tick = tokio::time::interval(MOVE);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = app.store.checkpoint_log(System::of_the_server()).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the write-ahead log was not moved; a commit does it"
            );
        }
    }
}

async fn keep_short(app: &App) {
    let by = System::of_the_server();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        metrics::gauge!("database_log_bytes").set(app.store.log_bytes(by) as f64);
        match app.store.truncate_log(by).await {
            Ok(true) => {}
            Ok(false) => tracing::debug!("the write-ahead log is in use; it is emptied later"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the write-ahead log was not emptied; it is tried again"
            ),
        }
    }
}
