//! Reading and verifying an order.

use super::{ATTEMPTS, MAX_TOKENS, ORDER_DOMAIN, TEMPERATURE_MICROS, WorkOrder};
use crate::content::{Blake3Hash, blake3_hash};
use crate::id::{KeyId, RequestId};
use crate::key::PublicKey;
use crate::limits::ORDER_BYTES;
use crate::receipt::Sha256Hash;
use crate::statement::{Kind, Signed, StatementError};
use crate::strict::Value;
use crate::table::{BLAKE3, COUNT, FieldError, MODEL, Table, count, int, line};

pub(super) const ORDER: Kind = Kind {
    what: "an order",
    domain: ORDER_DOMAIN,
    most_bytes: ORDER_BYTES,
};

/// An order that parsed. Its signature is not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOrder {
    /// What is asked.
    pub order: WorkOrder,
    signed: Signed,
}

impl SignedOrder {
    /// Reads one order in any JSON form that the rules of receipts allow. Members that are not known are allowed, and
    /// covered by the signature: the control plane may be newer.
    ///
    /// # Errors
    /// [`StatementError`] for everything that must be refused before a signature check.
    pub fn parse(input: &[u8]) -> Result<Self, StatementError> {
        let (order, signed) = ORDER.parse(input, read)?;
        Ok(Self { order, signed })
    }

    /// The name of the key that is said to have signed it.
    pub fn kid(&self) -> &KeyId {
        &self.signed.kid
    }

    /// The RFC 8785 form of the whole object.
    pub fn entry_bytes(&self) -> &[u8] {
        &self.signed.entry_bytes
    }

    /// SHA-256 of the entry bytes, which commits to the signature too: what the receipt of the work names.
    pub fn order_hash(&self) -> Sha256Hash {
        self.signed.entry_hash()
    }

    /// Whether `kid` names `key` and the signature holds under it, strictly. Whether that key may sign orders now is
    /// the caller's to look up ([`OrderKeys::live`](super::OrderKeys::live)).
    pub fn verify(&self, key: &PublicKey) -> bool {
        self.signed.verify(key)
    }
}

fn up_to(least: u32, most: u32) -> impl Fn(&Value<'_>) -> Option<u32> {
    move |value| {
        u32::try_from(int(value)?)
            .ok()
            .filter(|n| (least..=most).contains(n))
    }
}

fn hash(table: &Table<'_, '_>, name: &'static str) -> Result<Blake3Hash, FieldError> {
    table.required(name, BLAKE3, blake3_hash)
}

fn read(table: &Table<'_, '_>) -> Result<WorkOrder, FieldError> {
    let attempt = |v: &Value<'_>| u8::try_from(up_to(1, u32::from(ATTEMPTS))(v)?).ok();
    let order = WorkOrder {
        request_id: table.request_id("request_id")?,
        node_id: table.node_id("node_id")?,
        lease_id: table.optional(
            "lease_id",
            "a string of 1 to 64 characters, none a control character",
            line(1..=64),
        )?,
        model_id: table.required("model_id", MODEL, line(1..=256))?,
        model_hash: table.optional_sha256("model_hash")?,
        max_tokens: table.required(
            "max_tokens",
            "an integer from 1 to 2^31-1",
            up_to(1, MAX_TOKENS),
        )?,
        temperature_micros: table.optional(
            "temperature_micros",
            "an integer from 0 to 10,000,000",
            up_to(0, TEMPERATURE_MICROS),
        )?,
        seed: table.optional("seed", "an integer", int)?,
        request_hash: hash(table, "request_hash")?,
        body_hash: hash(table, "body_hash")?,
        content_key_hash: table.sha256("content_key_hash")?,
        price_version: table.count("price_version")?,
        start_by_ms: table.required("start_by_ms", COUNT, count)?,
        finish_by_ms: table.required("finish_by_ms", COUNT, count)?,
        attempt: table.required("attempt", "an integer from 1 to 99", attempt)?,
        parent: table.optional_sha256("parent")?,
        prefix_hash: table.optional("prefix_hash", BLAKE3, blake3_hash)?,
    };
    check(&order)?;
    Ok(order)
}

/// Rules that more than one field has part in.
fn check(order: &WorkOrder) -> Result<(), FieldError> {
    if !is_of_attempt(&order.request_id, order.attempt) {
        return Err(FieldError::Rule {
            name: "request_id",
            rule: "r_, the request's name, a point and the number of the attempt",
        });
    }
    if order.finish_by_ms < order.start_by_ms {
        return Err(FieldError::Rule {
            name: "finish_by_ms",
            rule: "not before start_by_ms",
        });
    }
    Ok(())
}

/// Whether the id is the one of this attempt at a request of ours.
fn is_of_attempt(request_id: &RequestId, attempt: u8) -> bool {
    request_id
        .as_str()
        .strip_prefix("r_")
        .and_then(|rest| rest.strip_suffix(&format!(".{attempt}")))
        .is_some_and(|name| !name.is_empty())
}
