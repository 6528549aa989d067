//! What an ID token proves, and when it proves nothing.

use super::error::TokenError;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::collections::HashSet;
use subtle::ConstantTimeEq as _;

/// How far the clocks of this server and an issuer may be apart, s.
const SKEW_S: i64 = 60;
/// Longest name of an account: as the standard has it.
const SUBJECT_MAX: usize = 255;
/// Longest address that is kept.
const EMAIL_MAX: usize = 254;
/// Algorithms that are taken where an issuer has them: signatures of public keys, one per kind of key.
const TAKEN: [(&str, Algorithm); 3] = [
    ("RS256", Algorithm::RS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

/// An account at an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name there, which no other ever has.
    pub subject: String,
    /// The address that the issuer says, for people to read. It proves nothing.
    pub email: Option<String>,
}

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    /// The one that was asked with.
    pub(super) nonce: &'a str,
    /// When the sign-in began, unix s: no token of it is older.
    pub(super) begun_s: i64,
    pub(super) now_s: i64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    /// Seconds, whole or not.
    exp: f64,
    iat: f64,
    nonce: Option<String>,
    azp: Option<String>,
    /// Of whatever kind: a wrong one is no reason to refuse.
    email: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Of the algorithms that an issuer says it signs with, those that are taken. `none` and those with a shared secret never are.
pub(super) fn taken(advertised: &[String]) -> Vec<Algorithm> {
    let is_there = |name: &str| advertised.iter().any(|one| one == name);
    let taken = TAKEN.into_iter().filter(|(name, _)| is_there(name));
    taken.map(|(_, algorithm)| algorithm).collect()
}

/// Algorithm and key that a token names, before anything of it is believed.
pub(super) fn named(
    token: &str,
    taken: &[Algorithm],
) -> Result<(Algorithm, Option<String>), TokenError> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Unreadable)?;
    match taken.contains(&header.alg) {
        true => Ok((header.alg, header.kid)),
        false => Err(TokenError::Unreadable),
    }
}

/// The account that a token proves, by a key of the issuer.
pub(super) fn account(
    token: &str,
    (algorithm, key): (Algorithm, &DecodingKey),
    expected: &Expected<'_>,
) -> Result<Account, TokenError> {
    // The claims are judged below, by this server's clock and without lists of what would do as well.
    let mut signature_alone = Validation::new(algorithm);
    signature_alone.required_spec_claims = HashSet::new();
    signature_alone.validate_exp = false;
    signature_alone.validate_aud = false;
    let read = jsonwebtoken::decode::<Claims>(token, key, &signature_alone);
    judged(read.map_err(TokenError::Signature)?.claims, expected)
}

fn judged(claims: Claims, expected: &Expected<'_>) -> Result<Account, TokenError> {
    let must = |holds: bool, claim| {
        if holds {
            Ok(())
        } else {
            Err(TokenError::Claim(claim))
        }
    };
    let after = |a: f64, b_s: i64| a > b_s as f64;
    must(claims.iss == expected.issuer, "iss")?;
    let audiences = match &claims.aud {
        Audience::One(one) => std::slice::from_ref(one),
        Audience::Many(many) => many.as_slice(),
    };
    let is_ours = |name: &String| name == expected.client_id;
    must(audiences.iter().any(is_ours), "aud")?;
    // For whom it was made, where others may read it, too.
    let for_us = match &claims.azp {
        Some(azp) => is_ours(azp),
        None => audiences.len() == 1,
    };
    must(for_us, "azp")?;
    must(after(claims.exp, expected.now_s - SKEW_S), "exp")?;
    let is_early = after(claims.iat, expected.now_s + SKEW_S);
    let is_since = !after(expected.begun_s as f64 - claims.iat, SKEW_S);
    must(!is_early && is_since && claims.iat.is_finite(), "iat")?;
    let nonce = claims.nonce.unwrap_or_default();
    let is_same: bool = nonce.as_bytes().ct_eq(expected.nonce.as_bytes()).into();
    must(is_same, "nonce")?;
    let is_text = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && !text.chars().any(char::is_control)
    };
    must(is_text(&claims.sub, SUBJECT_MAX), "sub")?;
    let email = claims.email.as_ref().and_then(|email| email.as_str());
    Ok(Account {
        subject: claims.sub,
        email: email
            .filter(|email| is_text(email, EMAIL_MAX))
            .map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const EXPECTED: Expected<'_> = Expected {
        issuer: "https://issuer.example",
        client_id: "us",
        nonce: "n",
        begun_s: 1_000,
        now_s: 1_100,
    };

    /// What becomes of a good token after these changes; the name of the claim that is wrong.
    fn judge(change: Value) -> Result<Account, String> {
        let mut claims = json!({ "iss": "https://issuer.example", "sub": "s", "aud": "us", "exp": 1_400,
            "iat": 1_090, "nonce": "n" });
        for (name, value) in change.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        let claims = serde_json::from_value(claims).map_err(|_| "form".to_owned())?;
        judged(claims, &EXPECTED).map_err(|error| match error {
            TokenError::Claim(name) => name.to_owned(),
            other => other.to_string(),
        })
    }

    #[test]
    fn a_token_is_for_this_server_this_sign_in_and_this_time() {
        for good in [
            json!({}),
            json!({ "aud": ["us"] }),
            json!({ "aud": ["us", "others"], "azp": "us" }),
            json!({ "azp": "us" }),
            json!({ "exp": 1_041, "iat": 940 }),
            json!({ "exp": 1_041.5, "iat": 1_160 }),
            json!({ "sub": "s".repeat(255) }),
        ] {
            let judged = judge(good.clone());
            assert!(judged.is_ok(), "{good}: {judged:?}");
        }
        for (bad, claim) in [
            (json!({ "iss": "https://issuer.example/" }), "iss"),
            (json!({ "iss": ["https://issuer.example"] }), "form"),
            (json!({ "aud": "others" }), "aud"),
            (json!({ "aud": [] }), "aud"),
            (json!({ "aud": ["us", "others"] }), "azp"),
            (json!({ "aud": ["us", "others"], "azp": "others" }), "azp"),
            (json!({ "azp": "others" }), "azp"),
            (json!({ "exp": 1_040 }), "exp"),
            (json!({ "exp": null }), "form"),
            (json!({ "iat": 939 }), "iat"),
            (json!({ "iat": 1_161 }), "iat"),
            (json!({ "nonce": "m" }), "nonce"),
            (json!({ "nonce": null }), "nonce"),
            (json!({ "nonce": "nn" }), "nonce"),
            (json!({ "sub": "" }), "sub"),
            (json!({ "sub": "a\0" }), "sub"),
            (json!({ "sub": "s".repeat(256) }), "sub"),
            (json!({ "sub": 7 }), "form"),
        ] {
            assert_eq!(judge(bad.clone()).expect_err("refused"), claim, "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_left_out() {
        let email = |email: Value| judge(json!({ "email": email })).expect("good").email;
        assert_eq!(email(json!("a@b.example")).as_deref(), Some("a@b.example"));
        for none in [json!(7), json!(""), json!("a\nb"), json!("a".repeat(255))] {
            assert_eq!(email(none), None);
        }
    }

    #[test]
    fn of_the_algorithms_of_an_issuer_few_are_taken() {
        let all = ["none", "HS256", "RS512", "PS256", "EdDSA", "RS256"].map(str::to_owned);
        assert_eq!(taken(&all), [Algorithm::RS256, Algorithm::EdDSA]);
        assert_eq!(taken(&["none".to_owned(), "HS256".to_owned()]), []);
    }
}
