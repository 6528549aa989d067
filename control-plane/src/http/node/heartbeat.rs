//! Health over HTTP, for agents without a link.

use super::SMALL_BODY_BYTES;
use super::auth::authenticate_body;
use crate::app::{App, Share};
use crate::http::error::ApiError;
use axum::Json;
use axum::extract::{Request, State};
use dgon_protocol::auth::Scheme;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{GpuLoad, Heartbeat, NodeStatus};
use dgon_protocol::id::NodeId;
use http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Deserialize)]
struct HeartbeatPost {
    node_id: NodeId,
    metrics: Metrics,
    /// Unix seconds.
    ts: i64,
}

#[derive(Debug, Deserialize)]
struct Metrics {
    uptime_s: u64,
    gpu_util: f32,
    #[serde(default)]
    temp_c: Option<f32>,
    #[serde(default)]
    vram_used_mb: Option<u64>,
    #[serde(default)]
    power_w: Option<f32>,
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
#[utoipa::path(
    post, path = "/api/v1/nodes/heartbeat", tag = "nodes",
    request_body(content = Object, description = "`{node_id, metrics: {uptime_s, gpu_util, temp_c?, vram_used_mb?, power_w?, queue?}, ts}`"),
    responses((status = 202, description = "`{status, reason}` of the node", body = Object))
)]
pub(super) async fn heartbeat(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, Json<NodeStatus>), ApiError> {
    let (parts, body) = request.into_parts();
    let (node, body) =
        authenticate_body(&app, &parts, body, SMALL_BODY_BYTES, Share::Nodes).await?;
    let post: HeartbeatPost = serde_json::from_slice(&body.bytes).map_err(|error| {
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
