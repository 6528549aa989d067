//! Random secrets, their hashes, and tokens derived from tokens.

use super::AccountError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// 256 random bits as text, after a prefix that says what it is.
pub(super) fn random_text(prefix: &str) -> Result<String, AccountError> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| AccountError::Randomness)?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// A public identity: prefix, underscore, 80 random bits.
pub(super) fn public_id(prefix: &str) -> Result<String, AccountError> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| AccountError::Randomness)?;
    let text: String = bytes
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
        .collect();
    Ok(format!("{prefix}_{text}"))
}

/// What the database keeps of a secret of 128 bits or more: a fast hash is enough for those.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Derives a session's tokens from their parent.
#[derive(Clone)]
pub(super) struct DerivationKey([u8; 32]);

impl std::fmt::Debug for DerivationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DerivationKey")
    }
}

impl DerivationKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The token of `kind` that belongs to `parent`: always the same, and unknown without the key.
    pub(super) fn derive(&self, kind: &str, parent: &str) -> String {
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            // HMAC takes keys of any length; this arm is unreachable and must not panic.
            Err(_) => Hmac::new(&Default::default()),
        };
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(parent.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_tokens_depend_on_key_kind_and_parent() {
        let key = DerivationKey::new([1; 32]);
        let token = key.derive("access", "parent");
        assert_eq!(token, key.derive("access", "parent"));
        assert_ne!(token, key.derive("refresh", "parent"));
        assert_ne!(token, key.derive("access", "other"));
        assert_ne!(
            token,
            DerivationKey::new([2; 32]).derive("access", "parent")
        );
    }

    #[test]
    fn secrets_are_long_and_differ() {
        let one = random_text("x_").expect("random");
        assert_eq!(one.len(), 2 + 43);
        assert_ne!(one, random_text("x_").expect("random"));
        assert_eq!(public_id("u").expect("random").len(), 18);
    }
}
