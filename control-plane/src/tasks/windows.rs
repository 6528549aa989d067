//! Keeps each node's last 24 hours, which the nodes list shows and sorts by.
//!
//! A node is recomputed soon after its receipts are committed, and every quarter of an hour while it still has
//! requests, because windows also shrink. One run works for at most [`RUN`], so that a large network is a
//! little behind instead of in the way of ingest.

use crate::app::App;
use crate::bus::{Event, RecvError};
use dgon_control_plane_model::rollup::{QUARTER_MINUTES, minute_of};
use dgon_control_plane_store::StoreError;
use dgon_protocol::id::NodeId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long after its receipts a node is recomputed.
const EVERY: Duration = Duration::from_secs(1);
/// How long one run may work.
const RUN: Duration = Duration::from_millis(100);
/// Shrinking windows looked for per run.
const STALE: i64 = 50;

/// Runs until `stop`.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut events = app.bus.subscribe();
    let mut changed: BTreeSet<NodeId> = BTreeSet::new();
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(Event::Receipts(receipts)) => {
                    changed.extend(receipts.iter().map(|receipt| receipt.fields.node_id.clone()));
                }
                Ok(Event::Node { .. } | Event::Heartbeat { .. }) => {}
                // Whose receipts were lost nobody knows: all that are here are looked at.
                Err(RecvError::Lagged(_)) => {
                    changed.extend(app.presence.all().into_iter().map(|(node_id, _)| node_id));
                }
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => {
                if let Err(error) = refresh(&app, &mut changed).await {
                    tracing::error!(error = &error as &dyn std::error::Error, "node windows not refreshed");
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

async fn refresh(app: &App, changed: &mut BTreeSet<NodeId>) -> Result<(), StoreError> {
    let start = Instant::now();
    let minute = minute_of(app.clock.now_ms());
    if changed.is_empty() {
        let stale = app
            .store
            .rollups_stale_windows(minute - QUARTER_MINUTES, STALE)
            .await?;
        changed.extend(
            stale
                .into_iter()
                .filter_map(|node_id| NodeId::parse(node_id).ok()),
        );
    }
    let mut windows = Vec::new();
    while start.elapsed() < RUN
        && let Some(node_id) = changed.pop_first()
    {
        let window = app.store.rollups_window(node_id.as_str(), minute).await?;
        windows.push((node_id, window));
    }
    if windows.is_empty() {
        return Ok(());
    }
    let (node_ids, windows): (Vec<_>, Vec<_>) = windows.into_iter().unzip();
    app.store.rollups_set_windows(&windows).await?;
    for node_id in node_ids {
        app.bus.send(Event::Node { node_id });
    }
    Ok(())
}
