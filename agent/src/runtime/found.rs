//! What is known of one runtime.

use super::adapter::{ADAPTERS, Manner};
use super::{Access, Endpoint};
use dgon_protocol::frame;

/// Which LLM server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuntimeKind {
    /// Ollama.
    Ollama,
    /// vLLM.
    Vllm,
    /// Hugging Face Text Generation Inference.
    Tgi,
    /// TensorRT-LLM's own server, `trtllm-serve`.
    TensorrtLlm,
    /// Triton Inference Server, the other way to serve TensorRT-LLM engines.
    Triton,
    /// Triton's OpenAI frontend, a server of its own before it.
    TritonOpenAi,
    /// llama.cpp's `llama-server`.
    LlamaCpp,
    /// Something else that answers the OpenAI routes.
    OpenAiCompatible,
}

impl RuntimeKind {
    /// The name in receipts, in the inventory and on screens.
    pub fn as_str(self) -> &'static str {
        self.manner().name
    }

    /// The name in agent.yaml.
    pub fn config_name(self) -> &'static str {
        self.manner().config_name
    }

    /// The kind that agent.yaml calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        ADAPTERS
            .iter()
            .find(|adapter| adapter.manner().config_name == name)
            .map(|adapter| adapter.kind())
    }

    /// The names that [`Self::named`] knows.
    pub fn names() -> Vec<&'static str> {
        ADAPTERS
            .iter()
            .map(|adapter| adapter.manner().config_name)
            .collect()
    }

    /// How it behaves towards the proxy.
    pub(crate) fn manner(self) -> &'static Manner {
        let adapter = ADAPTERS.iter().find(|adapter| adapter.kind() == self);
        // Every kind has its adapter, as the test below holds.
        adapter
            .map(|adapter| adapter.manner())
            .unwrap_or_else(|| ADAPTERS[0].manner())
    }

    /// Whether a path that is no work is for runtimes of this kind: its own, or nobody's in particular.
    pub(crate) fn answers(self, path: &str) -> bool {
        let claims = |manner: &Manner| {
            manner.own_paths.iter().any(|own| {
                path.strip_prefix(own)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        claims(self.manner()) || !ADAPTERS.iter().any(|adapter| claims(adapter.manner()))
    }
}

/// Whether a runtime takes requests now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It is loading its model.
    Loading,
    /// It answers, and says that it cannot serve.
    Unready {
        /// What it says, in a few words.
        reason: String,
    },
}

/// One runtime that answers.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRuntime {
    /// Which server it is.
    pub kind: RuntimeKind,
    /// Where it answers.
    pub endpoint: Endpoint,
    /// Its version where it tells.
    pub version: Option<String>,
    /// Whether it takes requests now.
    pub readiness: Readiness,
    /// What it serves.
    pub models: Vec<frame::Model>,
    /// Requests that it is working on, where it tells.
    pub running: Option<u32>,
    /// Requests that wait in it, where it tells.
    pub queue: Option<u32>,
    /// How full its KV cache is, 0 to 1, where it tells.
    pub kv_cache: Option<f32>,
    /// Whether its list of models asks for an API key that the agent was not given, or refuses the given one.
    pub asks_for_key: bool,
    /// What it takes to speak to it.
    pub access: Access,
}

impl FoundRuntime {
    /// A ready runtime of which no more is known than what it is and where.
    pub fn new(kind: RuntimeKind, endpoint: Endpoint) -> Self {
        Self {
            kind,
            endpoint,
            version: None,
            readiness: Readiness::Ready,
            models: Vec::new(),
            running: None,
            queue: None,
            kv_cache: None,
            asks_for_key: false,
            access: Access::default(),
        }
    }

    /// Whether it takes requests now.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready
    }

    /// Its entry in the inventory.
    pub fn to_wire(&self) -> frame::Runtime {
        frame::Runtime {
            kind: self.kind.as_str().to_owned(),
            version: self.version.clone(),
            ready: self.is_ready(),
            models: self.models.clone(),
        }
    }

    /// The model that a request means by `name`. Ollama's `:latest` may be left out; TGI calls its own `tgi`.
    pub fn model(&self, name: &str) -> Option<&frame::Model> {
        let exact = self.models.iter().find(|model| model.id == name);
        exact.or_else(|| match self.kind {
            RuntimeKind::Ollama => self.models.iter().find(|model| {
                model.id.strip_suffix(":latest") == Some(name)
                    || name.strip_suffix(":latest") == Some(model.id.as_str())
            }),
            RuntimeKind::Tgi if name == "tgi" => self.models.first(),
            _ => None,
        })
    }

    /// The model that answers a request for `name`: some runtimes serve their one model under any name.
    pub fn serves(&self, name: &str) -> Option<&frame::Model> {
        let any = || self.models.first().filter(|_| self.kind.manner().any_name);
        self.model(name).or_else(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_adapter_and_a_name_of_its_own() {
        for adapter in ADAPTERS {
            let (kind, manner) = (adapter.kind(), adapter.manner());
            assert!(std::ptr::eq(kind.manner(), manner), "{kind:?}");
            assert_eq!(RuntimeKind::named(manner.config_name), Some(kind));
        }
    }

    #[test]
    fn paths_belong_to_one_kind_or_to_all() {
        use RuntimeKind::{LlamaCpp, Ollama, Tgi, Triton, Vllm};
        for (path, kind, answers) in [
            ("/api/tags", Ollama, true),
            ("/api/tags", Vllm, false),
            ("/v2", Triton, true),
            ("/v2/models/m", Triton, true),
            ("/v2/models/m", Ollama, false),
            ("/info", Tgi, true),
            ("/info", LlamaCpp, false),
            ("/slots/0", LlamaCpp, true),
            ("/metrics", Vllm, true),
            ("/apiary", Vllm, true),
        ] {
            assert_eq!(kind.answers(path), answers, "{kind:?} {path}");
        }
    }
}
