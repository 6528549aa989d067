//! Work orders: what a node is asked to do for one attempt at a request, signed with the key of this process.

use crate::app::{App, OrderKeyFault};
use dgon_protocol::content::{Blake3Hash, ContentKey};
use dgon_protocol::id::{IdError, NodeId, RequestId};
use dgon_protocol::limits::{ORDER_FINISH_AHEAD, ORDER_START_AHEAD};
use dgon_protocol::order::{SignedOrder, WorkOrder};
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::statement::StatementError;
use dgon_protocol::strict::StrictError;
use std::time::Duration;

/// How long a node may wait before it begins with the work.
pub const START_WITHIN: Duration = Duration::from_secs(60);

/// What is fixed of a request however often it is tried: the key that goes to its consumer and to the nodes, and what that makes of
/// the object that the consumer sent.
#[derive(Debug, Clone)]
pub struct Content {
    /// The key. Nobody stores it.
    pub key: ContentKey,
    /// Keyed hash of what the consumer sent.
    pub request_hash: Blake3Hash,
}

impl Content {
    /// Makes a key for a request, the JSON object that the consumer sent.
    ///
    /// # Errors
    /// [`OrderFault::Entropy`]; [`OrderFault::Request`] for what is no JSON object of one meaning.
    pub fn new(request: &[u8]) -> Result<Self, OrderFault> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| OrderFault::Entropy)?;
        let key = ContentKey::from_bytes(bytes);
        let request_hash = key.request_hash(request).map_err(OrderFault::Request)?;
        Ok(Self { key, request_hash })
    }
}

/// One attempt at a request.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// The request's id, `r_<ULID>`.
    pub request_id: &'a RequestId,
    /// Which attempt this is, from 1.
    pub number: u8,
    /// Hash of the order that this one replaces.
    pub parent: Option<Sha256Hash>,
    /// The node that is asked.
    pub node_id: &'a NodeId,
    /// Model as the consumer asked for it.
    pub model_id: &'a str,
    /// Digest of the weights that must serve it.
    pub model_hash: Option<Sha256Hash>,
    /// Tokens that the node may generate at most.
    pub max_tokens: u32,
    /// Temperature in millionths, where the consumer gave one.
    pub temperature_micros: Option<u32>,
    /// Seed, where the consumer gave one.
    pub seed: Option<i64>,
    /// The body that the node gets.
    pub body: &'a [u8],
    /// How long from now the work may take; a day at most.
    pub finish_within: Duration,
}

/// Why there is no order.
#[derive(Debug, thiserror::Error)]
pub enum OrderFault {
    /// The system has no random bytes.
    #[error("the operating system gives no random bytes for a content key")]
    Entropy,
    /// What the consumer sent has no form that could be hashed.
    #[error("the request is not one JSON object of one meaning")]
    Request(#[source] StrictError),
    /// The id has no room for the attempt.
    #[error("the request id is too long for an attempt")]
    Id(#[source] IdError),
    /// There is no key to sign with.
    #[error("the order cannot be signed")]
    Key(#[source] OrderKeyFault),
    /// Every agent would refuse it.
    #[error("the order breaks a rule of orders")]
    Order(#[source] StatementError),
}

/// Makes an order and signs it.
///
/// # Errors
/// [`OrderFault`].
pub fn sign(
    app: &App,
    content: &Content,
    attempt: &Attempt<'_>,
) -> Result<SignedOrder, OrderFault> {
    let now_ms = app.clock.now_ms();
    let within = |duration: Duration| {
        now_ms.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    };
    let finish_within = attempt.finish_within.min(ORDER_FINISH_AHEAD);
    let start_within = START_WITHIN.min(ORDER_START_AHEAD).min(finish_within);
    let request_id = attempt.request_id.of_attempt(attempt.number);
    let order = WorkOrder {
        request_id: request_id.map_err(OrderFault::Id)?,
        node_id: attempt.node_id.clone(),
        lease_id: None,
        model_id: attempt.model_id.to_owned(),
        model_hash: attempt.model_hash,
        max_tokens: attempt.max_tokens,
        temperature_micros: attempt.temperature_micros,
        seed: attempt.seed,
        request_hash: content.request_hash,
        body_hash: content.key.body_hash(attempt.body),
        content_key_hash: content.key.hash(),
        // There are no prices yet.
        price_version: 0,
        start_by_ms: within(start_within),
        finish_by_ms: within(finish_within),
        attempt: attempt.number,
        parent: attempt.parent,
        prefix_hash: None,
    };
    let key = app.order_keys.signing(now_ms).map_err(OrderFault::Key)?;
    order.sign(&key).map_err(OrderFault::Order)
}
