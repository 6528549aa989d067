//! Notes when API keys were used: `app::key_uses`.

use crate::app::App;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Who tries a new key looks at once whether it was used.
const EVERY: Duration = Duration::from_secs(1);

/// Runs until `stop`, and then writes what waits.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => write(&app).await,
        }
    }
    write(&app).await;
}

async fn write(app: &App) {
    if let Err(error) = app.key_uses_write().await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "when API keys were used was not noted");
    }
}
