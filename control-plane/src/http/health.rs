//! For load balancers: whether the process lives, and whether it can serve.

use super::state::HttpState;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Health of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// `ok` or `unavailable`.
    pub status: String,
    /// Version of the control plane.
    pub version: String,
    /// What cannot serve: `database_read`, `database_write`, `database_lock`, `migrations`, `sums_behind` (sums cannot be written,
    /// and receipts wait at their agents), or `task:NAME` for a part of the server that ended. Empty when all can.
    pub failing: Vec<String>,
}

fn health(failing: Vec<String>) -> (StatusCode, Json<Health>) {
    let (code, status) = match failing.is_empty() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    let health = Health {
        status: status.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        failing,
    };
    (code, Json(health))
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, description = "The process lives.", body = Health)))]
pub async fn healthz() -> (StatusCode, Json<Health>) {
    health(Vec::new())
}

/// The server can do its work: the database takes a write and a read, its schema is whole, and every task runs.
///
/// The attempts are shared: of each at most one is under way, and its result is good for a second.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, description = "Requests can be served.", body = Health),
        (status = 503, description = "Something that is needed fails.", body = Health)))]
pub async fn readyz(State(state): State<HttpState>) -> (StatusCode, Json<Health>) {
    health(state.app.failing().await)
}
