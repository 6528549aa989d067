//! Whatever else lists models as OpenAI does. Asked last, and never taken for the control plane, which answers on
//! llama.cpp's default port and may one day list models too.

use super::adapter::{Adapter, Depth, Inspection, ModelList};
use super::visit::Visit;
use super::{Readiness, RuntimeKind};
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct OpenAiCompatible;

/// What the control plane tells anybody.
#[derive(Deserialize)]
struct ControlPlane {
    #[serde(rename = "setup_needed")]
    _setup_needed: bool,
}

async fn models(visit: &mut Visit) -> Option<ModelList> {
    let list: ModelList = visit.get_json("/v1/models").await?;
    let is_ours = list.owner().starts_with("dgon");
    (!is_ours && !list.data.is_empty()).then_some(list)
}

impl Adapter for OpenAiCompatible {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::OpenAiCompatible
    }

    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            models(visit).await.is_some()
                && visit
                    .get_json::<ControlPlane>("/api/v1/auth/state")
                    .await
                    .is_none()
        })
    }

    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
        _depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let models = models(visit).await?.loaded();
            Some(Inspection::new(Readiness::Ready, models))
        })
    }
}
