//! What every kind of runtime must answer for itself. A new kind is a new file and a line in [`ADAPTERS`].

use super::found::{FoundRuntime, Readiness, RuntimeKind};
use super::visit::Visit;
use super::{llama_cpp, ollama, openai_compatible, tensorrt_llm, tgi, triton, vllm};
use dgon_protocol::frame::Model;
use futures_util::future::BoxFuture;
use serde::Deserialize;

/// One kind of runtime.
pub(super) trait Adapter: Sync {
    /// Which kind.
    fn kind(&self) -> RuntimeKind;

    /// Whether the endpoint is this kind beyond doubt. Weak signals never decide.
    fn recognise<'v>(&'v self, visit: &'v mut Visit) -> BoxFuture<'v, bool>;

    /// What the runtime is like now; `None` where it no longer answers as this kind.
    fn inspect<'v>(
        &'v self,
        visit: &'v mut Visit,
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
    /// Absent in a shallow look.
    pub(super) running: Option<u32>,
    /// Absent in a shallow look.
    pub(super) queue: Option<u32>,
}

impl Inspection {
    pub(super) fn new(readiness: Readiness, models: Vec<Model>) -> Self {
        Self {
            version: None,
            readiness,
            models,
            running: None,
            queue: None,
        }
    }

    /// The runtime, with what a shallow look left out taken over from the last one.
    pub(super) fn found(
        self,
        kind: RuntimeKind,
        visit: &Visit,
        depth: Depth,
        last: Option<&FoundRuntime>,
    ) -> FoundRuntime {
        let last = last.filter(|last| depth == Depth::Shallow && last.kind == kind);
        FoundRuntime {
            kind,
            endpoint: visit.endpoint().clone(),
            version: self
                .version
                .or_else(|| last.and_then(|last| last.version.clone())),
            readiness: self.readiness,
            models: self.models,
            running: self.running.or_else(|| last.and_then(|last| last.running)),
            queue: self.queue.or_else(|| last.and_then(|last| last.queue)),
        }
    }
}

/// All kinds, surest fingerprint first.
pub(super) const ADAPTERS: [&dyn Adapter; 7] = [
    &llama_cpp::LlamaCpp,
    &ollama::Ollama,
    &tgi::Tgi,
    &triton::Triton,
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

/// Readiness from a health route that answers 200 or an error.
pub(super) async fn health(visit: &mut Visit, path: &str) -> Readiness {
    match visit.get(path).await {
        Some(seen) if seen.status == 200 => Readiness::Ready,
        Some(seen) => Readiness::Unready {
            reason: format!("{path} answers {}", seen.status),
        },
        None => Readiness::Unready {
            reason: format!("{path} does not answer"),
        },
    }
}

/// The sum of a gauge over its labels in a Prometheus text; `None` where it is not there.
pub(super) fn gauge(text: &[u8], name: &str) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        let value = match rest.as_bytes().first() {
            Some(b'{') => rest.rsplit_once('}').map(|(_, value)| value),
            Some(b' ') => Some(rest),
            _ => None,
        };
        let number = value
            .and_then(|value| value.split_ascii_whitespace().next())
            .and_then(|value| value.parse::<f64>().ok())
            .filter(|number| number.is_finite() && *number >= 0.0);
        if let Some(number) = number {
            *sum.get_or_insert(0.0) += number;
        }
    }
    sum.map(|sum: f64| sum as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_summed_over_their_labels() {
        let text = b"# HELP q x\n# TYPE q gauge\nq{a=\"} 9\",b=\"1\"} 2.0\nq{a=\"2\"} 3 1700000000\nq_other 7\nplain 4\nbad NaN\n";
        assert_eq!(gauge(text, "q"), Some(5));
        assert_eq!(gauge(text, "plain"), Some(4));
        assert_eq!(gauge(text, "bad"), None);
        assert_eq!(gauge(text, "absent"), None);
    }
}
