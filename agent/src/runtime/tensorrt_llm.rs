//! TensorRT-LLM's own server, `trtllm-serve`. Known by who owns its model.
//!
//! `/health_generate` runs the model, `/metrics` and `/perf_metrics` empty a queue: none of them is ever asked for.

use super::adapter::{Adapter, Depth, Inspection, ModelList, VersionAnswer, gauge, health};
use super::found::RuntimeKind;
use super::visit::Visit;
use futures_util::future::BoxFuture;

pub(super) struct TensorrtLlm;

async fn models(visit: &mut Visit) -> Option<ModelList> {
    let list: ModelList = visit.get_json("/v1/models").await?;
    (list.owner() == "tensorrt_llm").then_some(list)
}

impl Adapter for TensorrtLlm {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::TensorrtLlm
    }

    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool> {
        Box::pin(async move { models(visit).await.is_some() })
    }

    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let models = models(visit).await?.loaded();
            let mut inspection = Inspection::new(health(visit, "/health").await, models);
            if depth == Depth::Deep {
                let version: Option<VersionAnswer> = visit.get_json("/version").await;
                inspection.version = version.map(|version| version.version);
                let metrics = visit.get("/prometheus/metrics").await;
                if let Some(metrics) = metrics.filter(|m| m.status == 200) {
                    inspection.running = gauge(&metrics.body, "trtllm_num_requests_running");
                    inspection.queue = gauge(&metrics.body, "trtllm_num_requests_waiting");
                }
            }
            Some(inspection)
        })
    }
}
