//! What the agent tells of the node by itself: heartbeats, inventories, issues. Each has a task of its own, so that a
//! driver that hangs delays nothing but the reading of it.

use super::Shared;
use crate::link::ended::Ended;
use crate::receipts::NotReady;
use crate::timer_borders;
use dgon_agent_core::link::Issues;
use dgon_agent_core::link::issues::View;
use dgon_protocol::frame::ToControlPlane;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Takes and sends a heartbeat every `period`, and whenever the node's mode changes.
pub(super) async fn heartbeats(shared: Arc<Shared>, period: Duration) -> Ended {
    let mut mode = shared.parts.mode.watch();
    mode.mark_unchanged();
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = sleep_until(due) => due = timer_borders::at_or_before(Instant::now() + period),
            Ok(()) = mode.changed() => {}
        }
        let heartbeat = (shared.parts.heartbeat)().await;
        let frame = ToControlPlane::Heartbeat(heartbeat);
        shared.outbox.control(&frame).await;
    }
}

/// Sends the inventory when it changes.
pub(super) async fn inventories(shared: Arc<Shared>) -> Ended {
    // Not marked as seen: what changed since `hello` was written must be sent, or it would be told only with
    // the next change. Sending the same inventory once more costs one frame.
    let mut inventory = shared.parts.inventory.clone();
    while inventory.changed().await.is_ok() {
        let now = inventory.borrow_and_update().as_ref().clone();
        shared.outbox.control(&ToControlPlane::Inventory(now)).await;
    }
    // Nobody looks any more: the agent is stopping.
    std::future::pending().await
}

/// Tells what is new and worth an operator's attention.
pub(super) async fn issues(shared: Arc<Shared>) -> Ended {
    let mut spool = shared.parts.receipts.watch();
    let mut inventory = shared.parts.inventory.clone();
    let mut issues = Issues::new(view(&shared));
    loop {
        for issue in issues.look(view(&shared)) {
            if shared.log.may_tell() {
                tracing::warn!(kind = ?issue.kind, "told the control plane of an issue");
            }
            shared.outbox.control(&ToControlPlane::Issue(issue)).await;
        }
        tokio::select! {
            Ok(()) = spool.changed() => {}
            Ok(()) = inventory.changed() => {}
        }
    }
}

/// What the agent sees of itself.
fn view(shared: &Shared) -> View {
    let spool = shared.parts.receipts.status();
    let inventory = shared.parts.inventory.borrow();
    View {
        depth: spool.depth(),
        max_receipts: spool.max_receipts,
        unwritable: matches!(spool.not_ready, Some(NotReady::Disk { .. })),
        dead_letters: spool.dead_letters,
        runtimes_ready: inventory.runtimes.iter().filter(|one| one.ready).count(),
        gpus: inventory.gpus.len(),
        clock_ahead_ms: shared.status.borrow().clock_ahead_ms.unwrap_or(0),
    }
}
