//! What the OpenAPI document says of the types of this crate, for the feature `schema` alone: the bounds that the
//! parsers have, in words of JSON Schema. The control plane's tests hold them against what the parsers take.

use crate::error::ErrorType;
use crate::frame::{LiveKeys, SealedKeys, SealedWelcome, Welcome};
use crate::id::{KeyId, NodeId, RequestId};
use crate::key::PublicKey;
use crate::limits::{INTEGER_MAX, ORDER_KEYS};
use crate::order::{OrderKey, OrderKeys};
use crate::receipt::{Sha256Hash, Source, Status, Version};
use crate::text::BoundedText;
use std::borrow::Cow;
use utoipa::openapi::schema::{
    AllOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{KnownFormat, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// A text of a grammar.
macro_rules! grammar {
    ($($name:ident = $pattern:literal, $most:literal, $meaning:literal;)*) => {
        $(
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    ObjectBuilder::new()
                        .schema_type(Type::String)
                        .pattern(Some($pattern))
                        .max_length(Some($most))
                        .description(Some($meaning))
                        .into()
                }
            }

            impl ToSchema for $name {}
        )*
    };
}

grammar! {
    NodeId = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", 64, "Name of a node.";
    RequestId = "^[A-Za-z0-9._:-]{1,64}$", 64, "Name of one request.";
    KeyId = "^[0-9a-f]{16}$", 16, "Name of a key: the first 16 hex digits of SHA-256 of the public key.";
    PublicKey = "^ed25519:[A-Za-z0-9+/]{43}=$", 52, "A public key: `ed25519:` and base64 of its 32 bytes.";
    Sha256Hash = "^sha256:[0-9a-f]{64}$", 71, "SHA-256: `sha256:` and lower-case hex.";
}

impl<const CHARS: usize> PartialSchema for BoundedText<CHARS> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .max_length(Some(CHARS))
            .description(Some(
                "A sentence; what is longer is cut, and control characters become spaces.",
            ))
            .into()
    }
}

impl<const CHARS: usize> ToSchema for BoundedText<CHARS> {
    fn name() -> Cow<'static, str> {
        format!("Text{CHARS}").into()
    }
}

impl PartialSchema for ErrorType {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The closed list of error types."))
            .enum_values(Some(Self::ALL.iter().map(|kind| kind.as_str())))
            .into()
    }
}

impl ToSchema for ErrorType {}

impl PartialSchema for OrderKeys {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(Ref::from_schema_name(OrderKey::name()))
            .max_items(Some(ORDER_KEYS))
            .description(Some(
                "The order keys that are live, each once. An agent believes orders of no other.",
            ))
            .into()
    }
}

impl ToSchema for OrderKeys {
    fn name() -> Cow<'static, str> {
        "link.OrderKeys".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((OrderKey::name().into(), OrderKey::schema()));
        OrderKey::schemas(schemas);
    }
}

/// A frame's data with the proof that its sender knows the node's secret.
fn sealed(data: &str, proof: &str) -> RefOr<Schema> {
    let proof = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9a-f]{64}$"))
        .description(Some(proof));
    AllOfBuilder::new()
        .item(Ref::from_schema_name(data))
        .item(
            ObjectBuilder::new()
                .property("proof", proof)
                .required("proof"),
        )
        .into()
}

impl PartialSchema for SealedKeys {
    fn schema() -> RefOr<Schema> {
        sealed(
            &LiveKeys::name(),
            "HMAC-SHA256 under the node's secret of `DGON-KEYS-V1`, NUL, the session's id and SHA-256 of the RFC 8785 \
             form of the rest. Nothing of the keys is believed before it holds.",
        )
    }
}

impl ToSchema for SealedKeys {
    fn name() -> Cow<'static, str> {
        "link.SealedKeys".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((LiveKeys::name().into(), LiveKeys::schema()));
        LiveKeys::schemas(schemas);
    }
}

impl PartialSchema for SealedWelcome {
    fn schema() -> RefOr<Schema> {
        sealed(
            &Welcome::name(),
            "HMAC-SHA256 under the node's secret of `DGON-WELCOME-V1`, NUL, the challenge's nonce and SHA-256 of the \
             RFC 8785 form of the rest. Nothing of a welcome is believed before it holds.",
        )
    }
}

impl ToSchema for SealedWelcome {
    fn name() -> Cow<'static, str> {
        "link.SealedWelcome".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Welcome::name().into(), Welcome::schema()));
        Welcome::schemas(schemas);
    }
}

/// Text frames of one direction: of each type `{"type", "data", "ts"}`.
pub(crate) fn frames<'a>(kinds: impl IntoIterator<Item = (&'a str, String)>) -> RefOr<Schema> {
    let ts = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .description(Some("The sender's clock, unix ms. Nobody acts on it."))
        .build();
    let one = |(kind, data): (&str, String)| {
        let name = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some([kind]));
        ObjectBuilder::new()
            .property("type", name)
            .property("data", Ref::from_schema_name(data))
            .property("ts", ts.clone())
            .required("type")
            .required("data")
            .build()
    };
    let all = kinds.into_iter().map(one);
    all.fold(OneOfBuilder::new(), OneOfBuilder::item)
        .description(Some(
            "A text frame of at most 1 MiB. A type that the receiver does not know is ignored.",
        ))
        .into()
}

/// A receipt: what the table of `docs/receipts.md` says of its fields. Further fields are allowed, and signed with the rest;
/// names and texts are strict JSON, numbers are integers.
#[derive(ToSchema)]
#[schema(as = Receipt)]
pub struct ReceiptBody {
    /// `1.0` is the form of any third-party agent; `1.1` has the chain and measurements, and needs `seq` and `prev_hash`.
    pub version: Version,
    /// Unique on its node.
    pub request_id: RequestId,
    /// The node that served the request.
    pub node_id: NodeId,
    /// Where the node says it is; no control character.
    #[schema(max_length = 64)]
    pub region: Option<String>,
    /// Start, unix seconds.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub ts_start: i64,
    /// End, unix seconds, not before the start.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub ts_end: i64,
    /// Model as the consumer asked for it; no control character.
    #[schema(min_length = 1, max_length = 256)]
    pub model_id: String,
    /// Digest of the weights.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub model_hash: Option<String>,
    /// Keyed hash of the prompt.
    #[schema(pattern = "^blake3:[0-9a-f]{64}$")]
    pub prompt_hash: Option<String>,
    /// Prompt tokens as the runtime counted them.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub tokens_input: i64,
    /// Generated tokens as the runtime counted them.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub tokens_output: i64,
    /// 95th percentile of the gaps between output chunks, ms.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub p95_ms: Option<i64>,
    /// Output token positions of the stream's checkpoints.
    pub s3_checkpoints: Option<Vec<i64>>,
    /// The request was sent to more than one node.
    pub hedged: Option<bool>,
    /// The prompt's prefix came from the runtime's cache.
    pub cache_hit: Option<bool>,
    /// 1.1: position in the chain.
    #[schema(minimum = 1, maximum = 9007199254740991i64)]
    pub seq: Option<i64>,
    /// 1.1: SHA-256 of the receipt before.
    pub prev_hash: Option<Sha256Hash>,
    /// 1.1: how the request ended.
    pub status: Option<Status>,
    /// 1.1: time to the first token, ms.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub ttft_ms: Option<i64>,
    /// 1.1: total time, ms.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub latency_ms: Option<i64>,
    /// 1.1: the LLM server.
    #[schema(pattern = "^[a-z0-9._-]{1,32}$")]
    pub runtime: Option<String>,
    /// 1.1: who asked for the work.
    pub source: Option<Source>,
    /// 1.1: prompt tokens served from the runtime's cache.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub tokens_cached: Option<i64>,
    /// 1.1: what the token counts are worth; an unknown word refuses no receipt.
    pub tokens_source: Option<String>,
    /// 1.1: keyed hash of the output.
    #[schema(pattern = "^blake3:[0-9a-f]{64}$")]
    pub output_hash: Option<String>,
    /// 1.1: energy, thousandths of a watt-hour.
    #[schema(minimum = -9007199254740991i64, maximum = 9007199254740991i64)]
    pub energy_mwh: Option<i64>,
    /// 1.1: SHA-256 of the gateway's signed work order.
    pub order_hash: Option<Sha256Hash>,
    /// 1.1: first 16 hex digits of SHA-256 of the public key.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub key_id: Option<String>,
    /// The key's signature over the RFC 8785 form of the rest. One that does not hold makes the verdict
    /// `invalid_signature`.
    pub signature: String,
}

/// The bounds above are written as numbers, which attributes need.
const _: () = assert!(INTEGER_MAX == 9_007_199_254_740_991);
