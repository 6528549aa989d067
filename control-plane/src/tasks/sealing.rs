//! Chains what the audit log got since: `app::audit`.

use crate::app::App;
use std::sync::Arc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(app.settings.sealing_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        match app.audit_seal().await {
            // Others write meanwhile.
            Ok(true) => tick.reset_immediately(),
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "rows of the audit log are not chained; it is tried again"
            ),
        }
    }
}
