//! Writes what nodes say of themselves and their heartbeats in batches.
//!
//! After a restart all nodes come back at once: a commit for each would keep receipts waiting for a minute.

use crate::app::App;
use crate::presence::UnwrittenReport;
use dgon_control_plane_store::{Connected, Fault, NewHeartbeat, StoreError, System};
use std::sync::Arc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Heartbeats per transaction: other writers wait no longer than for these.
const BATCH: usize = 500;
/// Reports per transaction: each may bring hundreds of rows of what its node offers.
const REPORTS: usize = 100;

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

/// Writes what is new. A batch that fails on the data of one node is halved until that node is alone: it is left out
/// until it says something else, and the others are written. What fails for another reason comes again.
async fn write_reports(app: &App) {
    let mut batches = vec![app.presence.take_unwritten_reports()];
    while let Some(mut reports) = batches.pop() {
        if reports.len() > REPORTS {
            batches.push(reports.split_off(REPORTS));
            batches.push(reports);
            continue;
        }
        let Err(error) = write_report_batch(app, &reports).await else {
            continue;
        };
        match (error.fault(), reports.as_slice()) {
            (Fault::Data | Fault::Corrupt, [alone]) => tracing::warn!(
                node_id = %alone.node_id,
                error = &error as &dyn std::error::Error,
                "what a node says of itself cannot be stored"
            ),
            (Fault::Data | Fault::Corrupt, _) => {
                batches.push(reports.split_off(reports.len() / 2));
                batches.push(reports);
            }
            (Fault::Conflict | Fault::Database, _) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what nodes are was not written; it is tried again"
                );
                app.presence.reports_not_written(&reports);
                for later in batches.drain(..) {
                    app.presence.reports_not_written(&later);
                }
            }
        }
    }
}

async fn write_report_batch(app: &App, reports: &[UnwrittenReport]) -> Result<(), StoreError> {
    let allow_lists: Vec<String> = reports
        .iter()
        .map(|report| serde_json::to_string(&report.allow).unwrap_or_default())
        .collect();
    let rows: Vec<(i64, Connected<'_>)> = reports
        .iter()
        .zip(&allow_lists)
        .map(|(report, allow_list)| {
            let row = Connected {
                node_id: &report.node_id,
                agent_version: &report.agent.version,
                os: &report.agent.os,
                arch: &report.agent.arch,
                inventory: &report.inventory,
                allow_list,
            };
            (report.connected_at_ms, row)
        })
        .collect();
    app.store
        .nodes_connected(System::of_the_server(), &rows)
        .await
}

/// Writes heartbeats. They hold numbers and JSON alone, so no node's can fail the others'.
async fn write(app: &App) {
    let unwritten = app.presence.take_unwritten();
    for (position, batch) in unwritten.chunks(BATCH).enumerate() {
        let beats: Vec<NewHeartbeat> = batch
            .iter()
            .map(|beat| NewHeartbeat {
                node_id: beat.node_id.clone(),
                at_ms: beat.at_ms,
                body: serde_json::to_string(&*beat.heartbeat).unwrap_or_default(),
                keep_raw: beat.keep_raw,
            })
            .collect();
        if let Err(error) = app
            .store
            .heartbeats_write(System::of_the_server(), &beats)
            .await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "heartbeats not written; they are tried again"
            );
            app.presence
                .heartbeats_not_written(&unwritten[position * BATCH..]);
            return;
        }
    }
}
