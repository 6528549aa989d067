//! Keeps SQLite's write-ahead log short.

use crate::app::App;
use dgon_control_plane_store::System;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time from one look at its size to the next.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let by = System::of_the_server();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        metrics::gauge!("database_log_bytes").set(app.store.log_bytes(by) as f64);
        tokio::select! {
            () = stop.cancelled() => return,
            emptied = app.store.empty_log(by) => match emptied {
                Ok(true) => {}
                Ok(false) => tracing::debug!("the write-ahead log is in use; it is emptied later"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the write-ahead log was not emptied; it is tried again"
                ),
            }
        }
    }
}
