//! Whatever else lists models as OpenAI does. Asked last, and never taken for the control plane, which answers on
//! llama.cpp's default port and may one day list models too.

use super::adapter::{Adapter, Depth, Inspection, ModelList};
use super::client::EndpointClient;
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

async fn models(client: &mut EndpointClient) -> Option<ModelList> {
    let list: ModelList = client.get_json("/v1/models").await?;
    let is_ours = list.owner().starts_with("dgon");
    (!is_ours && !list.data.is_empty()).then_some(list)
}

impl Adapter for OpenAiCompatible {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::OpenAiCompatible
    }

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            models(client).await.is_some()
                && client
                    .get_json::<ControlPlane>("/api/v1/auth/state")
                    .await
                    .is_none()
        })
    }

    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        _depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let models = models(client).await?.loaded();
            Some(Inspection::new(Readiness::Ready, models))
        })
    }
}
