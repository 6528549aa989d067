//! Access tokens: JWTs of ten minutes (RFC 9068, `at+jwt`), signed with Ed25519 and nothing else.
//!
//! A token that this server has not signed is refused without a look in the database. One that it has signed proves no more
//! than which row to look for: whether its session goes on is asked at each request, so that a token ends at once with it.
//! Keys are made from the master key, a new one every thirty days; the one before is good for as long as its last tokens.

use crate::app::MasterKey;
use dgon_protocol::key::NodeKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

const TYPE: &str = "at+jwt";
const AUDIENCE: &str = "dgon console";
/// The issuer of a server that has no address.
const NO_ADDRESS: &str = "dgon control plane";
/// For how long one key signs, ms.
const KEY_MS: i64 = 30 * 86_400_000;
/// Most characters of a token that is looked at; ours have about five hundred.
const CHARS_MAX: usize = 2_000;
/// What comes before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    /// The account.
    pub(super) sub: String,
    /// The sign-in.
    pub(super) sid: String,
    /// Its own name, which finds its row.
    pub(super) jti: String,
    /// Unix s.
    iat: i64,
    /// Unix s.
    exp: i64,
}

/// Signs tokens, and knows its own again.
#[derive(Clone)]
pub(super) struct AccessTokens {
    master: MasterKey,
    issuer: Arc<str>,
    /// The two keys that are good, once they were made.
    keys: Arc<Mutex<Vec<Arc<Key>>>>,
}

struct Key {
    period: i64,
    signs: EncodingKey,
    verifies: DecodingKey,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessTokens")
    }
}

impl AccessTokens {
    pub(super) fn new(master: MasterKey, public_url: Option<&str>) -> Self {
        Self {
            master,
            issuer: public_url.unwrap_or(NO_ADDRESS).into(),
            keys: Arc::default(),
        }
    }

    /// The token of an account's sign-in, named `jti`, that is good from `from_ms` until `to_ms`, unix ms. The same for the same.
    pub(super) fn sign(
        &self,
        (user_id, family_id): (&str, &str),
        jti: &str,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let key = self.key(from_ms.div_euclid(KEY_MS));
        let header = Header {
            typ: Some(TYPE.to_owned()),
            kid: Some(key.period.to_string()),
            ..Header::new(Algorithm::EdDSA)
        };
        let claims = Claims {
            iss: self.issuer.to_string(),
            aud: AUDIENCE.to_owned(),
            sub: user_id.to_owned(),
            sid: family_id.to_owned(),
            jti: jti.to_owned(),
            iat: from_ms.div_euclid(1_000),
            // Not before the row that it names.
            exp: (to_ms + 999).div_euclid(1_000),
        };
        jsonwebtoken::encode(&header, &claims, &key.signs)
    }

    /// What a token says that this server has signed and that is good at `now_ms`, unix ms.
    pub(super) fn open(&self, token: &str, now_ms: i64) -> Option<Claims> {
        if token.len() > CHARS_MAX {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let period: i64 = header.kid?.parse().ok()?;
        let now = now_ms.div_euclid(KEY_MS);
        // Whoever names another one makes nobody derive it.
        let key = (period == now || period == now - 1).then(|| self.key(period))?;
        let mut signature_alone = Validation::new(Algorithm::EdDSA);
        signature_alone.required_spec_claims = HashSet::new();
        signature_alone.validate_exp = false;
        signature_alone.validate_aud = false;
        let read = jsonwebtoken::decode::<Claims>(token, &key.verifies, &signature_alone);
        let claims = read.ok()?.claims;
        let is_ours = *claims.iss == *self.issuer && claims.aud == AUDIENCE;
        let is_good = claims.exp.saturating_mul(1_000) > now_ms;
        (is_ours && is_good).then_some(claims)
    }

    fn key(&self, period: i64) -> Arc<Key> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.iter().find(|key| key.period == period) {
            return Arc::clone(key);
        }
        let purpose = format!("dgon access tokens v1 {period}");
        let seed = zeroize::Zeroizing::new(self.master.derive(&purpose));
        let public = NodeKey::from_seed(&seed).public();
        let pkcs8 = zeroize::Zeroizing::new([PKCS8.as_slice(), seed.as_slice()].concat());
        let key = Arc::new(Key {
            period,
            signs: EncodingKey::from_ed_der(&pkcs8),
            verifies: DecodingKey::from_ed_der(public.as_bytes()),
        });
        // Only those of now and before are asked for, so that the clock alone moves them on.
        keys.retain(|key| (key.period - period).abs() <= 1);
        keys.push(Arc::clone(&key));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    const NOW_MS: i64 = 1_795_230_000_000;
    const MINUTES: i64 = 600_000;

    fn tokens(byte: u8, url: Option<&str>) -> AccessTokens {
        AccessTokens::new(MasterKey::from_bytes([byte; 32]), url)
    }

    fn signed(tokens: &AccessTokens, from_ms: i64) -> String {
        let whose = ("u_1", "s_1");
        let token = tokens.sign(whose, "name", (from_ms, from_ms + MINUTES));
        token.expect("a token")
    }

    #[test]
    fn a_token_says_whose_it_is_for_ten_minutes() {
        let tokens = tokens(1, Some("https://console.example"));
        let token = signed(&tokens, NOW_MS);
        assert_eq!(token, signed(&tokens, NOW_MS), "the same for the same");
        let claims = tokens.open(&token, NOW_MS).expect("claims");
        assert_eq!(
            (&*claims.sub, &*claims.sid, &*claims.jti),
            ("u_1", "s_1", "name")
        );
        assert!(tokens.open(&token, NOW_MS + MINUTES - 1).is_some());
        assert_eq!(tokens.open(&token, NOW_MS + MINUTES), None);
        let header = jsonwebtoken::decode_header(&token).expect("header");
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    }

    #[test]
    fn what_this_server_has_not_signed_is_none_of_its_own() {
        let ours = tokens(1, Some("https://console.example"));
        let token = signed(&ours, NOW_MS);
        for other in [
            tokens(2, Some("https://console.example")),
            tokens(1, Some("https://other.example")),
            tokens(1, None),
        ] {
            assert_eq!(other.open(&token, NOW_MS), None);
        }
        let [head, body, seal] = token
            .split('.')
            .collect::<Vec<_>>()
            .try_into()
            .expect("three parts");
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let period = NOW_MS.div_euclid(KEY_MS);
        let heads = [
            r#"{"alg":"none","typ":"at+jwt"}"#.to_owned(),
            format!(r#"{{"alg":"HS256","typ":"at+jwt","kid":"{period}"}}"#),
            format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{period}"}}"#),
            format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, period + 1),
            r#"{"alg":"EdDSA","typ":"at+jwt"}"#.to_owned(),
        ];
        for other in heads {
            assert_eq!(
                ours.open(&format!("{}.{body}.{seal}", part(&other)), NOW_MS),
                None,
                "{other}"
            );
        }
        for bad in [
            String::new(),
            "a.b.c".to_owned(),
            format!("{head}.{body}."),
            format!("{head}.{}.{seal}", part(r#"{"sub":"u_2"}"#)),
            format!("{token}{}", "A".repeat(CHARS_MAX)),
        ] {
            assert_eq!(ours.open(&bad, NOW_MS), None, "{bad}");
        }
    }

    #[test]
    fn a_key_signs_for_thirty_days_and_its_last_tokens_outlive_it() {
        let tokens = tokens(1, None);
        let change_ms = (NOW_MS.div_euclid(KEY_MS) + 1) * KEY_MS;
        let last = signed(&tokens, change_ms - 1);
        let next = signed(&tokens, change_ms);
        let kid = |token: &str| jsonwebtoken::decode_header(token).expect("header").kid;
        assert_ne!(kid(&last), kid(&next));
        assert!(tokens.open(&last, change_ms + 1).is_some());
        assert!(tokens.open(&next, change_ms + 1).is_some());
        // Two periods on, its key is not even made again.
        let long = tokens
            .sign(("u", "s"), "j", (NOW_MS, i64::MAX / 2))
            .expect("a token");
        assert!(tokens.open(&long, NOW_MS + KEY_MS).is_some());
        assert_eq!(tokens.open(&long, NOW_MS + 2 * KEY_MS), None);
    }
}
