//! Triton Inference Server. Known by its name at `/v2`. Its metrics are two ports above its HTTP port.

use super::Endpoint;
use super::adapter::{Adapter, Depth, Inspection, gauge};
use super::found::{Readiness, RuntimeKind};
use super::visit::Visit;
use dgon_protocol::frame::Model;
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct Triton;

/// From the HTTP port to the metrics port, as they are by default.
const METRICS_OFFSET: u16 = 2;

#[derive(Deserialize)]
struct Server {
    name: String,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct Indexed {
    name: String,
    #[serde(default)]
    state: Option<String>,
}

async fn server(visit: &mut Visit) -> Option<Server> {
    let server: Server = visit.get_json("/v2").await?;
    (server.name == "triton").then_some(server)
}

impl Adapter for Triton {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Triton
    }

    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool> {
        Box::pin(async move { server(visit).await.is_some() })
    }

    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let server = server(visit).await?;
            let readiness = match visit.get("/v2/health/ready").await {
                Some(seen) if seen.status == 200 => Readiness::Ready,
                _ => Readiness::Unready {
                    reason: "a model of its repository is not ready".to_owned(),
                },
            };
            let index: Option<Vec<Indexed>> = visit.post_json("/v2/repository/index").await;
            let models = index.unwrap_or_default().into_iter();
            let models = models
                .filter(|model| model.state.as_deref() != Some("UNAVAILABLE"))
                .map(|model| Model {
                    loaded: Some(model.state.as_deref() == Some("READY")),
                    id: model.name,
                    digest: None,
                    size_bytes: None,
                });
            let mut inspection = Inspection::new(readiness, models.collect());
            inspection.version = server.version;
            if depth == Depth::Deep {
                inspection.queue = pending(visit.endpoint()).await;
            }
            Some(inspection)
        })
    }
}

async fn pending(endpoint: &Endpoint) -> Option<u32> {
    let port = endpoint.port().checked_add(METRICS_OFFSET)?;
    let mut metrics = Visit::new(Endpoint::new(endpoint.host(), port));
    let metrics = metrics.get("/metrics").await.filter(|m| m.status == 200)?;
    gauge(&metrics.body, "nv_inference_pending_request_count")
}
