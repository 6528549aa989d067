//! TensorRT-LLM's own server, `trtllm-serve`. Known by who owns its model, or, where the list is closed, by its
//! version and its `/server_info`.
//!
//! `/health_generate` runs the model, `/metrics` and `/perf_metrics` empty a queue: none of them is ever asked for.
//! Load comes from `/prometheus/metrics`, which is there with `return_perf_metrics` alone; versions before the
//! `trtllm_` names tell no load there.

use super::RuntimeKind;
use super::adapter::{Adapter, Depth, Inspection, ModelList, VersionAnswer, health};
use super::client::EndpointClient;
use super::metrics::Metrics;
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct TensorrtLlm;

/// `/server_info`: an object, whatever is in it.
#[derive(Deserialize)]
struct ServerInfo {}

impl Adapter for TensorrtLlm {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::TensorrtLlm
    }

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            match client.get("/v1/models").await {
                Some(reply) if reply.status == 200 => reply
                    .json()
                    .is_some_and(|list: ModelList| list.owner() == "tensorrt_llm"),
                // vLLM, which has these routes too, was asked before for what it alone has.
                Some(_) => {
                    client.get_json::<VersionAnswer>("/version").await.is_some()
                        && client
                            .get_json::<ServerInfo>("/server_info")
                            .await
                            .is_some()
                }
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
                let reply = client.get("/prometheus/metrics").await;
                let reply = reply.filter(|reply| reply.status == 200);
                if let Some(metrics) = reply.as_ref().and_then(|reply| Metrics::read(&reply.body)) {
                    inspection.running = metrics.count("trtllm_num_requests_running");
                    inspection.queue = metrics.count("trtllm_num_requests_waiting");
                    inspection.kv_cache = metrics.share("trtllm_kv_cache_utilization");
                }
            }
            Some(inspection)
        })
    }
}
