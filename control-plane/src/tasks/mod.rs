//! What runs by itself: committing receipts, writing heartbeats and uses of API keys, lifecycle and probes, keys of
//! work orders, retention.
//!
//! Each task is idempotent and bounded per run; it wakes by timer and, where waiting would show, by signal. None may
//! end by itself: [`crate::supervisor`] watches each.

mod closing;
pub mod database_lock;
mod heartbeats;
mod key_uses;
mod lifecycle;
mod log;
mod order_keys;
mod retention;
mod sealing;
mod windows;

use crate::app::{App, SessionEnd};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts all tasks. When `stop` is cancelled the open links are told to come back later, and each task
/// finishes what it holds; wait for the tracker to see that.
pub fn spawn(app: &Arc<App>, stop: &CancellationToken) -> TaskTracker {
    let tracker = TaskTracker::new();
    let start = |name, task| start(&tracker, app, stop, name, task);
    start(
        "committer",
        Box::pin(crate::ingest::commit::run(Arc::clone(app), stop.clone())),
    );
    start(
        "heartbeats",
        Box::pin(heartbeats::run(Arc::clone(app), stop.clone())),
    );
    start(
        "lifecycle",
        Box::pin(lifecycle::run(Arc::clone(app), stop.clone())),
    );
    start(
        "windows",
        Box::pin(windows::run(Arc::clone(app), stop.clone())),
    );
    start(
        "API keys",
        Box::pin(key_uses::run(Arc::clone(app), stop.clone())),
    );
    start("drain", Box::pin(drain(Arc::clone(app), stop.clone())));
    start(
        "retention",
        Box::pin(retention::run(Arc::clone(app), stop.clone())),
    );
    start(
        "closing",
        Box::pin(closing::run(Arc::clone(app), stop.clone())),
    );
    start(
        "sealing",
        Box::pin(sealing::run(Arc::clone(app), stop.clone())),
    );
    start(
        "order keys",
        Box::pin(order_keys::run(Arc::clone(app), stop.clone())),
    );
    start(
        "write-ahead log",
        Box::pin(log::run(Arc::clone(app), stop.clone())),
    );
    tracker.close();
    tracker
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts one task under the supervisor of `app`.
pub(crate) fn start(
    tracker: &TaskTracker,
    app: &Arc<App>,
    stop: &CancellationToken,
    name: &'static str,
    task: Task,
) {
    let (app, stop) = (Arc::clone(app), stop.clone());
    tracker.spawn(async move { app.supervisor.watch(name, &stop, task).await });
}

/// Ends all links when the program stops, so that agents come back when it is up again.
async fn drain(app: Arc<App>, stop: CancellationToken) {
    stop.cancelled().await;
    app.sessions.end_all(SessionEnd::Draining);
}
