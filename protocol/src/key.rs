//! Ed25519 keys as DGON writes and uses them.
//!
//! A public key is written `ed25519:` and base64 of its 32 bytes, everywhere. Verification is always the
//! strict one (RFC 8032 with canonical S; small-order keys and points refused) and always one by one: batch
//! verification can accept what single verification refuses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Prefix of every key and signature in text.
pub const ALGORITHM_PREFIX: &str = "ed25519:";

/// Why a text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The prefix `ed25519:` is missing.
    #[error("a public key starts with ed25519:")]
    Prefix,
    /// What follows the prefix is not base64 of 32 bytes.
    #[error("a public key is ed25519: and base64 of 32 bytes")]
    Encoding,
    /// The bytes are no canonical point of the prime-order group.
    #[error("not a canonically encoded ed25519 key of prime order")]
    NotPrimeOrder,
}

/// A public key. Any 32 bytes can be held, so that evidence can be shown; bytes that are no point verify nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 32],
    point: Option<VerifyingKey>,
}

impl PublicKey {
    /// Takes 32 bytes as they are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self {
            bytes,
            point: VerifyingKey::from_bytes(&bytes).ok(),
        }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`KeyError`] when the prefix is missing or the rest is not base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text
            .strip_prefix(ALGORITHM_PREFIX)
            .ok_or(KeyError::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::Encoding)?;
        Ok(Self::from_bytes(
            bytes.try_into().map_err(|_| KeyError::Encoding)?,
        ))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// First 16 hex digits of SHA-256 of the key.
    pub fn key_id(&self) -> String {
        hex(&Sha256::digest(self.bytes)[..8])
    }

    /// Whether `signature` over `message` holds under the strict rule.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.point
            .is_some_and(|point| point.verify_strict(message, &signature).is_ok())
    }

    /// Checks what enrolment demands: canonical encoding, prime order.
    ///
    /// # Errors
    /// [`KeyError::NotPrimeOrder`].
    pub fn check_enrollable(&self) -> Result<(), KeyError> {
        let point = self.point.ok_or(KeyError::NotPrimeOrder)?.to_edwards();
        let canonical = point.compress().to_bytes() == self.bytes;
        if canonical && !point.is_small_order() && point.is_torsion_free() {
            Ok(())
        } else {
            Err(KeyError::NotPrimeOrder)
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM_PREFIX}{}", STANDARD.encode(self.bytes))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A node's private key. Wiped from memory on drop; never printed.
#[derive(Clone)]
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// Takes the 32 secret bytes (RFC 8032 seed).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32 secret bytes, for the key file alone.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey {
            bytes: self.0.verifying_key().to_bytes(),
            point: Some(self.0.verifying_key()),
        }
    }

    /// Signs `message`. Everything but a receipt must start with an ASCII prefix and a NUL.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public())
    }
}

/// Writes a signature as `ed25519:` and base64 of 64 bytes.
pub fn signature_text(signature: &[u8; 64]) -> String {
    format!("{ALGORITHM_PREFIX}{}", STANDARD.encode(signature))
}

/// Reads a signature; `None` when the prefix, the base64 or the length is wrong.
pub fn parse_signature(text: &str) -> Option<[u8; 64]> {
    let encoded = text.strip_prefix(ALGORITHM_PREFIX)?;
    let mut bytes = [0u8; 66];
    let length = STANDARD.decode_slice(encoded, &mut bytes).ok()?;
    if length == 64 {
        bytes[..64].try_into().ok()
    } else {
        None
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Reads hex of either case into `N` bytes.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0u8; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}
