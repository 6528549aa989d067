//! The regions of the network.

use super::viewing::Viewing;
use crate::app::views::Regions;
use crate::http::error::ApiError;
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;

/// The regions that nodes can be in, and how many nodes each has.
///
/// # Errors
/// `unauthorized` for strangers while the overview is shut; `unavailable` where they could not be counted a moment ago.
#[utoipa::path(get, path = "/api/v1/regions", tag = "network", security((), ("session" = [])),
    responses((status = 200, description = "In the order of the configuration; at most one second old.", body = Regions)))]
pub async fn regions(
    State(state): State<HttpState>,
    _viewing: Viewing,
) -> Result<Json<Regions>, ApiError> {
    let regions = state.app.regions().await?;
    Ok(Json(Regions::clone(&regions)))
}
