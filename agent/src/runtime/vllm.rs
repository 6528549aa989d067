//! vLLM. Known by who owns its models, or, where the list is closed (it asks for an API key, a gateway hides it),
//! by its open `/load` route.

use super::RuntimeKind;
use super::adapter::{Adapter, Depth, Inspection, ModelList, VersionAnswer, health};
use super::client::EndpointClient;
use super::metrics::Metrics;
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

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            match client.get("/v1/models").await {
                Some(reply) if reply.status == 200 => reply
                    .json()
                    .is_some_and(|list: ModelList| list.owner() == "vllm"),
                Some(_) => client.get_json::<Load>("/load").await.is_some(),
                None => false,
            }
        })
    }

    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            if !self.recognise(client).await {
                return None;
            }
            let list: Option<ModelList> = client.get_json("/v1/models").await;
            let models = list.map(ModelList::loaded).unwrap_or_default();
            let mut inspection = Inspection::new(health(client, "/health").await, models);
            inspection.asks_for_key = client.is_closed("/v1/models").await;
            if depth == Depth::Deep {
                let version: Option<VersionAnswer> = client.get_json("/version").await;
                inspection.version = version.map(|version| version.version);
                let reply = client.get("/metrics").await;
                let reply = reply.filter(|reply| reply.status == 200);
                if let Some(metrics) = reply.as_ref().and_then(|reply| Metrics::read(&reply.body)) {
                    inspection.running = metrics.count("vllm:num_requests_running");
                    inspection.queue = metrics.count("vllm:num_requests_waiting");
                    // The second name is that of 2025 and before.
                    inspection.kv_cache = metrics
                        .share("vllm:kv_cache_usage_perc")
                        .or_else(|| metrics.share("vllm:gpu_cache_usage_perc"));
                }
            }
            Some(inspection)
        })
    }
}
