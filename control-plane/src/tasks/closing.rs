//! Closes quarters of an hour that are over, one after the other: what is made of them is in `store::rollups_closed`.
//!
//! A database of an older version has all of them to close at the first start. Until that is done, sums of an organisation are
//! of its newest receipts, and say so.

use crate::app::App;
use dgon_control_plane_model::rollup::{DAY_MINUTES, minute_of};
use dgon_control_plane_store::{Closing, StoreError, System};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long a minute is over before it is closed: as long as a transaction of ingest may take, and as clocks may differ. What is
/// later is added to what is closed.
const SETTLED_MINUTES: i64 = 2;
/// Shortest pause after a quarter.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(app.settings.closing_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let closed = tokio::select! {
            () = stop.cancelled() => return,
            closed = close_all(&app) => closed,
        };
        if let Err(error) = closed {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a quarter of an hour is not closed, and sums of organisations lack what came since; it is tried again"
            );
        }
        behind(&app).await;
    }
}

/// Closes what is over, with nine tenths of the time for others.
async fn close_all(app: &App) -> Result<(), StoreError> {
    loop {
        let (now, by) = (minute_of(app.clock.now_ms()), System::of_the_server());
        let kept = &app.settings.retention;
        // A day less: what is removed and folded next must not depend on when that happens.
        let days = kept.minutes_days.min(kept.receipts_days).saturating_sub(1);
        let receipts_from = now - i64::from(days) * DAY_MINUTES;
        let before = now - SETTLED_MINUTES;
        match app
            .store
            .rollups_close_next(by, before, receipts_from)
            .await?
        {
            Closing::Closed(step) => {
                metrics::histogram!("retention_held_seconds", "table" => "rollups_closed")
                    .record(step.held.as_secs_f64());
                tokio::time::sleep((step.held * 9).max(PAUSE)).await;
            }
            // Whoever disturbed it is done by the next time.
            Closing::Nothing | Closing::Disturbed => return Ok(()),
        }
    }
}

async fn behind(app: &App) {
    if let Ok(first) = app.store.rollups_unclosed(System::of_the_server()).await {
        let now = minute_of(app.clock.now_ms());
        let behind = first.map_or(0, |first| now.saturating_sub(first).max(0));
        metrics::gauge!("sums_not_closed_minutes").set(behind as f64);
    }
}
