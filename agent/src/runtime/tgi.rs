//! Hugging Face Text Generation Inference. Known by the router's name in `/info`, whatever engine is behind it.

use super::adapter::{Adapter, Depth, Inspection, gauge, health};
use super::found::RuntimeKind;
use super::visit::Visit;
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

async fn info(visit: &mut Visit) -> Option<Info> {
    let info: Info = visit.get_json("/info").await?;
    (info.router == "text-generation-router").then_some(info)
}

impl Adapter for Tgi {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Tgi
    }

    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool> {
        Box::pin(async move { info(visit).await.is_some() })
    }

    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let info = info(visit).await?;
            let model = Model {
                digest: info
                    .model_sha
                    .map(|revision| revision_digest(&info.model_id, &revision)),
                id: info.model_id,
                size_bytes: None,
                loaded: Some(true),
            };
            let mut inspection = Inspection::new(health(visit, "/health").await, vec![model]);
            inspection.version = info.version;
            if depth == Depth::Deep
                && let Some(metrics) = visit.get("/metrics").await.filter(|m| m.status == 200)
            {
                inspection.running = gauge(&metrics.body, "tgi_batch_current_size");
                inspection.queue = gauge(&metrics.body, "tgi_queue_size");
            }
            Some(inspection)
        })
    }
}

/// A digest out of a model's name and its revision at the hub, for a runtime that knows no hash of the weights.
fn revision_digest(model: &str, revision: &str) -> String {
    Sha256Hash::of(format!("{model}@{revision}").as_bytes()).to_string()
}
