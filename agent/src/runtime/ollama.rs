//! Ollama. Known by the text of its root page, never by `/api/tags`, which others imitate.
//!
//! It has no readiness beyond living, for it loads models on demand, and tells no queue: what runs is what the
//! proxy sees. `/api/ps` tells what is loaded.

use super::adapter::{Adapter, Depth, Inspection, VersionAnswer};
use super::client::EndpointClient;
use super::{Readiness, RuntimeKind};
use dgon_agent_core::request::ollama_name::is_cloud_name;
use dgon_protocol::frame::Model;
use futures_util::future::BoxFuture;
use serde::Deserialize;

pub(super) struct Ollama;

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    models: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    #[serde(default)]
    digest: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    remote_host: Option<String>,
    #[serde(default)]
    remote_model: Option<String>,
}

/// Whether the root page is Ollama's.
async fn says_so(client: &mut EndpointClient) -> bool {
    let root = client.get("/").await;
    root.is_some_and(|reply| reply.status == 200 && reply.body.trim_ascii() == b"Ollama is running")
}

impl Adapter for Ollama {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Ollama
    }

    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool> {
        Box::pin(async move {
            says_so(client).await
                && client
                    .get_json::<VersionAnswer>("/api/version")
                    .await
                    .is_some()
        })
    }

    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>> {
        Box::pin(async move {
            let reply = client.get("/api/tags").await?;
            // Ollama names no server. A gateway in front of it may; or something else, that imitates its lists, has
            // taken the port.
            if reply.server.is_some() && !says_so(client).await {
                return None;
            }
            let tags: Tags = reply.json()?;
            let loaded: Tags = client.get_json("/api/ps").await?;
            let loaded = loaded.models.unwrap_or_default();
            // Remote models run on somebody else's machine: they are not this node's.
            let (remote, local): (Vec<_>, Vec<_>) = tags
                .models
                .unwrap_or_default()
                .into_iter()
                .partition(Tag::is_remote);
            let models = local.into_iter().map(|tag| tag.model(&loaded)).collect();
            let mut inspection = Inspection::new(Readiness::Ready, models);
            inspection.remote_models = remote.into_iter().map(|tag| tag.name).collect();
            if depth == Depth::Deep {
                let version: VersionAnswer = client.get_json("/api/version").await?;
                inspection.version = Some(version.version);
            }
            Some(inspection)
        })
    }
}

impl Tag {
    fn is_remote(&self) -> bool {
        let named = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        named(&self.remote_host) || named(&self.remote_model) || is_cloud_name(&self.name)
    }

    fn model(self, loaded: &[Self]) -> Model {
        let is_digest = self.digest.len() == 64
            && self
                .digest
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        Model {
            loaded: Some(loaded.iter().any(|other| other.name == self.name)),
            digest: is_digest.then(|| format!("sha256:{}", self.digest)),
            size_bytes: self.size,
            id: self.name,
        }
    }
}
