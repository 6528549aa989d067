//! Triton Inference Server, known by its name at `/v2`, and its OpenAI frontend, known by who owns its models.
//!
//! Metrics are two ports above the HTTP port. Those of the TensorRT-LLM backend tell its load; without that
//! backend the requests that wait in Triton itself are all that is known.

use super::Endpoint;
use super::adapter::{Adapter, Depth, Inspection, ModelList, health};
use super::client::EndpointClient;
use super::metrics::Metrics;
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

async fn server(client: &mut EndpointClient) -> Option<Server> {
    let server: Server = client.get_json("/v2").await?;
    (server.name == "triton").then_some(server)
}

impl Adapter for Triton {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Triton
    }

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move { server(client).await.is_some() })
    }

    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let server = server(client).await?;
            let ready = client.get("/v2/health/ready").await;
            let index: Option<Vec<Indexed>> = client.post_json("/v2/repository/index").await;
            let index = index.unwrap_or_default();
            let readiness = match ready {
                Some(reply) if reply.status == 200 => Readiness::Ready,
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
                read_load(client, &mut inspection).await;
            }
            Some(inspection)
        })
    }
}

async fn read_load(client: &EndpointClient, inspection: &mut Inspection) {
    let Some(port) = client.endpoint().port().checked_add(METRICS_OFFSET) else {
        return;
    };
    // The metrics port speaks plain HTTP and takes no key.
    let endpoint = Endpoint::new(client.endpoint().host(), port);
    let mut client = EndpointClient::new(endpoint, Default::default());
    let reply = client.get("/metrics").await.filter(|m| m.status == 200);
    let Some(metrics) = reply.as_ref().and_then(|reply| Metrics::read(&reply.body)) else {
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

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move { frontend_models(client).await.is_some() })
    }

    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        _depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let models = frontend_models(client).await?.loaded();
            let readiness = health(client, "/health/ready").await;
            Some(Inspection::new(readiness, models))
        })
    }
}

async fn frontend_models(client: &mut EndpointClient) -> Option<ModelList> {
    let list: ModelList = client.get_json("/v1/models").await?;
    (list.owner() == "Triton Inference Server").then_some(list)
}
