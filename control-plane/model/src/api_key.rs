//! Keys with which programs use the network.
//!
//! A key is `dgon_sk_live_<id>_<secret><crc>`, 75 characters: an id of 12, a secret of 43 (256 bits) and a checksum of 6, all
//! base62 (`0-9A-Za-z`, in that order). The checksum is the CRC-32 (IEEE) of everything before it, as GitHub's tokens have one:
//! it finds what is mistyped without a look in the database, and tells a scanner of repositories what is a key of ours. It
//! protects nothing.
//!
//! The id is public and finds the row; of the secret, its SHA-256 is kept. 256 random bits need no slow hash. A key is shown
//! when it is made and never again.

mod limits;
mod scope;

pub use limits::{BUDGET_MAX_NANO_USD, Budget, LimitError, MODELS_MAX, ModelList};
pub use scope::{Scope, ScopeError, Scopes};

use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What every key begins with.
pub const PREFIX: &str = "dgon_sk_live_";
/// Random bytes that a key is made of.
pub const RANDOM_BYTES: usize = 48;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 43;
const CRC_CHARS: usize = 6;

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Something else.
    #[error(
        "that is no API key: one begins with {PREFIX} and has 75 characters; copy the whole of it"
    )]
    Form,
    /// One character or more is wrong.
    #[error("the API key is mistyped or cut: its checksum does not match; copy it again")]
    Checksum,
}

/// The public part of a key, by which its row is found: 12 characters of base62.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(String);

impl ApiKeyId {
    /// Reads an id.
    ///
    /// # Errors
    /// [`ApiKeyError::Form`].
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        if text.len() == ID_CHARS && is_base62(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ApiKeyError::Form)
        }
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a key's secret: what is kept.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// As it was kept.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Takes the same time wherever they differ.
impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// A key. Wiped from memory on drop; printed without its secret.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ApiKey {
    #[zeroize(skip)]
    id: ApiKeyId,
    secret: String,
}

impl ApiKey {
    /// A new key, of bytes from the system's random source.
    pub fn from_random(bytes: &[u8; RANDOM_BYTES]) -> Self {
        let (id, secret) = bytes.split_at(16);
        let mut id = base62(id);
        // 16 bytes are 22 characters, of which the last are as good as even: 2^-56 off.
        let id = ApiKeyId(id.split_off(id.len() - ID_CHARS));
        let secret = base62(secret);
        Self { id, secret }
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`ApiKeyError`]. Nothing of the text is in it.
    pub fn parse(text: &str) -> Result<Self, ApiKeyError> {
        let rest = text.strip_prefix(PREFIX).ok_or(ApiKeyError::Form)?;
        let (id, rest) = rest.split_once('_').ok_or(ApiKeyError::Form)?;
        let id = ApiKeyId::parse(id)?;
        if rest.len() != SECRET_CHARS + CRC_CHARS || !is_base62(rest) {
            return Err(ApiKeyError::Form);
        }
        let (secret, crc) = rest.split_at(SECRET_CHARS);
        let key = Self {
            id,
            secret: secret.to_owned(),
        };
        if checksum(&key.without_checksum()) == crc {
            Ok(key)
        } else {
            Err(ApiKeyError::Checksum)
        }
    }

    /// The public part.
    pub const fn id(&self) -> &ApiKeyId {
        &self.id
    }

    /// The whole key, for its owner, once.
    pub fn reveal(&self) -> Zeroizing<String> {
        let text = self.without_checksum();
        Zeroizing::new(format!("{}{}", text.as_str(), checksum(&text)))
    }

    /// The SHA-256 of the 43 characters of the secret.
    pub fn secret_hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(&self.secret).into())
    }

    fn without_checksum(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}_{}", self.id, self.secret))
    }
}

/// What may be shown and logged: prefix and id.
impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_…", self.id)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({self})")
    }
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A big-endian number in base62, with the zeros that make every number of as many bytes as long.
fn base62(bytes: &[u8]) -> String {
    // A byte is log62(256) = 1.3436 characters.
    let chars = (bytes.len() * 13_436).div_ceil(10_000);
    let mut rest = Zeroizing::new(bytes.to_vec());
    let mut text = Zeroizing::new(vec![b'0'; chars]);
    for place in text.iter_mut().rev() {
        let mut carry = 0_u32;
        for byte in rest.iter_mut() {
            let dividend = carry << 8 | u32::from(*byte);
            // Below 256, since the carry is below 62.
            *byte = (dividend / 62).to_le_bytes()[0];
            carry = dividend % 62;
        }
        *place = ALPHABET[carry as usize];
    }
    text.iter().copied().map(char::from).collect()
}

fn checksum(text: &str) -> String {
    base62(&crc32fast::hash(text.as_bytes()).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> ApiKey {
        ApiKey::from_random(&std::array::from_fn(|at| at as u8))
    }

    #[test]
    fn numbers_are_padded_to_the_length_of_the_largest() {
        assert_eq!(base62(&[0; 4]), "000000");
        assert_eq!(base62(&[0xff; 4]), "4gfFC3");
        assert_eq!(base62(&61_u32.to_be_bytes()), "00000z");
        assert_eq!(base62(&62_u32.to_be_bytes()), "000010");
        assert_eq!(base62(&[0xff; 16]).len(), 22);
        assert_eq!(base62(&[0xff; 32]).len(), SECRET_CHARS);
    }

    #[test]
    fn a_key_is_as_it_always_was() {
        // Made with Python's integers, zlib.crc32 and hashlib.sha256.
        let text = "dgon_sk_live_xkEgOGusQGwp_3oDH4mEVFvp7u7ED6UzpF5eHPrBI5AHumY7UBpOQIJz0y6Qpg";
        assert_eq!(*key().reveal(), text);
        assert_eq!(text.len(), 75);
        let hash = dgon_protocol::key::hex(key().secret_hash().as_bytes());
        assert_eq!(
            hash,
            "23d1d4ce46bc212646ed50d501b9b79e30b9c19a84ff260fcdd7323e9c996ddf"
        );
    }

    #[test]
    fn a_key_is_printed_without_its_secret() {
        let key = key();
        let shown = format!("{key} {key:?} {:?}", key.secret_hash());
        assert!(shown.contains(key.id().as_str()));
        assert!(!shown.contains(&key.secret[..4]));
        let public = format!("{PREFIX}{}_…", key.id());
        assert_eq!(shown, format!("{public} ApiKey({public}) SecretHash(..)"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = key().reveal();
        assert_eq!(
            ApiKey::parse(&good).unwrap().secret_hash(),
            key().secret_hash()
        );
        for bad in [
            "",
            PREFIX,
            &good[1..],
            &good[..74],
            &format!("{}0", *good),
            &format!(" {}", *good),
            &format!("{}\n", *good),
            &good.replace("live", "test"),
            &good.replace("dgon_", "DGON_"),
            &good.replacen("live_", "live_0", 1),
            &format!("{}-{}", &good[..25], &good[26..]),
            &format!("{}é{}", &good[..40], &good[42..]),
            &format!("{}_{}", &good[..40], &good[41..]),
        ] {
            assert_eq!(ApiKey::parse(bad).unwrap_err(), ApiKeyError::Form, "{bad}");
        }
    }

    #[test]
    fn a_mistyped_key_is_found_by_its_checksum() {
        let good = key().reveal();
        for at in (PREFIX.len()..good.len()).filter(|at| good.as_bytes()[*at] != b'_') {
            let other = if good.as_bytes()[at] == b'0' {
                "1"
            } else {
                "0"
            };
            let bad = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            assert_eq!(
                ApiKey::parse(&bad).unwrap_err(),
                ApiKeyError::Checksum,
                "{bad}"
            );
        }
    }

    #[test]
    fn hashes_are_equal_only_where_all_bytes_are() {
        let hash = *key().secret_hash().as_bytes();
        for at in 0..32 {
            let mut other = hash;
            other[at] ^= 1;
            assert_ne!(SecretHash::from_bytes(other), key().secret_hash());
        }
        assert_eq!(SecretHash::from_bytes(hash), key().secret_hash());
    }

    proptest! {
        #[test]
        fn every_key_is_read_again(bytes in prop::collection::vec(any::<u8>(), RANDOM_BYTES)) {
            let key = ApiKey::from_random(&bytes.try_into().unwrap());
            let read = ApiKey::parse(&key.reveal()).unwrap();
            prop_assert_eq!(key.reveal().len(), 75);
            prop_assert_eq!(read.id(), key.id());
            prop_assert_eq!(read.secret_hash(), key.secret_hash());
        }

        #[test]
        fn no_text_panics(text in "(dgon_sk_live_)?.{0,80}") {
            let _ = ApiKey::parse(&text);
        }
    }
}
