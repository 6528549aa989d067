//! What runs by itself: committing receipts, writing heartbeats, lifecycle and probes, retention.
//!
//! Each task is idempotent and bounded per run; it wakes by timer and, where waiting would show, by signal.

mod heartbeats;
mod lifecycle;
mod windows;

use crate::app::{App, SessionEnd};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts all tasks. When `stop` is cancelled the open links are told to come back later, and each task
/// finishes what it holds; wait for the tracker to see that.
pub fn spawn(app: &Arc<App>, stop: &CancellationToken) -> TaskTracker {
    let tracker = TaskTracker::new();
    tracker.spawn(crate::ingest::commit::run(Arc::clone(app), stop.clone()));
    tracker.spawn(heartbeats::run(Arc::clone(app), stop.clone()));
    tracker.spawn(lifecycle::run(Arc::clone(app), stop.clone()));
    tracker.spawn(windows::run(Arc::clone(app), stop.clone()));
    tracker.spawn(drain(Arc::clone(app), stop.clone()));
    tracker.close();
    tracker
}

/// Ends all links when the program stops, so that agents come back when it is up again.
async fn drain(app: Arc<App>, stop: CancellationToken) {
    stop.cancelled().await;
    app.sessions.end_all(SessionEnd::Draining);
}
