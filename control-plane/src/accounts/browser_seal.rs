//! What a browser keeps for this server between two steps, and can neither read nor change.
//!
//! A sign-in that has begun is kept in no table: it goes to the browser that began it and comes back with the next step. So
//! whoever begins thousands fills nothing here.

use super::AccountError;
use crate::app::MasterKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Most characters of what a browser brings back: a cookie has 4,096.
const SEALED_MAX: usize = 3_000;

/// Encrypts with a key of the data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct BrowserSeal(MasterKey);

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    /// Unix ms.
    expires_at_ms: i64,
    value: T,
}

impl BrowserSeal {
    pub(super) fn new(master: &MasterKey) -> Self {
        Self(MasterKey::from_bytes(
            master.derive("dgon kept by browsers v1"),
        ))
    }

    /// Seals a value. What it is good for, and until when, is part of the seal.
    pub(super) fn seal(
        &self,
        purpose: &str,
        expires_at_ms: i64,
        value: &impl Serialize,
    ) -> Result<String, AccountError> {
        let kept = Kept {
            expires_at_ms,
            value,
        };
        // Our own types always serialise.
        let text = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        let sealed = self.0.seal(purpose, &text);
        Ok(URL_SAFE_NO_PAD.encode(sealed.map_err(|_| AccountError::Randomness)?))
    }

    /// The value again; nothing where it was sealed elsewhere, for something else, or has expired.
    pub(super) fn open<T: DeserializeOwned>(
        &self,
        purpose: &str,
        sealed: &str,
        now_ms: i64,
    ) -> Option<T> {
        if sealed.len() > SEALED_MAX {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let text = Zeroizing::new(self.0.open(purpose, &sealed).ok()?);
        let kept: Kept<T> = serde_json::from_slice(&text).ok()?;
        (now_ms < kept.expires_at_ms).then_some(kept.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_for_its_purpose_in_its_time_and_not_when_changed() {
        let seal = BrowserSeal::new(&MasterKey::from_bytes([7; 32]));
        let sealed = seal.seal("a", 100, &"value").expect("seal");
        let open = |purpose, sealed: &str, now_ms| seal.open::<String>(purpose, sealed, now_ms);
        assert_eq!(open("a", &sealed, 99), Some("value".to_owned()));
        assert_eq!(open("a", &sealed, 100), None, "expired");
        assert_eq!(open("b", &sealed, 99), None, "for something else");
        assert_eq!(seal.open::<i64>("a", &sealed, 99), None, "of another kind");
        assert!(
            !sealed.contains("value") && sealed != seal.seal("a", 100, &"value").expect("seal")
        );
        for place in [0, sealed.len() / 2, sealed.len() - 2] {
            let mut other = sealed.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                open("a", &String::from_utf8(other).expect("text"), 99),
                None
            );
        }
        let elsewhere = BrowserSeal::new(&MasterKey::from_bytes([8; 32]));
        assert_eq!(elsewhere.open::<String>("a", &sealed, 99), None);
        let long = seal.seal("a", 100, &"x".repeat(3_000)).expect("seal");
        assert_eq!(open("a", &long, 99), None, "no cookie is so long");
        for odd in ["", ".", "é", "AAAA"] {
            assert_eq!(open("a", odd, 99), None, "{odd}");
        }
    }
}
