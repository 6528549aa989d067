//! Keyed hashes of what was asked and answered (`docs/orders.md` has the rules for clients).
//!
//! Each request has a random content key, which goes to the node and to the consumer and is stored by nobody. Its hash
//! stands in the order. So order, receipt and countersignature commit to prompt and answer, and who does not have the
//! key cannot even guess them.

mod choices;

pub use choices::{Choices, ContentError};

use crate::key::{hex, unhex};
use crate::limits::CONTENT_DEPTH;
use crate::receipt::Sha256Hash;
use crate::strict::{StrictError, StrictErrorKind, Value, canonical_json};
use crate::table::{is_lower_hex, text};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

/// A keyed BLAKE3 hash: 32 bytes, `blake3:` and lower-case hex in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blake3Hash(pub [u8; 32]);

impl Blake3Hash {
    /// Reads `blake3:` and 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("blake3:")?;
        is_lower_hex(digits, 64).then(|| unhex(digits).map(Self))?
    }
}

impl fmt::Display for Blake3Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", hex(&self.0))
    }
}

impl fmt::Debug for Blake3Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(crate) fn blake3_hash(value: &Value<'_>) -> Option<Blake3Hash> {
    Blake3Hash::parse(text(value)?)
}

/// The content key of one request. Wiped from memory on drop; never printed.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; 32]>);

impl ContentKey {
    /// Takes 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads 64 lower-case hex digits, as the consumer is told the key.
    pub fn parse(text: &str) -> Option<Self> {
        is_lower_hex(text, 64).then(|| unhex(text).map(Self::from_bytes))?
    }

    /// The key of the keyed hashes in the receipt of the request.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits: for the node, and for the consumer.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(self.0.as_slice()))
    }

    /// SHA-256 of the 32 bytes: what the order says of the key.
    pub fn hash(&self) -> Sha256Hash {
        Sha256Hash::of(self.0.as_slice())
    }

    /// Hash of the RFC 8785 bytes of the JSON object that the consumer sent, whatever form it had.
    ///
    /// # Errors
    /// [`StrictError`] where that is not one JSON object of one meaning, or deeper than [`CONTENT_DEPTH`].
    pub fn request_hash(&self, json: &[u8]) -> Result<Blake3Hash, StrictError> {
        let canonical = canonical_json(json, CONTENT_DEPTH)?;
        if canonical.first() != Some(&b'{') {
            return Err(StrictError {
                kind: StrictErrorKind::Syntax,
                offset: 0,
            });
        }
        Ok(self.keyed_hash(&canonical))
    }

    /// Hash of the bytes of the body that the node gets.
    pub fn body_hash(&self, body: &[u8]) -> Blake3Hash {
        self.keyed_hash(body)
    }

    /// [`body_hash`](Self::body_hash) of a body that comes in pieces.
    pub fn body_hasher(&self) -> BodyHasher {
        BodyHasher(blake3::Hasher::new_keyed(&self.0))
    }

    fn keyed_hash(&self, bytes: &[u8]) -> Blake3Hash {
        Blake3Hash(*blake3::keyed_hash(&self.0, bytes).as_bytes())
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(…)")
    }
}

impl Serialize for ContentKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for ContentKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("a content key is 64 lower-case hex digits"))
    }
}

/// Hashes a body as it comes.
pub struct BodyHasher(blake3::Hasher);

impl BodyHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all bytes so far.
    pub fn finish(&self) -> Blake3Hash {
        Blake3Hash(*self.0.finalize().as_bytes())
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyHasher(…)")
    }
}
