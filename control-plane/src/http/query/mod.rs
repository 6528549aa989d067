//! Queries: summary, nodes, receipts.

use crate::app::App;
use axum::Router;
use std::sync::Arc;

/// The routes of this module, with full paths.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
}
