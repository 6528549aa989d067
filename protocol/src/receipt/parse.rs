//! Reading and verifying a receipt.

use super::{Fields, Sha256Hash, Verdict};
use crate::key::{PublicKey, parse_signature};
use crate::limits::{RECEIPT_BYTES, RECEIPT_DEPTH};
use crate::strict::{self, StrictError, Value, cut_member};
use std::borrow::Cow;

/// Why bytes are not a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// More than 64 KiB.
    #[error("a receipt has at most {RECEIPT_BYTES} bytes, this has {bytes}")]
    TooLarge {
        /// Size seen.
        bytes: usize,
    },
    /// Not strict JSON.
    #[error("not strict JSON")]
    Json(#[source] StrictError),
    /// The root is not an object.
    #[error("a receipt is one JSON object")]
    NotAnObject,
    /// A required field is missing.
    #[error("the field {name} is missing")]
    Missing {
        /// The field.
        name: &'static str,
    },
    /// A field has the wrong type or breaks its rule.
    #[error("the field {name} must be {rule}")]
    Field {
        /// The field.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
}

/// A receipt that parsed. Its signature is not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// The fields that programs read.
    pub fields: Fields,
    /// The signature as written.
    pub signature: Cow<'a, str>,
    entry_bytes: Cow<'a, [u8]>,
    signed_bytes: Vec<u8>,
}

impl<'a> Receipt<'a> {
    /// Reads one receipt in any JSON form that the rules allow.
    ///
    /// # Errors
    /// [`ReceiptError`] for everything that must be refused before a signature check.
    pub fn parse(input: &'a [u8]) -> Result<Self, ReceiptError> {
        if input.len() > RECEIPT_BYTES {
            return Err(ReceiptError::TooLarge { bytes: input.len() });
        }
        let document = strict::parse(input, RECEIPT_DEPTH).map_err(ReceiptError::Json)?;
        let Value::Object(members) = &document.root else {
            return Err(ReceiptError::NotAnObject);
        };
        let fields = Fields::read(members)?;
        let at = members
            .iter()
            .position(|m| m.key == "signature")
            .ok_or(ReceiptError::Missing { name: "signature" })?;
        let Value::Str(signature) = &members[at].value else {
            return Err(ReceiptError::Field {
                name: "signature",
                rule: "a string",
            });
        };
        let signature = signature.clone();
        let (entry_bytes, signed_bytes) = if document.is_canonical {
            (Cow::Borrowed(input), cut_member(input, members, at))
        } else {
            (
                Cow::Owned(strict::canonical(&document.root)),
                strict::canonical_without(&document.root, "signature"),
            )
        };
        Ok(Self {
            fields,
            signature,
            entry_bytes,
            signed_bytes,
        })
    }

    /// The canonical form of the whole object: what is stored, hashed and chained.
    pub fn entry_bytes(&self) -> &[u8] {
        &self.entry_bytes
    }

    /// The canonical form without `signature`: what the signature covers.
    pub fn signed_bytes(&self) -> &[u8] {
        &self.signed_bytes
    }

    /// SHA-256 of the entry bytes.
    pub fn entry_hash(&self) -> Sha256Hash {
        Sha256Hash::of(&self.entry_bytes)
    }

    /// Whether the signature holds under `key`, strictly.
    pub fn verify(&self, key: &PublicKey) -> bool {
        parse_signature(&self.signature)
            .is_some_and(|signature| key.verify(&self.signed_bytes, &signature))
    }

    /// Reads and verifies in one go.
    pub fn verdict(input: &[u8], key: &PublicKey) -> Verdict {
        match Receipt::parse(input) {
            Err(_) => Verdict::InvalidReceipt,
            Ok(receipt) if receipt.verify(key) => Verdict::Valid,
            Ok(_) => Verdict::InvalidSignature,
        }
    }
}
