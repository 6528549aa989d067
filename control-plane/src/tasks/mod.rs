//! What runs by itself: writing heartbeats, lifecycle and probes, retention.

use crate::app::App;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Starts all tasks; they end when `stop` is cancelled.
pub fn spawn(_app: &Arc<App>, _stop: &CancellationToken) {}
