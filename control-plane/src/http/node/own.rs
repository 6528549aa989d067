//! What a node may know of itself: lets `dgon-agent doctor` see that its identity works.

use super::auth::authenticate;
use crate::app::App;
use crate::http::error::ApiError;
use axum::Json;
use axum::extract::{Request, State};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{LifecycleStatus, NodeStatus};
use dgon_protocol::id::NodeId;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Answer of `GET /api/v1/nodes/self`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = node::Own)]
pub(super) struct Own {
    /// Who the caller is.
    node_id: NodeId,
    /// How it stands.
    status: LifecycleStatus,
    /// Why, from a closed list.
    status_reason: String,
    /// Every receipt up to this `seq` is durable or refused; 0 where there is none.
    acked_seq: u64,
    /// The server's clock, RFC 3339.
    #[schema(format = DateTime)]
    server_time: String,
    /// The same, unix ms.
    server_time_ms: i64,
}

/// The node that asks.
///
/// # Errors
/// `unauthorized`, `stale_timestamp`, `replayed_request`; `not_found` for one that was just removed.
#[utoipa::path(
    get, path = "/api/v1/nodes/self", tag = "nodes",
    responses((status = 200, description = "Who it is, and how it stands.", body = Own))
)]
pub(super) async fn own(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Own>, ApiError> {
    let (parts, _) = request.into_parts();
    let node_id = authenticate(&app, &parts).await?.node_id;
    let missing = || ApiError::new(ErrorType::NotFound, "no such node");
    let acked_seq = app.acked_seq(&node_id).await?.ok_or_else(missing)?;
    let NodeStatus { status, reason } = app.lifecycles.get(&node_id).ok_or_else(missing)?.status();
    let now_ms = app.clock.now_ms();
    Ok(Json(Own {
        node_id,
        status,
        status_reason: reason.into(),
        acked_seq,
        server_time: crate::app::views::time(now_ms),
        server_time_ms: now_ms,
    }))
}
