//! llama.cpp's `llama-server`. Known by the `Server` header that stands on each of its answers, also while it
//! loads its model and answers 503 to everything; behind a reverse proxy that rewrites it, by who owns its model.
//!
//! Its `/metrics` is not read: a scrape resets gauges that the owner may watch. Load comes from `/slots`. Its model
//! file is not hashed: that would read tens of gigabytes from the owner's disk for one line of a receipt.

use super::adapter::{Adapter, Depth, Inspection, ModelList};
use super::client::{EndpointClient, Reply};
use super::{Readiness, RuntimeKind};
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct LlamaCpp;

const SERVER: &str = "llama.cpp";

#[derive(Deserialize)]
struct Props {
    #[serde(default)]
    build_info: Option<String>,
}

/// What one slot works on.
#[derive(Deserialize)]
struct Slot {
    #[serde(default)]
    is_processing: bool,
    #[serde(default)]
    n_ctx: u64,
    #[serde(default)]
    n_prompt_tokens: u64,
    #[serde(default)]
    next_token: Vec<NextToken>,
}

#[derive(Deserialize)]
struct NextToken {
    #[serde(default)]
    n_decoded: u64,
}

fn is_llama(reply: &Reply) -> bool {
    reply.server.as_deref() == Some(SERVER)
}

impl Adapter for LlamaCpp {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::LlamaCpp
    }

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            if client.get("/").await.is_some_and(|reply| is_llama(&reply)) {
                return true;
            }
            // A reverse proxy may have rewritten the header.
            let list: Option<ModelList> = client.get_json("/v1/models").await;
            list.is_some_and(|list| list.owner() == "llamacpp")
        })
    }

    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let health = client.get("/health").await?;
            let readiness = match health.status {
                200 => Readiness::Ready,
                503 => Readiness::Loading,
                status => Readiness::Unready {
                    reason: format!("/health answers {status}"),
                },
            };
            if readiness == Readiness::Loading {
                return is_llama(&health).then(|| Inspection::new(readiness, Vec::new()));
            }
            let list = client.get("/v1/models").await?;
            let known = is_llama(&list);
            let models: Option<ModelList> = list.json();
            if !known
                && models
                    .as_ref()
                    .is_none_or(|list| list.owner() != "llamacpp")
            {
                return None;
            }
            // Behind an API key the list is closed; the server is there all the same.
            let models = models.map(ModelList::loaded).unwrap_or_default();
            let mut inspection = Inspection::new(readiness, models);
            inspection.asks_for_key = list.status == 401;
            if depth == Depth::Deep && !inspection.asks_for_key {
                let props: Option<Props> = client.get_json("/props").await;
                inspection.version = props.and_then(|props| props.build_info);
                let slots: Option<Vec<Slot>> = client.get_json("/slots").await;
                inspection.running = slots.as_deref().map(busy);
                inspection.kv_cache = slots.as_deref().and_then(fill);
            }
            Some(inspection)
        })
    }
}

fn busy(slots: &[Slot]) -> u32 {
    let busy = slots.iter().filter(|slot| slot.is_processing).count();
    u32::try_from(busy).unwrap_or(u32::MAX)
}

/// Share of all slots' windows that the busy ones fill: what `/slots` tells of the KV cache.
fn fill(slots: &[Slot]) -> Option<f32> {
    let window: u64 = slots.iter().map(|slot| slot.n_ctx).sum();
    let used: u64 = slots
        .iter()
        .filter(|slot| slot.is_processing)
        .map(|slot| {
            let decoded: u64 = slot.next_token.iter().map(|next| next.n_decoded).sum();
            slot.n_prompt_tokens.saturating_add(decoded).min(slot.n_ctx)
        })
        .sum();
    (window > 0).then(|| used as f32 / window as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_slots_fill_the_cache() {
        let slots: Vec<Slot> = serde_json::from_str(
            r#"[{"n_ctx":512,"is_processing":true,"n_prompt_tokens":100,"next_token":[{"n_decoded":28}]},
                {"n_ctx":512,"is_processing":false,"n_prompt_tokens":400}]"#,
        )
        .unwrap();
        assert_eq!((busy(&slots), fill(&slots)), (1, Some(0.125)));
        assert_eq!(fill(&[]), None);
    }
}
