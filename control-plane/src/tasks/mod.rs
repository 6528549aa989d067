//! What runs by itself: committing receipts, writing heartbeats, lifecycle and probes, retention.

use crate::app::App;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts all tasks. They end when `stop` is cancelled; wait for the tracker to see them finish their work.
pub fn spawn(app: &Arc<App>, stop: &CancellationToken) -> TaskTracker {
    let tracker = TaskTracker::new();
    tracker.spawn(crate::ingest::commit::run(Arc::clone(app), stop.clone()));
    tracker.close();
    tracker
}
