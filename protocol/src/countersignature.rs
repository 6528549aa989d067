//! Countersignatures: what the gateway says of an answer that it relayed, beside the node's receipt
//! (`docs/orders.md` has the table of fields).
//!
//! Receipt, countersignature and what the consumer holds are three views of one answer; where two of them do not
//! agree, that shows offline.

use crate::content::{Blake3Hash, blake3_hash};
use crate::id::{KeyId, NodeId, RequestId};
use crate::key::PublicKey;
use crate::limits::ORDER_BYTES;
use crate::order::OrderSigningKey;
use crate::receipt::{Sha256Hash, Status};
use crate::statement::{Kind, Members, Signed, StatementError};
use crate::strict::Value;
use crate::table::{BLAKE3, COUNT, FieldError, Table, count, text};
use serde::{Deserialize, Serialize};

/// What stands before the signed bytes of a countersignature.
pub const COUNTERSIGN_DOMAIN: &[u8] = b"DGON-COUNTERSIGN-V1\0";

const COUNTERSIGNATURE: Kind = Kind {
    what: "a countersignature",
    domain: COUNTERSIGN_DOMAIN,
    most_bytes: ORDER_BYTES,
};

/// How well the gateway could count the tokens itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountLevel {
    /// By the model's own tokenizer and template.
    Exact,
    /// Within a bound: the rendering of the prompt cannot be reproduced.
    Bounded,
    /// Not at all: only a ceiling by bytes.
    None,
}

impl CountLevel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Bounded, Self::None];

    /// The name in countersignatures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Bounded => "bounded",
            Self::None => "none",
        }
    }
}

/// What the gateway saw of one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Countersignature {
    /// The request id of the order and of the receipt.
    pub request_id: RequestId,
    /// The node that answered.
    pub node_id: NodeId,
    /// Hash of the order.
    pub order_hash: Sha256Hash,
    /// SHA-256 of the receipt's entry bytes.
    pub receipt_hash: Sha256Hash,
    /// Prompt tokens by the gateway's count; `None` where it could not count (only with [`CountLevel::None`]).
    pub tokens_input: Option<u64>,
    /// Generated tokens by the gateway's count; `None` as above.
    pub tokens_output: Option<u64>,
    /// What the counts are worth.
    pub level: CountLevel,
    /// Prompt tokens that are billed.
    pub billed_input: u64,
    /// Generated tokens that are billed.
    pub billed_output: u64,
    /// Time to the first token as the gateway saw it, ms; `None` where none came.
    pub ttft_ms: Option<u64>,
    /// Time to the end as the gateway saw it, ms.
    pub latency_ms: u64,
    /// Bytes of the answer's body that the gateway got.
    pub bytes_output: u64,
    /// [`Choices::content_hash`](crate::content::Choices::content_hash); `None` where the route has no choices.
    pub content_hash: Option<Blake3Hash>,
    /// [`Choices::reasoning_hash`](crate::content::Choices::reasoning_hash); `None` where nothing of that kind came.
    pub reasoning_hash: Option<Blake3Hash>,
    /// How the answer ended.
    pub finish: Status,
    /// When this was signed, unix ms.
    pub signed_at_ms: i64,
}

impl Countersignature {
    /// Signs it with an order key.
    ///
    /// # Errors
    /// [`StatementError`] where a field breaks its rule.
    pub fn sign(&self, key: &OrderSigningKey) -> Result<SignedCountersignature, StatementError> {
        SignedCountersignature::parse(&COUNTERSIGNATURE.sign(self.members(), key))
    }

    fn members(&self) -> Members<'_> {
        Members::default()
            .text("request_id", self.request_id.as_str())
            .text("node_id", self.node_id.as_str())
            .shown("order_hash", self.order_hash)
            .shown("receipt_hash", self.receipt_hash)
            .optional_int("tokens_input", self.tokens_input)
            .optional_int("tokens_output", self.tokens_output)
            .text("level", self.level.as_str())
            .int("billed_input", self.billed_input)
            .int("billed_output", self.billed_output)
            .optional_int("ttft_ms", self.ttft_ms)
            .int("latency_ms", self.latency_ms)
            .int("bytes_output", self.bytes_output)
            .optional_shown("content_hash", self.content_hash)
            .optional_shown("reasoning_hash", self.reasoning_hash)
            .text("finish", self.finish.as_str())
            .int("signed_at_ms", self.signed_at_ms)
    }

    fn read(table: &Table<'_, '_>) -> Result<Self, FieldError> {
        let level = |v: &Value<'_>| {
            let name = text(v)?;
            CountLevel::ALL.into_iter().find(|l| l.as_str() == name)
        };
        let finish = |v: &Value<'_>| Status::of_name(text(v)?);
        let read = Self {
            request_id: table.request_id("request_id")?,
            node_id: table.node_id("node_id")?,
            order_hash: table.sha256("order_hash")?,
            receipt_hash: table.sha256("receipt_hash")?,
            tokens_input: table.optional_count("tokens_input")?,
            tokens_output: table.optional_count("tokens_output")?,
            level: table.required("level", "exact, bounded or none", level)?,
            billed_input: table.count("billed_input")?,
            billed_output: table.count("billed_output")?,
            ttft_ms: table.optional_count("ttft_ms")?,
            latency_ms: table.count("latency_ms")?,
            bytes_output: table.count("bytes_output")?,
            content_hash: table.optional("content_hash", BLAKE3, blake3_hash)?,
            reasoning_hash: table.optional("reasoning_hash", BLAKE3, blake3_hash)?,
            finish: table.required("finish", "ok, error or cancelled", finish)?,
            signed_at_ms: table.required("signed_at_ms", COUNT, count)?,
        };
        if read.level != CountLevel::None {
            // Who says that it counted says what.
            table.count("tokens_input")?;
            table.count("tokens_output")?;
        }
        Ok(read)
    }
}

/// A countersignature that parsed. Its signature is not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCountersignature {
    /// What is said.
    pub countersignature: Countersignature,
    signed: Signed,
}

impl SignedCountersignature {
    /// Reads one in any JSON form that the rules of receipts allow. Members that are not known are allowed, and covered
    /// by the signature.
    ///
    /// # Errors
    /// [`StatementError`] for everything that must be refused before a signature check.
    pub fn parse(input: &[u8]) -> Result<Self, StatementError> {
        let (countersignature, signed) = COUNTERSIGNATURE.parse(input, Countersignature::read)?;
        Ok(Self {
            countersignature,
            signed,
        })
    }

    /// The name of the key that is said to have signed it.
    pub fn kid(&self) -> &KeyId {
        &self.signed.kid
    }

    /// The RFC 8785 form of the whole object.
    pub fn entry_bytes(&self) -> &[u8] {
        &self.signed.entry_bytes
    }

    /// SHA-256 of the entry bytes.
    pub fn entry_hash(&self) -> Sha256Hash {
        self.signed.entry_hash()
    }

    /// Whether `kid` names `key` and the signature holds under it, strictly.
    pub fn verify(&self, key: &PublicKey) -> bool {
        self.signed.verify(key)
    }
}
