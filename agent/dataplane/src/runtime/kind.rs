//! The kinds of runtimes, and how each behaves towards the proxy.
//!
//! How a kind is recognised and looked at is its adapter's matter, in the agent.

use dgon_agent_core::meter::Dialect;
use dgon_agent_core::request::Keys;

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

/// How a kind of runtime behaves towards the proxy.
#[derive(Debug)]
pub struct Behaviour {
    /// The name in receipts, in the inventory and on screens.
    pub name: &'static str,
    /// The name in agent.yaml.
    pub config_name: &'static str,
    /// The languages of its generation routes.
    pub speaks: &'static [Dialect],
    /// Paths that are no work and that it alone answers; all below them too.
    pub own_paths: &'static [&'static str],
    /// Whether it serves its one model under whatever name a request gives.
    pub any_name: bool,
    /// Whether an OpenAI stream tells its usage.
    pub stream_usage: StreamUsage,
    /// How it compares the names of members in a request body.
    pub keys: Keys,
}

/// Whether an OpenAI stream tells its usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamUsage {
    /// It does, asked or not.
    Always,
    /// Where it is asked to.
    OnDemand,
    /// Where it is asked to, and then on every event unless it is told not to.
    OnDemandRunning,
}

/// What a server of the OpenAI routes speaks.
const OPENAI: &[Dialect] = &[Dialect::OpenAi, Dialect::Responses, Dialect::Messages];

/// A server of the OpenAI routes under its own name, with nothing particular.
const PLAIN: Behaviour = Behaviour {
    name: "openai-compatible",
    config_name: "openai",
    speaks: OPENAI,
    own_paths: &[],
    any_name: false,
    stream_usage: StreamUsage::OnDemand,
    keys: Keys::Exact,
};

static OLLAMA: Behaviour = Behaviour {
    name: "ollama",
    config_name: "ollama",
    speaks: &[
        Dialect::OpenAi,
        Dialect::Responses,
        Dialect::Messages,
        Dialect::Ollama,
    ],
    own_paths: &["/api"],
    keys: Keys::Folded,
    ..PLAIN
};

static VLLM: Behaviour = Behaviour {
    name: "vllm",
    config_name: "vllm",
    ..PLAIN
};

static TGI: Behaviour = Behaviour {
    name: "tgi",
    config_name: "tgi",
    speaks: &[
        Dialect::OpenAi,
        Dialect::Responses,
        Dialect::Messages,
        Dialect::Tgi,
    ],
    own_paths: &["/info"],
    any_name: true,
    ..PLAIN
};

static TENSORRT_LLM: Behaviour = Behaviour {
    name: "tensorrt-llm",
    config_name: "tensorrt-llm",
    any_name: true,
    stream_usage: StreamUsage::OnDemandRunning,
    ..PLAIN
};

static TRITON: Behaviour = Behaviour {
    name: "tensorrt-llm",
    config_name: "triton",
    speaks: &[Dialect::Triton],
    own_paths: &["/v2"],
    ..PLAIN
};

static TRITON_OPENAI: Behaviour = Behaviour {
    name: "tensorrt-llm",
    config_name: "triton-openai",
    ..PLAIN
};

static LLAMA_CPP: Behaviour = Behaviour {
    name: "llama.cpp",
    config_name: "llama.cpp",
    speaks: &[
        Dialect::OpenAi,
        Dialect::Responses,
        Dialect::Messages,
        Dialect::Llama,
    ],
    own_paths: &["/props", "/slots"],
    any_name: true,
    // Its `timings` count even where no usage was asked for.
    stream_usage: StreamUsage::Always,
    ..PLAIN
};

static OPENAI_COMPATIBLE: Behaviour = PLAIN;

impl RuntimeKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ollama,
        Self::Vllm,
        Self::Tgi,
        Self::TensorrtLlm,
        Self::Triton,
        Self::TritonOpenAi,
        Self::LlamaCpp,
        Self::OpenAiCompatible,
    ];

    /// How it behaves towards the proxy.
    pub const fn behaviour(self) -> &'static Behaviour {
        match self {
            Self::Ollama => &OLLAMA,
            Self::Vllm => &VLLM,
            Self::Tgi => &TGI,
            Self::TensorrtLlm => &TENSORRT_LLM,
            Self::Triton => &TRITON,
            Self::TritonOpenAi => &TRITON_OPENAI,
            Self::LlamaCpp => &LLAMA_CPP,
            Self::OpenAiCompatible => &OPENAI_COMPATIBLE,
        }
    }

    /// The name in receipts, in the inventory and on screens.
    pub const fn as_str(self) -> &'static str {
        self.behaviour().name
    }

    /// The name in agent.yaml.
    pub const fn config_name(self) -> &'static str {
        self.behaviour().config_name
    }

    /// The kind that agent.yaml calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.config_name() == name)
    }

    /// The names that [`Self::named`] knows.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|kind| kind.config_name()).collect()
    }

    /// Whether a path that is no work is for runtimes of this kind: its own, or nobody's in particular.
    pub fn answers(self, path: &str) -> bool {
        let claims = |kind: Self| {
            kind.behaviour().own_paths.iter().any(|own| {
                path.strip_prefix(own)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        claims(self) || !Self::ALL.into_iter().any(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_in_the_configuration() {
        for kind in RuntimeKind::ALL {
            assert_eq!(RuntimeKind::named(kind.config_name()), Some(kind));
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
