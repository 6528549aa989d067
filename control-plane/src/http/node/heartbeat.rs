//! Health over HTTP, for agents without a link.

use super::SMALL_BODY_BYTES;
use super::auth::authenticate_body;
use crate::app::{App, Share};
use crate::http::error::ApiError;
use crate::http::extract::{Object, object};
use axum::Json;
use axum::extract::{Request, State};
use dgon_protocol::auth::Scheme;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{GpuLoad, Heartbeat, NodeStatus};
use dgon_protocol::id::NodeId;
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A heartbeat of a third-party agent.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = node::HeartbeatPost)]
pub(super) struct HeartbeatPost {
    /// The node that sends it.
    node_id: NodeId,
    /// How it is.
    #[serde(deserialize_with = "object")]
    metrics: Metrics,
    /// Unix seconds. With v1 it must rise.
    ts: i64,
}

/// How a node with one GPU is; unknown is absent.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = node::Metrics)]
struct Metrics {
    /// Since the agent started, s.
    uptime_s: u64,
    /// Utilisation of the GPU, percent.
    gpu_util: f32,
    /// Its temperature, °C.
    #[serde(default)]
    temp_c: Option<f32>,
    /// Its memory in use, MiB.
    #[serde(default)]
    vram_used_mb: Option<u64>,
    /// Its power, W.
    #[serde(default)]
    power_w: Option<f32>,
    /// Requests that wait in the runtime.
    #[serde(default)]
    queue: Option<u32>,
}

impl Metrics {
    fn into_heartbeat(self) -> Heartbeat {
        Heartbeat {
            uptime_s: self.uptime_s,
            gpus: vec![GpuLoad {
                index: 0,
                util_pct: Some(self.gpu_util),
                vram_used_mib: self.vram_used_mb,
                temp_c: self.temp_c,
                power_w: self.power_w,
                ..GpuLoad::default()
            }],
            queue: self.queue,
            ..Heartbeat::default()
        }
    }
}

/// Takes a heartbeat.
///
/// # Errors
/// `unauthorized`, `stale_timestamp`, `replayed_request`; `wrong_node` for the heartbeat of another node, `not_found` for one that
/// was just removed.
#[utoipa::path(
    post, path = "/api/v1/nodes/heartbeat", tag = "nodes", request_body = HeartbeatPost,
    responses((status = 202, description = "How the node stands.", body = NodeStatus))
)]
pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, Json<NodeStatus>), ApiError> {
    let (parts, body) = request.into_parts();
    let (node, body) =
        authenticate_body(&app, &parts, body, SMALL_BODY_BYTES, Share::Nodes).await?;
    let Object(post): Object<HeartbeatPost> =
        serde_json::from_slice(&body.bytes).map_err(|error| {
            ApiError::new(
                ErrorType::InvalidRequest,
                format!("not a heartbeat: {error}"),
            )
        })?;
    if post.node_id != node.node_id {
        let message = "the heartbeat names another node than X-Node-ID";
        return Err(ApiError::new(ErrorType::WrongNode, message));
    }
    let sent_ms = post.ts.saturating_mul(1000);
    if !app.presence.advance_http_clock(&node.node_id, sent_ms) && node.scheme == Scheme::V1 {
        let message = "a heartbeat of this time or later was seen before; ts must rise";
        return Err(ApiError::new(ErrorType::ReplayedRequest, message));
    }
    app.heard(&node.node_id, post.metrics.into_heartbeat());
    let life = app.lifecycles.get(&node.node_id);
    let status = life
        .ok_or_else(|| ApiError::new(ErrorType::NotFound, "no such node"))?
        .status();
    Ok((StatusCode::ACCEPTED, Json(status)))
}
