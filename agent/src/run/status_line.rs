//! The live status line of an agent that runs in a terminal. Silent everywhere else.

use super::responder::LocalResponder;
use crate::link::Phase;
use crate::mode::Mode;
use crate::terminal::{self, Part};
use dgon_agent_core::owner::orders::describe;
use dgon_protocol::frame::GpuLoad;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(1);
/// Readings of the GPUs that are younger are not taken again.
const FRESH: Duration = Duration::from_secs(10);

/// Shows the line until `stop`, redrawn only when it changes.
pub(super) async fn show(responder: Arc<LocalResponder>, stop: CancellationToken) {
    if !terminal::is_live() {
        return;
    }
    // So that the line shows all of the day from the first on, whatever key its receipts have.
    let _ = responder.today().await;
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let gpus = responder.heartbeats.gpu_loads_within(FRESH).await;
        terminal::show(&terminal::fit(&parts(&responder, &gpus), terminal::width()));
    }
    terminal::show("");
}

fn parts(responder: &LocalResponder, gpus: &[GpuLoad]) -> Vec<Part> {
    let part = |rank, text: String| Part { rank, text };
    let spool = responder.spool();
    let trouble = spool
        .not_ready
        .map_or(String::new(), |kind| format!("NOT SERVING: {kind}"));
    vec![
        part(5, responder.node_id.clone()),
        part(1, session(responder)),
        part(0, mode(responder)),
        part(0, trouble),
        part(2, format!("{} running", responder.proxy.in_flight())),
        part(
            4,
            format!("{:.0} tok/s", responder.counters.tokens_per_second()),
        ),
        part(
            3,
            format!(
                "{} receipts today, {} waiting",
                spool.receipts_today, spool.depth
            ),
        ),
        part(6, gpus_text(gpus)),
        part(7, runtimes(responder)),
    ]
}

fn session(responder: &LocalResponder) -> String {
    let link = responder.link.borrow();
    let session = match link.phase {
        Phase::Off => "no control plane",
        Phase::Connecting => "connecting",
        Phase::Connected => "connected",
        Phase::Waiting => "no control plane, receipts wait",
        Phase::Replaced => "replaced by another agent",
        Phase::Stopped => "stopping",
    };
    match &link.node {
        Some(node) => format!("{session} ({})", node.status.as_str()),
        None => session.to_owned(),
    }
}

/// Nothing while the node serves: that is what it is for.
fn mode(responder: &LocalResponder) -> String {
    let decision = responder.mode.state().decision;
    let mode = match decision.mode {
        Mode::Serving => return String::new(),
        Mode::Paused => "paused",
        Mode::Draining => "draining",
    };
    match decision.reasons.first() {
        Some(reason) => format!("{mode}: {}", describe(*reason)),
        None => mode.to_owned(),
    }
}

/// Temperature and power of every GPU that tells them.
fn gpus_text(gpus: &[GpuLoad]) -> String {
    let texts: Vec<String> = gpus
        .iter()
        .filter_map(|gpu| {
            let temp = gpu.temp_c.map(|temp| format!("{temp:.0} °C"));
            let power = gpu.power_w.map(|power| format!("{power:.0} W"));
            let told: Vec<String> = temp.into_iter().chain(power).collect();
            (!told.is_empty()).then(|| format!("GPU {} {}", gpu.index, told.join(" ")))
        })
        .collect();
    texts.join(", ")
}

fn runtimes(responder: &LocalResponder) -> String {
    let inventory = responder.inventory.borrow();
    let kinds: Vec<&str> = inventory
        .runtimes
        .iter()
        .map(|runtime| runtime.kind.as_str())
        .collect();
    if kinds.is_empty() {
        "no runtime yet".to_owned()
    } else {
        kinds.join(", ")
    }
}
