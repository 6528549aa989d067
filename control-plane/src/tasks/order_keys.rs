//! Makes the next key of work orders when it is due: `app::order_keys`.

use crate::app::App;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often it is looked. Mostly that is a glance at the clock.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = app.order_keys_renew().await {
            metrics::counter!("order_keys_not_renewed_total").increment(1);
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "work orders have no new key; it is tried again, and the key before signs until its time is over"
            );
        }
    }
}
