//! Work orders: what the control plane signs before a node does work for a consumer (`docs/orders.md` has the table of
//! fields).
//!
//! An order goes to the node with the stream that it is for. The receipt of that work names the order by its
//! [`SignedOrder::order_hash`], so that nobody can make up traffic or be paid twice for one order. It says nothing of
//! the prompt but keyed hashes; the key of these goes to the node and to the consumer ([`crate::content`]).

mod keys;
mod parse;

pub use keys::{OrderKey, OrderKeyError, OrderKeys, OrderSigningKey};
pub use parse::SignedOrder;

use crate::content::Blake3Hash;
use crate::id::{NodeId, RequestId};
use crate::receipt::Sha256Hash;
use crate::statement::{Members, StatementError};

/// What stands before the signed bytes of an order.
pub const ORDER_DOMAIN: &[u8] = b"DGON-ORDER-V1\0";
/// Largest `max_tokens` of an order.
pub const MAX_TOKENS: u32 = i32::MAX as u32;
/// Largest `temperature_micros` of an order: a temperature of 10.
pub const TEMPERATURE_MICROS: u32 = 10_000_000;
/// Last attempt at one request that can have an order.
pub const ATTEMPTS: u8 = 99;

/// What a node is asked to do for one attempt at one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkOrder {
    /// `r_<ULID>.<attempt>`: the id of the receipt to come.
    pub request_id: RequestId,
    /// The node that is asked.
    pub node_id: NodeId,
    /// The lease that the work belongs to, 1 to 64 characters.
    pub lease_id: Option<String>,
    /// Model as the consumer asked for it, 1 to 256 characters.
    pub model_id: String,
    /// Digest of the weights that must serve it; `None` where any of that name will do.
    pub model_hash: Option<Sha256Hash>,
    /// Tokens that the node may generate at most, 1 to [`MAX_TOKENS`].
    pub max_tokens: u32,
    /// Temperature in millionths, at most [`TEMPERATURE_MICROS`]; `None` where the consumer left it to the runtime.
    pub temperature_micros: Option<u32>,
    /// Seed, within ±(2^53−1); `None` where the consumer gave none.
    pub seed: Option<i64>,
    /// [`request_hash`](crate::content::ContentKey::request_hash) of the object that the consumer sent.
    pub request_hash: Blake3Hash,
    /// [`body_hash`](crate::content::ContentKey::body_hash) of the bytes that the node gets.
    pub body_hash: Blake3Hash,
    /// [`hash`](crate::content::ContentKey::hash) of the content key.
    pub content_key_hash: Sha256Hash,
    /// Which prices hold; 0 while there are none.
    pub price_version: u64,
    /// When the work must have begun, unix ms.
    pub start_by_ms: i64,
    /// When the work must have ended, unix ms, not before `start_by_ms`.
    pub finish_by_ms: i64,
    /// Which attempt at the request this is, 1 to [`ATTEMPTS`].
    pub attempt: u8,
    /// Hash of the order that this one replaces.
    pub parent: Option<Sha256Hash>,
    /// Keyed hash of the part of the answer that other attempts have delivered.
    pub prefix_hash: Option<Blake3Hash>,
}

impl WorkOrder {
    /// Signs the order.
    ///
    /// # Errors
    /// [`StatementError`] where a field breaks its rule: every agent would refuse the order.
    pub fn sign(&self, key: &OrderSigningKey) -> Result<SignedOrder, StatementError> {
        SignedOrder::parse(&parse::ORDER.sign(self.members(), key))
    }

    fn members(&self) -> Members<'_> {
        Members::default()
            .text("request_id", self.request_id.as_str())
            .text("node_id", self.node_id.as_str())
            .optional_shown("lease_id", self.lease_id.as_ref())
            .text("model_id", &self.model_id)
            .optional_shown("model_hash", self.model_hash)
            .int("max_tokens", self.max_tokens)
            .optional_int("temperature_micros", self.temperature_micros)
            .optional_int("seed", self.seed)
            .shown("request_hash", self.request_hash)
            .shown("body_hash", self.body_hash)
            .shown("content_key_hash", self.content_key_hash)
            .int("price_version", self.price_version)
            .int("start_by_ms", self.start_by_ms)
            .int("finish_by_ms", self.finish_by_ms)
            .int("attempt", self.attempt)
            .optional_shown("parent", self.parent)
            .optional_shown("prefix_hash", self.prefix_hash)
    }
}
