//! What the proxy learned about one request: the input of its receipt.

use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Sha256Hash, Source, Status};

pub use dgon_protocol::receipt::TokensSource;

/// Why a request failed, as the receipt names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The runtime answered with an error status.
    UpstreamStatus,
    /// The runtime sent an error inside its stream.
    UpstreamError,
    /// The runtime could not be reached.
    Unreachable,
    /// The answer ended without its terminal mark.
    Incomplete,
    /// The runtime went silent for too long.
    Stalled,
    /// The request itself could not be read to its end.
    BadRequest,
}

impl Failure {
    /// The name in the receipt.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UpstreamStatus => "upstream_status",
            Self::UpstreamError => "upstream_error",
            Self::Unreachable => "unreachable",
            Self::Incomplete => "incomplete",
            Self::Stalled => "stalled",
            Self::BadRequest => "bad_request",
        }
    }
}

/// A hash of a prompt or an answer as a receipt names it: `blake3:` and 64 hexadecimal digits.
pub fn hash_text(hash: &blake3::Hash) -> String {
    const NAME: &str = "blake3:";
    let mut text = String::with_capacity(NAME.len() + 2 * blake3::OUT_LEN);
    text.push_str(NAME);
    text.push_str(&hash.to_hex());
    text
}

/// One finished, failed or cancelled request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFacts {
    /// Its id; the proxy's own, never the runtime's.
    pub request_id: RequestId,
    /// Who asked.
    pub source: Source,
    /// How it ended.
    pub status: Status,
    /// Why it failed, for [`Status::Error`].
    pub failure: Option<Failure>,
    /// Model as the client asked for it.
    pub model_id: String,
    /// `sha256:` digest of the weights, where the runtime gives one.
    pub model_hash: Option<String>,
    /// Runtime that served it.
    pub runtime: Option<String>,
    /// Wall clock at the start, unix ms.
    pub started_ms: u64,
    /// Wall clock at the end, unix ms.
    pub ended_ms: u64,
    /// Monotonic total, ms.
    pub latency_ms: u64,
    /// Monotonic time to the first token, ms.
    pub ttft_ms: Option<u64>,
    /// 95th percentile of the gaps between output chunks, ms.
    pub gap_p95_ms: Option<u64>,
    /// Prompt tokens.
    pub tokens_input: u64,
    /// Generated tokens.
    pub tokens_output: u64,
    /// Prompt tokens from the cache; `None` where the runtime does not say.
    pub tokens_cached: Option<u64>,
    /// Where the counts come from.
    pub tokens_source: TokensSource,
    /// Keyed hash of the request body, `blake3:` and hex.
    pub prompt_hash: Option<String>,
    /// Keyed hash of the answer's text, `blake3:` and hex.
    pub output_hash: Option<String>,
    /// Cumulative output token positions of the checkpoints.
    pub checkpoints: Vec<u64>,
    /// Energy, thousandths of a watt-hour.
    pub energy_mwh: Option<u64>,
    /// Hash of the gateway's work order.
    pub order_hash: Option<Sha256Hash>,
}
