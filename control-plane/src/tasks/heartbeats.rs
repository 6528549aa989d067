//! Writes what nodes say of themselves and their heartbeats in batches.
//!
//! After a restart all nodes come back at once: a commit for each would keep receipts waiting for a minute.

use crate::app::App;
use dgon_control_plane_store::{Connected, NewHeartbeat};
use std::sync::Arc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Heartbeats per transaction: other writers wait no longer than for these.
const BATCH: usize = 500;

/// Runs until `stop`, and writes what is left then.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(app.settings.heartbeat_flush);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                write_reports(&app).await;
                write(&app).await;
            }
            () = stop.cancelled() => {
                write_reports(&app).await;
                return write(&app).await;
            }
        }
    }
}

async fn write_reports(app: &App) {
    let reports = app.presence.take_unwritten_reports();
    for batch in reports.chunks(BATCH) {
        let json: Vec<(String, String)> = batch
            .iter()
            .map(|report| {
                let inventory = serde_json::to_string(&*report.inventory).unwrap_or_default();
                (
                    inventory,
                    serde_json::to_string(&report.allow).unwrap_or_default(),
                )
            })
            .collect();
        let rows: Vec<(i64, Connected<'_>)> = batch
            .iter()
            .zip(&json)
            .map(|(report, (inventory, allow_list))| {
                let row = Connected {
                    node_id: &report.node_id,
                    agent_version: &report.agent.version,
                    os: &report.agent.os,
                    arch: &report.agent.arch,
                    inventory,
                    allow_list,
                };
                (report.connected_at_ms, row)
            })
            .collect();
        if let Err(error) = app.store.nodes_connected(&rows).await {
            // The next session says the same again; memory has it.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "what nodes are was not written"
            );
            return;
        }
    }
}

async fn write(app: &App) {
    let beats: Vec<NewHeartbeat> = app
        .presence
        .take_unwritten()
        .into_iter()
        .map(|beat| NewHeartbeat {
            node_id: beat.node_id,
            at_ms: beat.at_ms,
            body: serde_json::to_string(&*beat.heartbeat).unwrap_or_default(),
            keep_raw: beat.keep_raw,
        })
        .collect();
    for batch in beats.chunks(BATCH) {
        if let Err(error) = app.store.heartbeats_write(batch).await {
            // The next heartbeats say the same again; memory has these.
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "heartbeats not written"
            );
            return;
        }
    }
}
