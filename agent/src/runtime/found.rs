//! What is known of one runtime.

use super::Endpoint;
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
    /// llama.cpp's `llama-server`.
    LlamaCpp,
    /// Something else that answers the OpenAI routes.
    OpenAiCompatible,
}

impl RuntimeKind {
    /// The name in receipts, in the inventory and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::Tgi => "tgi",
            Self::TensorrtLlm | Self::Triton => "tensorrt-llm",
            Self::LlamaCpp => "llama.cpp",
            Self::OpenAiCompatible => "openai-compatible",
        }
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
}

impl FoundRuntime {
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

    /// The model that a request means by `name`. Ollama's `:latest` may be left out.
    pub fn model(&self, name: &str) -> Option<&frame::Model> {
        let exact = self.models.iter().find(|model| model.id == name);
        exact.or_else(|| {
            if self.kind != RuntimeKind::Ollama {
                return None;
            }
            self.models.iter().find(|model| {
                model.id.strip_suffix(":latest") == Some(name)
                    || name.strip_suffix(":latest") == Some(model.id.as_str())
            })
        })
    }

    /// The model that answers a request for `name`: some runtimes serve their one model under any name.
    pub fn serves(&self, name: &str) -> Option<&frame::Model> {
        self.model(name).or_else(|| match self.kind {
            RuntimeKind::Tgi | RuntimeKind::TensorrtLlm | RuntimeKind::LlamaCpp => {
                self.models.first()
            }
            RuntimeKind::Ollama
            | RuntimeKind::Vllm
            | RuntimeKind::Triton
            | RuntimeKind::OpenAiCompatible => None,
        })
    }
}
