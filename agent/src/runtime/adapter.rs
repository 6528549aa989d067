//! What every kind of runtime must answer for itself. A new kind is a new file, its name in [`RuntimeKind`] and a
//! line in [`ADAPTERS`].

use super::client::{EndpointClient, Reply};
use super::{FoundRuntime, Readiness, RuntimeKind};
use super::{llama_cpp, ollama, openai_compatible, tensorrt_llm, tgi, triton, vllm};
use dgon_protocol::frame::Model;
use futures_util::future::BoxFuture;
use serde::Deserialize;

/// One kind of runtime.
pub(super) trait Adapter: Sync {
    /// Which kind.
    fn kind(&self) -> RuntimeKind;

    /// Whether the endpoint is this kind beyond doubt. Weak signals never decide.
    fn recognise<'v>(&'v self, client: &'v mut EndpointClient) -> BoxFuture<'v, bool>;

    /// What the runtime is like now; `None` where it no longer answers as this kind.
    fn inspect<'v>(
        &'v self,
        client: &'v mut EndpointClient,
        depth: Depth,
    ) -> BoxFuture<'v, Option<Inspection>>;
}

/// How much to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Readiness and models.
    Shallow,
    /// Version and metrics too: they change rarely or cost the runtime something.
    Deep,
}

/// What an adapter saw.
#[derive(Debug)]
pub(super) struct Inspection {
    /// Absent in a shallow look.
    pub(super) version: Option<String>,
    pub(super) readiness: Readiness,
    pub(super) models: Vec<Model>,
    /// Models that it lists and has served elsewhere.
    pub(super) remote_models: Vec<String>,
    /// Absent in a shallow look.
    pub(super) running: Option<u32>,
    /// Absent in a shallow look.
    pub(super) queue: Option<u32>,
    /// Absent in a shallow look.
    pub(super) kv_cache: Option<f32>,
    /// Whether its list of models was closed to us.
    pub(super) asks_for_key: bool,
}

impl Inspection {
    pub(super) fn new(readiness: Readiness, models: Vec<Model>) -> Self {
        Self {
            version: None,
            readiness,
            models,
            remote_models: Vec::new(),
            running: None,
            queue: None,
            kv_cache: None,
            asks_for_key: false,
        }
    }

    /// The runtime, with what a shallow look left out taken over from the last one.
    pub(super) fn found(
        self,
        kind: RuntimeKind,
        client: &EndpointClient,
        depth: Depth,
        last: Option<&FoundRuntime>,
    ) -> FoundRuntime {
        let last = last.filter(|last| depth == Depth::Shallow && last.kind == kind);
        FoundRuntime {
            kind,
            endpoint: client.endpoint().clone(),
            version: self
                .version
                .or_else(|| last.and_then(|last| last.version.clone())),
            readiness: self.readiness,
            models: self.models,
            remote_models: self.remote_models,
            running: self.running.or_else(|| last.and_then(|last| last.running)),
            queue: self.queue.or_else(|| last.and_then(|last| last.queue)),
            kv_cache: self
                .kv_cache
                .or_else(|| last.and_then(|last| last.kv_cache)),
            asks_for_key: self.asks_for_key,
            access: client.access().clone(),
        }
    }
}

/// All kinds, surest fingerprint first.
pub(super) const ADAPTERS: [&dyn Adapter; 8] = [
    &llama_cpp::LlamaCpp,
    &ollama::Ollama,
    &tgi::Tgi,
    &triton::Triton,
    &triton::OpenAiFrontend,
    &vllm::Vllm,
    &tensorrt_llm::TensorrtLlm,
    &openai_compatible::OpenAiCompatible,
];

/// `/v1/models` as every runtime but Triton answers it.
#[derive(Debug, Deserialize)]
pub(super) struct ModelList {
    pub(super) data: Vec<ListedModel>,
}

/// One entry of it.
#[derive(Debug, Deserialize)]
pub(super) struct ListedModel {
    pub(super) id: String,
    #[serde(default)]
    pub(super) owned_by: Option<String>,
    #[serde(default)]
    pub(super) meta: Option<ListedMeta>,
}

/// What llama.cpp adds.
#[derive(Debug, Deserialize)]
pub(super) struct ListedMeta {
    #[serde(default)]
    pub(super) size: Option<u64>,
}

impl ModelList {
    /// Who the runtime says owns its first model.
    pub(super) fn owner(&self) -> &str {
        let first = self.data.first();
        first
            .and_then(|model| model.owned_by.as_deref())
            .unwrap_or_default()
    }

    /// The models of a runtime that serves what it lists.
    pub(super) fn loaded(self) -> Vec<Model> {
        self.data
            .into_iter()
            .map(|model| Model {
                size_bytes: model.meta.and_then(|meta| meta.size),
                id: model.id,
                digest: None,
                loaded: Some(true),
            })
            .collect()
    }
}

/// `{"version": …}`
#[derive(Debug, Deserialize)]
pub(super) struct VersionAnswer {
    pub(super) version: String,
}

/// What a server says besides the status of its health route, in a few words.
#[derive(Debug, Deserialize)]
struct Complaint {
    error: String,
}

/// Longest complaint that is repeated, characters.
const COMPLAINT_CHARS: usize = 120;

fn complaint(reply: &Reply) -> String {
    let said = serde_json::from_slice::<Complaint>(&reply.body).map_or_else(
        |_| String::from_utf8_lossy(&reply.body).into_owned(),
        |said| said.error,
    );
    let line = said.trim().lines().next().unwrap_or_default();
    let line: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(COMPLAINT_CHARS)
        .collect();
    if line.is_empty() {
        line
    } else {
        format!(": {line}")
    }
}

/// Readiness from a health route that answers 200 or an error.
pub(super) async fn health(client: &mut EndpointClient, path: &str) -> Readiness {
    match client.get(path).await {
        Some(reply) if reply.status == 200 => Readiness::Ready,
        Some(reply) => Readiness::Unready {
            reason: format!("{path} answers {}{}", reply.status, complaint(&reply)),
        },
        None => Readiness::Unready {
            reason: format!("{path} does not answer"),
        },
    }
}
