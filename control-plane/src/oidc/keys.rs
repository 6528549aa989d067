//! The keys of an issuer that ID tokens are signed with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use std::ops::RangeInclusive;

/// Keys of one issuer that are looked at.
const KEYS_MAX: usize = 64;
/// Bytes of the modulus of an RSA key: 2,048 bits at least, and 4,096 at most.
const MODULUS: RangeInclusive<usize> = 256..=512;
/// Bytes of its exponent, and of each number of the other kinds of keys.
const EXPONENT: RangeInclusive<usize> = 1..=4;
const COORDINATE: RangeInclusive<usize> = 32..=32;

/// Keys as an issuer publishes them.
#[derive(Debug, Deserialize)]
pub(super) struct Published {
    keys: Vec<serde_json::Value>,
}

/// Keys that can be used. What an issuer has for other uses is left out.
#[derive(Debug)]
pub(super) struct Keys(Vec<Jwk>);

impl From<Published> for Keys {
    fn from(published: Published) -> Self {
        let keys = published.keys.into_iter().take(KEYS_MAX);
        let known = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Self(known.filter(is_for_signatures).collect())
    }
}

impl Keys {
    /// The key of this name for this algorithm. A token that names none has the only one that there is.
    pub(super) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<DecodingKey> {
        let mut fit = self.0.iter().filter(|key| {
            let is_named = kid.is_none() || key.common.key_id.as_deref() == kid;
            is_named && is_for(key, algorithm)
        });
        match (fit.next(), fit.next()) {
            (Some(key), None) => DecodingKey::from_jwk(key).ok(),
            _ => None,
        }
    }
}

fn is_for_signatures(key: &Jwk) -> bool {
    let common = &key.common;
    let for_use = common.public_key_use.as_ref();
    let operations = common.key_operations.as_ref();
    for_use.is_none_or(|for_use| *for_use == PublicKeyUse::Signature)
        && operations.is_none_or(|all| all.contains(&KeyOperations::Verify))
}

/// Whether this is a key of that algorithm and no other: of the right kind, and large enough.
fn is_for(key: &Jwk, algorithm: Algorithm) -> bool {
    let named = key.common.key_algorithm.map(|named| named.to_string());
    let is_kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(key), Algorithm::RS256) => {
            has(&key.n, MODULUS) && has(&key.e, EXPONENT)
        }
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => {
            let is_point = has(&key.x, COORDINATE) && has(&key.y, COORDINATE);
            key.curve == EllipticCurve::P256 && is_point
        }
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => {
            key.curve == EllipticCurve::Ed25519 && has(&key.x, COORDINATE)
        }
        _ => false,
    };
    is_kind && named.is_none_or(|named| named == format!("{algorithm:?}"))
}

/// Whether a number of a key has so many bytes: the library takes them as they come.
fn has(number: &str, bytes: RangeInclusive<usize>) -> bool {
    URL_SAFE_NO_PAD
        .decode(number)
        .is_ok_and(|number| bytes.contains(&number.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn found(keys: Value, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let published: Published = serde_json::from_value(json!({ "keys": keys })).expect("keys");
        Keys::from(published).find(algorithm, kid).is_some()
    }

    fn ed(more: Value) -> Value {
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43) });
        let key_fields = key.as_object_mut().expect("an object");
        key_fields.extend(more.as_object().expect("an object").clone());
        key
    }

    #[test]
    fn a_key_is_found_by_its_name_for_its_own_use() {
        let one = || ed(json!({ "kid": "a", "use": "sig", "alg": "EdDSA" }));
        assert!(found(json!([one()]), Algorithm::EdDSA, Some("a")));
        assert!(!found(json!([one()]), Algorithm::EdDSA, Some("b")));
        // Without a name there must be no doubt.
        assert!(found(json!([one()]), Algorithm::EdDSA, None));
        let two = json!([one(), ed(json!({ "kid": "b" }))]);
        assert!(!found(two.clone(), Algorithm::EdDSA, None));
        assert!(found(two, Algorithm::EdDSA, Some("b")));
        for other in [
            ed(json!({ "kid": "a", "use": "enc" })),
            ed(json!({ "kid": "a", "alg": "ES256" })),
            ed(json!({ "kid": "a", "key_ops": ["sign"] })),
            json!({ "kid": "a", "kty": "oct", "k": "AAAA" }),
            json!({ "kid": "a", "kty": "RSA", "e": "AQAB", "n": "A".repeat(171) }),
            ed(json!({ "kid": "a", "x": "AAAA" })),
            ed(json!({ "kid": "a", "x": "A".repeat(44) })),
            json!({ "kid": "a", "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }),
            json!("no key"),
        ] {
            for algorithm in [Algorithm::EdDSA, Algorithm::RS256, Algorithm::HS256] {
                assert!(!found(json!([other]), algorithm, Some("a")), "{other}");
            }
            // One that is of no use does not hide the others.
            let both = json!([other, ed(json!({ "kid": "c" }))]);
            assert!(found(both, Algorithm::EdDSA, Some("c")));
        }
    }

    #[test]
    fn a_small_key_of_rsa_is_none() {
        let rsa = |bytes: usize| {
            let n = URL_SAFE_NO_PAD.encode(vec![0xff; bytes]);
            let keys = json!([{ "kid": "a", "kty": "RSA", "e": "AQAB", "n": n }]);
            found(keys, Algorithm::RS256, Some("a"))
        };
        assert_eq!([128, 256, 512, 1_024].map(rsa), [false, true, true, false]);
    }
}
