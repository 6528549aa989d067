//! vLLM. Known by who owns its models, or, behind an API key, by its open `/load` route.

use super::adapter::{Adapter, Depth, Inspection, ModelList, VersionAnswer, gauge, health};
use super::found::RuntimeKind;
use super::visit::Visit;
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct Vllm;

#[derive(Deserialize)]
struct Load {
    #[serde(rename = "server_load")]
    _server_load: u64,
}

impl Adapter for Vllm {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Vllm
    }

    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            match visit.get("/v1/models").await {
                Some(seen) if seen.status == 401 => visit.get_json::<Load>("/load").await.is_some(),
                Some(seen) => seen
                    .json()
                    .is_some_and(|list: ModelList| list.owner() == "vllm"),
                None => false,
            }
        })
    }

    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            if !self.recognise(visit).await {
                return None;
            }
            let list: Option<ModelList> = visit.get_json("/v1/models").await;
            let models = list.map(ModelList::loaded).unwrap_or_default();
            let mut inspection = Inspection::new(health(visit, "/health").await, models);
            if depth == Depth::Deep {
                let version: Option<VersionAnswer> = visit.get_json("/version").await;
                inspection.version = version.map(|version| version.version);
                if let Some(metrics) = visit.get("/metrics").await.filter(|m| m.status == 200) {
                    inspection.running = gauge(&metrics.body, "vllm:num_requests_running");
                    inspection.queue = gauge(&metrics.body, "vllm:num_requests_waiting");
                }
            }
            Some(inspection)
        })
    }
}
