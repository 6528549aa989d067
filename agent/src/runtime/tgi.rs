//! Hugging Face Text Generation Inference. Known by the router's name in `/info`, whatever engine is behind it.
//!
//! It tells no share of its KV cache; the tokens of its batch against the most that a batch may have stand for it.

use super::RuntimeKind;
use super::adapter::{Adapter, Depth, Inspection, health};
use super::client::EndpointClient;
use super::metrics::Metrics;
use dgon_protocol::frame::Model;
use dgon_protocol::receipt::Sha256Hash;
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct Tgi;

#[derive(Deserialize)]
struct Info {
    model_id: String,
    #[serde(default)]
    model_sha: Option<String>,
    router: String,
    #[serde(default)]
    version: Option<String>,
}

async fn info(client: &mut EndpointClient) -> Option<Info> {
    let info: Info = client.get_json("/info").await?;
    (info.router == "text-generation-router").then_some(info)
}

impl Adapter for Tgi {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Tgi
    }

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move { info(client).await.is_some() })
    }

    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let info = info(client).await?;
            let model = Model {
                digest: info
                    .model_sha
                    .map(|revision| revision_digest(&info.model_id, &revision)),
                id: info.model_id,
                size_bytes: None,
                loaded: Some(true),
            };
            let mut inspection = Inspection::new(health(client, "/health").await, vec![model]);
            inspection.version = info.version;
            if depth == Depth::Deep {
                let reply = client.get("/metrics").await.filter(|m| m.status == 200);
                if let Some(metrics) = reply.as_ref().and_then(|reply| Metrics::read(&reply.body)) {
                    inspection.running = metrics.count("tgi_batch_current_size");
                    inspection.queue = metrics.count("tgi_queue_size");
                    inspection.kv_cache = fill(&metrics);
                }
            }
            Some(inspection)
        })
    }
}

fn fill(metrics: &Metrics<'_>) -> Option<f32> {
    let used = metrics.count("tgi_batch_current_max_tokens")?;
    let most = metrics.count("tgi_batch_max_total_tokens")?;
    (most > 0).then(|| (used as f32 / most as f32).min(1.0))
}

/// A digest out of a model's name and its revision at the hub, for a runtime that knows no hash of the weights.
fn revision_digest(model: &str, revision: &str) -> String {
    Sha256Hash::of(format!("{model}@{revision}").as_bytes()).to_string()
}
