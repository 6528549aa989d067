//! The network in numbers.

use super::viewing::Viewing;
use crate::app::views::{Summary, Trends};
use crate::http::error::ApiError;
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;

/// The network now and over the last 24 hours.
///
/// # Errors
/// `unauthorized` for strangers while the overview is shut.
#[utoipa::path(get, path = "/api/v1/summary", tag = "network", security((), ("session" = [])),
    responses((status = 200, description = "At most one second old.", body = Summary)))]
pub async fn summary(
    State(state): State<HttpState>,
    _viewing: Viewing,
) -> Result<Json<Summary>, ApiError> {
    let summary = state.app.summary().await?;
    Ok(Json(Summary::clone(&summary)))
}

/// The last 24 hours in steps of 15 minutes.
///
/// # Errors
/// `unauthorized` for strangers while the overview is shut.
#[utoipa::path(get, path = "/api/v1/summary/trends", tag = "network", security((), ("session" = [])),
    responses((status = 200, description = "96 steps, the oldest first.", body = Trends)))]
pub async fn trends(
    State(state): State<HttpState>,
    _viewing: Viewing,
) -> Result<Json<Trends>, ApiError> {
    let trends = state.app.trends().await?;
    Ok(Json(Trends::clone(&trends)))
}
