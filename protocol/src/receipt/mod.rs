//! Receipts: the signed record of one request (`docs/receipts.md` has the table of fields).
//!
//! *Entry bytes* are the RFC 8785 form of the whole object, *signed bytes* the same without `signature`.
//! [`Receipt::parse`] reads any JSON form and yields both; where the input already is canonical the entry
//! bytes are the input and the signed bytes are cut out of it, nothing is written again. [`Draft::sign`]
//! makes the receipts of our own agent.

mod draft;
mod fields;
mod parse;

pub use draft::{Draft, Signed};
pub use fields::{Fields, Source, Status, TokensSource, Version};
pub use parse::{Receipt, ReceiptError};

use serde::{Deserialize, Serialize};

/// What a verifier says of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A receipt whose signature holds.
    Valid,
    /// A receipt whose signature does not hold.
    InvalidSignature,
    /// Not a receipt.
    InvalidReceipt,
}

impl Verdict {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::InvalidSignature => "invalid_signature",
            Self::InvalidReceipt => "invalid_receipt",
        }
    }
}

/// SHA-256 as it is written in receipts: 32 bytes, `sha256:` and lower-case hex in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Hash(pub [u8; 32]);

impl Sha256Hash {
    /// `prev_hash` of the first receipt of a chain.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Reads `sha256:` and 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?;
        if !crate::table::is_lower_hex(digits, 64) {
            return None;
        }
        crate::key::unhex(digits).map(Self)
    }

    /// The 64 hex digits without the prefix.
    pub fn to_hex(self) -> String {
        crate::key::hex(&self.0)
    }
}

impl std::fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}

impl std::fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("expected sha256: and 64 lower-case hex digits")
        })
    }
}
