//! The live status line of an agent that runs in a terminal. Silent everywhere else.

use super::responder::Desk;
use crate::link::Phase;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_millis(500);
/// Carriage return and "erase the line".
const REWIND: &str = "\r\x1b[2K";

/// Shows the line until `stop`, redrawn only when it changes.
pub(super) async fn show(desk: Arc<Desk>, stop: CancellationToken) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    let mut shown = String::new();
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => break,
        }
        let line = line(&desk);
        if line != shown {
            draw(&format!("{REWIND}{line}"));
            shown = line;
        }
    }
    draw(REWIND);
}

fn line(desk: &Desk) -> String {
    let link = desk.link.borrow();
    let session = match link.phase {
        Phase::Off => "no control plane",
        Phase::Connecting => "connecting",
        Phase::Connected => "connected",
        Phase::Waiting => "no control plane, receipts wait",
        Phase::Replaced => "replaced by another agent",
        Phase::Stopped => "stopping",
    };
    let standing = link
        .node
        .as_ref()
        .map_or(String::new(), |node| format!(" ({})", node.status.as_str()));
    let inventory = desk.inventory.borrow();
    let runtimes: Vec<&str> = inventory
        .runtimes
        .iter()
        .map(|runtime| runtime.kind.as_str())
        .collect();
    let runtimes = if runtimes.is_empty() {
        "no runtime yet".to_owned()
    } else {
        runtimes.join(", ")
    };
    let spool = desk.spool();
    let trouble = spool
        .not_ready
        .map_or(String::new(), |kind| format!(" | NOT SERVING: {kind}"));
    format!(
        "{} | {session}{standing} | {runtimes} | {} running | {} receipts today, {} waiting{trouble}",
        desk.node_id,
        desk.proxy.in_flight(),
        spool.receipts_today,
        spool.depth,
    )
}

fn draw(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone needs no line.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
