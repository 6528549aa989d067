//! HTTP for nodes: enrolment, heartbeats and receipts of any agent in any language.
//!
//! | module | owns |
//! |---|---|
//! | [`auth`] | who a node is: headers, freshness, replay |
//! | `register` | a token and a key become a node |
//! | `heartbeat` | health over HTTP |
//! | `receipts` | receipts over HTTP |
//! | `key` | a node changes its key |
//! | `own` | what a node may know of itself |
//! | [`reserved`] | words that no node may be named with, because they are routes |

pub mod auth;
mod heartbeat;
mod key;
mod own;
mod receipts;
mod register;
pub mod reserved;

use crate::app::App;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use std::sync::Arc;
use utoipa::OpenApi;

/// Largest body of a post of receipts.
pub(crate) const RECEIPTS_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Largest body of every other post of a node.
pub(crate) const SMALL_BODY_BYTES: usize = 64 * 1024;

/// What the OpenAPI document says of these routes.
#[derive(OpenApi)]
#[openapi(paths(
    register::nonce,
    register::register,
    heartbeat::heartbeat,
    key::rotate,
    key::close,
    own::own,
    receipts::receipts,
    crate::link::link
))]
pub(super) struct NodeApi;

/// The routes of this module, with full paths.
pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/nodes/register/nonce", post(register::nonce))
        .route("/api/v1/nodes/register", post(register::register))
        .route("/api/v1/nodes/heartbeat", post(heartbeat::heartbeat))
        .route("/api/v1/nodes/self", get(own::own))
        .route("/api/v1/nodes/key/rotate", post(key::rotate))
        .route("/api/v1/nodes/key/close", post(key::close))
        .route("/api/v1/receipts", post(receipts::receipts))
        // Bodies are read by the handlers, each up to its own limit, after the cheap checks.
        .layer(DefaultBodyLimit::disable())
}
