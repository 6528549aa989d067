//! Chains what the audit log got since: `app::audit`.

use crate::app::App;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Runs until `stop`, and then until all is sealed that is there.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(app.settings.sealing_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        while let Some(held) = seal(&app).await {
            // Nine tenths of the time are for other writers.
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(held * 9) => {}
            }
        }
    }
    while seal(&app).await.is_some() {}
}

/// Seals some; for how long that held others up, where there may be more.
async fn seal(app: &App) -> Option<Duration> {
    match app.audit_seal().await {
        Ok((may_be_more, held)) => may_be_more.then_some(held),
        Err(error) => {
            metrics::counter!("audit_not_sealed_total").increment(1);
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "rows of the audit log are not chained, and could be removed without a trace; it is tried again"
            );
            None
        }
    }
}
