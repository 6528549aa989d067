//! Triton Inference Server, known by its name at `/v2`, and its OpenAI frontend, known by who owns its models.
//!
//! Metrics are two ports above the HTTP port. Those of the TensorRT-LLM backend tell its load; without that
//! backend the requests that wait in Triton itself are all that is known.

use super::Endpoint;
use super::adapter::{Adapter, Depth, Inspection, ModelList, health};
use super::metrics::Metrics;
use super::visit::Visit;
use super::{Readiness, RuntimeKind};
use dgon_protocol::frame::Model;
use futures_util::future::BoxFuture;
use serde::Deserialize;

/// The server with the `/v2` routes.
pub(super) struct Triton;

/// The OpenAI server that may stand before it.
pub(super) struct OpenAiFrontend;

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

impl Indexed {
    fn is(&self, state: &str) -> bool {
        self.state.as_deref() == Some(state)
    }
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
            let ready = visit.get("/v2/health/ready").await;
            let index: Option<Vec<Indexed>> = visit.post_json("/v2/repository/index").await;
            let index = index.unwrap_or_default();
            let readiness = match ready {
                Some(seen) if seen.status == 200 => Readiness::Ready,
                // Readiness is strict: one model that is not there makes the server not ready.
                _ if index.iter().any(|model| model.is("LOADING")) => Readiness::Loading,
                Some(_) => Readiness::Unready {
                    reason: "a model of its repository is not ready".to_owned(),
                },
                None => Readiness::Unready {
                    reason: "/v2/health/ready does not answer".to_owned(),
                },
            };
            let models = index
                .into_iter()
                .filter(|model| !model.is("UNAVAILABLE") && !model.is("UNLOADING"))
                .map(|model| Model {
                    loaded: Some(model.is("READY")),
                    id: model.name,
                    digest: None,
                    size_bytes: None,
                });
            let mut inspection = Inspection::new(readiness, models.collect());
            inspection.version = server.version;
            if depth == Depth::Deep {
                read_load(visit, &mut inspection).await;
            }
            Some(inspection)
        })
    }
}

async fn read_load(visit: &Visit, inspection: &mut Inspection) {
    let Some(port) = visit.endpoint().port().checked_add(METRICS_OFFSET) else {
        return;
    };
    // The metrics port speaks plain HTTP and takes no key.
    let endpoint = Endpoint::new(visit.endpoint().host(), port);
    let mut visit = Visit::new(endpoint, Default::default());
    let seen = visit.get("/metrics").await.filter(|m| m.status == 200);
    let Some(metrics) = seen.as_ref().and_then(|seen| Metrics::read(&seen.body)) else {
        return;
    };
    let requests = |kind| metrics.count_of("nv_trt_llm_request_metrics", kind);
    let blocks = |kind| metrics.count_of("nv_trt_llm_kv_cache_block_metrics", kind);
    let pending = metrics.count("nv_inference_pending_request_count");
    // Requests wait in Triton before its backend takes them, and in the backend after.
    inspection.queue = pending
        .into_iter()
        .chain(requests("request_type=\"waiting\""))
        .reduce(u32::saturating_add);
    inspection.running = requests("request_type=\"scheduled\"");
    inspection.kv_cache = metrics
        .share_of(
            "nv_trt_llm_kv_cache_block_metrics",
            "kv_cache_block_type=\"fraction\"",
        )
        // Older backends tell blocks alone.
        .or_else(|| {
            let (used, most) = (
                blocks("kv_cache_block_type=\"used\"")?,
                blocks("kv_cache_block_type=\"max\"")?,
            );
            (most > 0).then(|| (used as f32 / most as f32).min(1.0))
        });
}

impl Adapter for OpenAiFrontend {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::TritonOpenAi
    }

    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool> {
        Box::pin(async move { frontend_models(visit).await.is_some() })
    }

    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
        _depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let models = frontend_models(visit).await?.loaded();
            let readiness = health(visit, "/health/ready").await;
            Some(Inspection::new(readiness, models))
        })
    }
}

async fn frontend_models(visit: &mut Visit) -> Option<ModelList> {
    let list: ModelList = visit.get_json("/v1/models").await?;
    (list.owner() == "Triton Inference Server").then_some(list)
}
