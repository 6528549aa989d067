//! llama.cpp's `llama-server`. Known by the `Server` header that stands on each of its answers, also while it
//! loads its model and answers 503 to everything.
//!
//! Its `/metrics` is not read: a scrape resets gauges that the owner may watch.

use super::adapter::{Adapter, Depth, Inspection, ModelList};
use super::found::{Readiness, RuntimeKind};
use super::visit::{Seen, Visit};
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct LlamaCpp;

const SERVER: &str = "llama.cpp";

#[derive(Deserialize)]
struct Props {
    #[serde(default)]
    build_info: Option<String>,
}

#[derive(Deserialize)]
struct Slot {
    #[serde(default)]
    is_processing: bool,
}

fn is_llama(seen: &Seen) -> bool {
    seen.server.as_deref() == Some(SERVER)
}

impl Adapter for LlamaCpp {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::LlamaCpp
    }

    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            if visit.get("/").await.is_some_and(|seen| is_llama(&seen)) {
                return true;
            }
            // A reverse proxy may have rewritten the header.
            let list: Option<ModelList> = visit.get_json("/v1/models").await;
            list.is_some_and(|list| list.owner() == "llamacpp")
        })
    }

    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let health = visit.get("/health").await?;
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
            let list = visit.get("/v1/models").await?;
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
            if depth == Depth::Deep {
                let props: Option<Props> = visit.get_json("/props").await;
                inspection.version = props.and_then(|props| props.build_info);
                let slots: Option<Vec<Slot>> = visit.get_json("/slots").await;
                inspection.running = slots.map(|slots| {
                    let busy = slots.iter().filter(|slot| slot.is_processing).count();
                    u32::try_from(busy).unwrap_or(u32::MAX)
                });
            }
            Some(inspection)
        })
    }
}
