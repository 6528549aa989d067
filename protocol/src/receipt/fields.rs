//! The table of receipt fields: names, types, rules.

use super::{ReceiptError, Sha256Hash};
use crate::id::{NodeId, RequestId};
use crate::strict::{Member, Value};
use crate::table::{
    BLAKE3, BOOL, COUNT, FieldError, HEX16, INT, MODEL, SHA256, Table, count, flag, int,
    is_lower_hex, line, owned_text, text,
};
use serde::{Deserialize, Serialize};

/// Form of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = receipt::Version))]
pub enum Version {
    /// The form that any third-party agent may post.
    #[serde(rename = "1.0")]
    V1_0,
    /// The form that our agent signs: adds the chain and the measurements.
    #[serde(rename = "1.1")]
    V1_1,
}

/// How the request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = receipt::Status))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The answer came whole.
    Ok,
    /// The runtime failed, or its answer ended without its terminal mark.
    Error,
    /// The client went away.
    Cancelled,
}

/// Who asked for the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = receipt::Source))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A client on the operator's own machine or network. Never paid.
    Local,
    /// A consumer, through the gateway.
    Gateway,
    /// The control plane's own check.
    Probe,
    /// Dispatched work.
    Job,
}

/// What the token counts of a receipt are worth. It only describes them: a value that is not known here refuses no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokensSource {
    /// The runtime's own, final.
    Usage,
    /// The runtime's own as far as they came.
    PartialUsage,
    /// Output chunks, counted by the agent; the prompt counts 0 where the runtime did not tell it.
    Chunks,
    /// Not known: the counts are 0 and mean nothing.
    Unknown,
    /// Work that nobody pays: the counts are 0.
    Unpaid,
    /// Nothing was generated: the counts are 0 as a fact.
    None,
    /// Something that this version does not know.
    Other,
}

impl TokensSource {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Usage,
        Self::PartialUsage,
        Self::Chunks,
        Self::Unknown,
        Self::Unpaid,
        Self::None,
        Self::Other,
    ];

    /// The name in receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::PartialUsage => "partial_usage",
            Self::Chunks => "chunks",
            Self::Unknown => "unknown",
            Self::Unpaid => "unpaid",
            Self::None => "none",
            Self::Other => "other",
        }
    }

    /// Reads a name. It is text of a node, so nothing but a known name is kept.
    pub fn of_name(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|source| source.as_str() == name);
        known.unwrap_or(Self::Other)
    }

    /// Whether a count of 0 beside it stands for one that nobody knows.
    pub const fn lacks_a_count(self, tokens_input: i64) -> bool {
        match self {
            Self::Unknown => true,
            Self::Chunks => tokens_input == 0,
            Self::Usage | Self::PartialUsage | Self::Unpaid | Self::None | Self::Other => false,
        }
    }
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Error, Self::Cancelled];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

impl Source {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Gateway => "gateway",
            Self::Probe => "probe",
            Self::Job => "job",
        }
    }
}

/// The fields of a receipt that programs read. Everything else stays in the bytes.
///
/// Fields below `cache_hit` belong to version 1.1; in a 1.0 receipt they are unknown further fields and
/// stay `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// Form of the receipt.
    pub version: Version,
    /// Unique in the network.
    pub request_id: RequestId,
    /// The node that served the request.
    pub node_id: NodeId,
    /// Where the node says it is.
    pub region: Option<String>,
    /// Start, unix seconds.
    pub ts_start: i64,
    /// End, unix seconds, not before the start.
    pub ts_end: i64,
    /// Model as the consumer asked for it, 1 to 256 characters.
    pub model_id: String,
    /// Digest of the weights: `sha256:` and hex.
    pub model_hash: Option<String>,
    /// Keyed hash of the prompt: `blake3:` and hex.
    pub prompt_hash: Option<String>,
    /// Prompt tokens as the runtime counted them.
    pub tokens_input: i64,
    /// Generated tokens as the runtime counted them.
    pub tokens_output: i64,
    /// 95th percentile of the gaps between output chunks, ms.
    pub p95_ms: Option<i64>,
    /// Cumulative output token positions of the stream checkpoints.
    pub s3_checkpoints: Option<Vec<i64>>,
    /// The request was sent to more than one node.
    pub hedged: Option<bool>,
    /// The prompt's prefix came from the runtime's cache.
    pub cache_hit: Option<bool>,
    /// Position in the node's chain, from 1.
    pub seq: Option<i64>,
    /// SHA-256 of the previous receipt's entry bytes.
    pub prev_hash: Option<Sha256Hash>,
    /// How the request ended.
    pub status: Option<Status>,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
    /// Total time, ms.
    pub latency_ms: Option<i64>,
    /// The LLM server, such as `ollama`.
    pub runtime: Option<String>,
    /// Who asked for the work.
    pub source: Option<Source>,
    /// Prompt tokens served from the runtime's cache.
    pub tokens_cached: Option<i64>,
    /// What the token counts are worth; `None` where the receipt does not say.
    pub tokens_source: Option<TokensSource>,
    /// Keyed hash of the output: `blake3:` and hex.
    pub output_hash: Option<String>,
    /// Energy, thousandths of a watt-hour.
    pub energy_mwh: Option<i64>,
    /// SHA-256 of the gateway's signed work order.
    pub order_hash: Option<Sha256Hash>,
    /// First 16 hex digits of SHA-256 of the public key.
    pub key_id: Option<String>,
}

fn is_hash(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|digits| is_lower_hex(digits, 64))
}

impl From<FieldError> for ReceiptError {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Missing { name } => Self::Missing { name },
            FieldError::Rule { name, rule } => Self::Field { name, rule },
        }
    }
}

fn ints(value: &Value<'_>) -> Option<Vec<i64>> {
    match value {
        Value::Array(items) => items.iter().map(int).collect(),
        _ => None,
    }
}

fn hash_text(prefix: &'static str) -> impl Fn(&Value<'_>) -> Option<String> {
    move |value| owned_text(value).filter(|text| is_hash(text, prefix))
}

fn runtime(value: &Value<'_>) -> Option<String> {
    let plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    owned_text(value).filter(|text| (1..=32).contains(&text.len()) && text.bytes().all(plain))
}

const REGION: &str = "a string of 0 to 64 characters, none a control character";
const RUNTIME: &str = "1 to 32 of a-z, 0-9, point, underscore and hyphen";

impl Fields {
    /// Reads the table out of an object's members.
    pub(super) fn read(members: &[Member<'_>]) -> Result<Self, ReceiptError> {
        let table = Table(members);
        let version = table.required("version", "\"1.0\" or \"1.1\"", |value| {
            match text(value)? {
                "1.0" => Some(Version::V1_0),
                "1.1" => Some(Version::V1_1),
                _ => None,
            }
        })?;
        let mut fields = Self {
            version,
            request_id: table.request_id("request_id")?,
            node_id: table.node_id("node_id")?,
            region: table.optional("region", REGION, line(0..=64))?,
            ts_start: table.required("ts_start", INT, int)?,
            ts_end: table.required("ts_end", INT, int)?,
            model_id: table.required("model_id", MODEL, line(1..=256))?,
            model_hash: table.optional("model_hash", SHA256, hash_text("sha256:"))?,
            prompt_hash: table.optional("prompt_hash", BLAKE3, hash_text("blake3:"))?,
            tokens_input: table.required("tokens_input", COUNT, count)?,
            tokens_output: table.required("tokens_output", COUNT, count)?,
            p95_ms: table.optional("p95_ms", INT, int)?,
            s3_checkpoints: table.optional("s3_checkpoints", "an array of integers", ints)?,
            hedged: table.optional("hedged", BOOL, flag)?,
            cache_hit: table.optional("cache_hit", BOOL, flag)?,
            seq: None,
            prev_hash: None,
            status: None,
            ttft_ms: None,
            latency_ms: None,
            runtime: None,
            source: None,
            tokens_cached: None,
            tokens_source: None,
            output_hash: None,
            energy_mwh: None,
            order_hash: None,
            key_id: None,
        };
        if fields.ts_end < fields.ts_start {
            return Err(ReceiptError::Field {
                name: "ts_end",
                rule: "not before ts_start",
            });
        }
        if version == Version::V1_1 {
            fields.read_v1_1(&table)?;
        }
        Ok(fields)
    }

    fn read_v1_1(&mut self, table: &Table<'_, '_>) -> Result<(), ReceiptError> {
        self.seq = Some(table.required("seq", "an integer of 1 or more", |v| {
            int(v).filter(|n| *n >= 1)
        })?);
        self.prev_hash = Some(table.sha256("prev_hash")?);
        self.status = table.optional("status", "ok, error or cancelled", |v| match text(v)? {
            "ok" => Some(Status::Ok),
            "error" => Some(Status::Error),
            "cancelled" => Some(Status::Cancelled),
            _ => None,
        })?;
        self.ttft_ms = table.optional("ttft_ms", INT, int)?;
        self.latency_ms = table.optional("latency_ms", INT, int)?;
        self.runtime = table.optional("runtime", RUNTIME, runtime)?;
        self.source =
            table.optional("source", "local, gateway, probe or job", |v| {
                match text(v)? {
                    "local" => Some(Source::Local),
                    "gateway" => Some(Source::Gateway),
                    "probe" => Some(Source::Probe),
                    "job" => Some(Source::Job),
                    _ => None,
                }
            })?;
        self.tokens_cached = table.optional("tokens_cached", INT, int)?;
        self.tokens_source = table
            .get("tokens_source")
            .map(|value| text(value).map_or(TokensSource::Other, TokensSource::of_name));
        self.output_hash = table.optional("output_hash", BLAKE3, hash_text("blake3:"))?;
        self.energy_mwh = table.optional("energy_mwh", INT, int)?;
        self.order_hash = table.optional_sha256("order_hash")?;
        self.key_id = table.optional("key_id", HEX16, |v| {
            owned_text(v).filter(|t| is_lower_hex(t, 16))
        })?;
        Ok(())
    }
}
