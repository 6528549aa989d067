//! What a simulated runtime is told to be, and how it is told to misbehave.

use std::time::Duration;

/// Which LLM server is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Kind {
    /// Ollama 0.32: native NDJSON and the OpenAI routes.
    Ollama,
    /// vLLM 0.33's OpenAI server.
    Vllm,
    /// Hugging Face Text Generation Inference 3.3.
    Tgi,
    /// TensorRT-LLM's `trtllm-serve`.
    #[value(name = "tensorrt-llm")]
    TensorRtLlm,
    /// llama.cpp's `llama-server`.
    #[value(name = "llama.cpp")]
    LlamaCpp,
    /// Triton Inference Server with a TensorRT-LLM model.
    Triton,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ollama,
        Self::Vllm,
        Self::Tgi,
        Self::TensorRtLlm,
        Self::LlamaCpp,
        Self::Triton,
    ];

    /// Those that have the OpenAI routes.
    pub const OPENAI: [Self; 5] = [
        Self::Ollama,
        Self::Vllm,
        Self::Tgi,
        Self::TensorRtLlm,
        Self::LlamaCpp,
    ];

    /// The name in receipts.
    pub const fn in_receipts(self) -> &'static str {
        match self {
            Self::Triton => "tensorrt-llm",
            other => other.as_str(),
        }
    }

    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::Tgi => "tgi",
            Self::TensorRtLlm => "tensorrt-llm",
            Self::LlamaCpp => "llama.cpp",
            Self::Triton => "triton",
        }
    }

    /// The port that the real server takes by default.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Ollama => 11434,
            Self::Vllm | Self::TensorRtLlm | Self::Triton => 8000,
            Self::Tgi => 3000,
            Self::LlamaCpp => 8080,
        }
    }

    /// The model that is served where none is named.
    pub const fn default_model(self) -> &'static str {
        match self {
            Self::Ollama => "sim-chat:1b",
            Self::Vllm | Self::Tgi => "dgon/sim-chat",
            Self::TensorRtLlm | Self::LlamaCpp => "sim-chat",
            Self::Triton => "ensemble",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What goes wrong, and when. Counts are in output tokens of one answer; `Some(0)` is before the first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Share of requests, 0 to 1, that fail with the server's own error status before the first token.
    pub error_rate: f64,
    /// Fails inside the answer, as this server does it.
    pub error_after: Option<u32>,
    /// Goes silent for ever.
    pub stall_after: Option<u32>,
    /// Cuts the connection.
    pub disconnect_after: Option<u32>,
    /// Ends the answer as if it were whole, but without its terminal mark.
    pub truncate_after: Option<u32>,
    /// Never tells token counts.
    pub no_usage: bool,
}

/// A simulated runtime, described.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Which server.
    pub kind: Kind,
    /// Address to bind; port 0 picks a free one.
    pub bind: std::net::SocketAddr,
    /// Models that are served; the first is the one that is loaded. Servers that know a single model use the first.
    pub models: Vec<String>,
    /// Decides every text together with the prompt.
    pub seed: u64,
    /// Speed of one answer; `None` is as fast as it goes.
    pub tokens_per_second: Option<f64>,
    /// Time to the first token.
    pub ttft: Duration,
    /// Time to load the model. What a client sees of it differs by kind.
    pub loading: Duration,
    /// Length of every answer in tokens unless the request limits it; `None` lets the seed choose 8 to 48.
    pub answer_tokens: Option<u32>,
    /// Context window, tokens.
    pub context: u32,
    /// Answers generated at once; more wait.
    pub parallel: usize,
    /// Requests that may wait; more are refused as this server refuses. `None` is the server's default.
    pub queue_limit: Option<usize>,
    /// Asked for as a bearer token where this server can ask for one.
    pub api_key: Option<String>,
    /// Speaks the oldest wire form that is still met in the field.
    pub legacy: bool,
    /// vLLM: `--enable-prompt-tokens-details`, so that cached tokens are told. Triton: the model is configured to
    /// tell its counts.
    pub prompt_details: bool,
    /// What goes wrong.
    pub faults: Faults,
}

impl SimConfig {
    /// A healthy, fast server of this kind on a free port of the loopback interface.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            bind: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
            models: vec![kind.default_model().to_owned()],
            seed: 7,
            tokens_per_second: None,
            ttft: Duration::ZERO,
            loading: Duration::ZERO,
            answer_tokens: None,
            context: 4096,
            parallel: 64,
            queue_limit: None,
            api_key: None,
            legacy: false,
            prompt_details: true,
            faults: Faults::default(),
        }
    }

    /// The model that is served first.
    pub fn model(&self) -> &str {
        self.models.first().map_or("", String::as_str)
    }

    /// Time between two tokens.
    pub(crate) fn token_interval(&self) -> Duration {
        self.tokens_per_second
            .filter(|rate| *rate > 0.0)
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate))
    }
}
