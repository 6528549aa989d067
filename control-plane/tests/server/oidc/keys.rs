//! How the issuer of tests signs, well and badly.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use dgon_protocol::key::NodeKey;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// What precedes the 32 bytes of a key of Ed25519 in PKCS 8.
const ED_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// A key of RSA for these tests alone, PKCS 1.
const RSA_KEY: &str = "\
    MIIEowIBAAKCAQEA5fPlz3M19Y1Pk8K7wiEd/mR8yKTVioC4VknX+suIqY5zWU5loiyWSKozLM2dEgXn7sXlSR+WJtkFr7LV4uQGXG8r\
    2t8r81Ow2vv09tQULBXOBAYlELRiZK95MmH2gL4u4aQTwnuiqkFBHOivq3PoMYmr0ZFsY6SZfRbVvwfSqf/8SbgV6BHRwJzSse8JsqIW\
    VlgTd3F7K9rA2JOcHRMm3rWmBtjoDCN9yCFcuuvUOmVXegeNtox8TEvbWuvo5J8+ek4y0tgLuxI0y+/w2T+g8jzzW4pik5CVxNn+iH6G\
    ioSklsjf+1xSJlvMuSY2O4g/jcNIHw2x026mCmNHY1Zw2QIDAQABAoIBAA4HVvU7MLokfwu84DPtgOUjMxJ4LYFMoKWLAPH1w6AGGio2\
    asoXcRFJaOPXC20TdSncL6r9Xu1+mFoDgNVdvR5ohEMCRUeL/iJUWrmwO8BqXofHHcqRTRHNbrxqVsQivInbHUvkVQrD/l/wH796/vOY\
    U/LuFBaKiF6l3pZphZDSkouAnkVLzFBiZ/25HMvTei8OePcXmpMqv1XzXMz/vJ++mN8ec/2RK6G1S1TYTe4cP/rGSksxwJxjzgLTnb6y\
    XzdOoJ9MAX8yFxtp/qWpqpHdKU5Gz6mOaBNPd0fNqX8a/AE5zyv3tSqdcd4/VMkA2QZixCqI0lPEqCBQSLdV8E0CgYEA9VWPAoEGYoLN\
    J7lcsKG3tcfr94NIlo7ESYrS1k/nUSz1alzNXhmFWymoXWELWDJlDh1QBvUsxhZUibehE+Q7WRsnjisP0QhYXX4aRWU+GpqV0N2WuvD5\
    ty0sV6sZVSY7/Yl9NA94oFsc9w5d/2HQuMdLZvsIqR9zuiFaDLCXX9MCgYEA7/MmshWOpEi2ya8IyygTkpsBuvcU2QNy/m/I0VrOlOrm\
    1B9JYjkT2Iuj3l4JViNXuzq9Hj372iJ5hyAiSnLhChs59XOpMELoJyQrxZK+zf6/Mt4+Xhf898LZrblqLkgyEaV9vgR4rlQZk80aAKkh\
    NerjcClsqsX/t7dFrvKa7SMCgYBC/SzCi0aaCYtJSIT1ugK2wTM+b3uXmL4iMqTlXgYUlUkh1NtC0YcnYFWXwdLeL0yGsRxT+ghSwnAs\
    9pYmH1DRQOfpGvsDodq3FKLJxh5SF1nHIWpx+zDEgrIz8gVFyd3hmfQ1DfBrINXk4+hovmXGvqxpHyy7OVpZPZggFOwQfwKBgCjxtcWn\
    lgqEeeRaYMbB1O0sVBRCOyV4yDOQgZTvyNZyaucBW7VOBgvqcBDuvOsc5siFEmZJr2MehNxA6HkJt0rRMIeor9MTZ6feLTXuf26JLLkS\
    YVQPBdSFRD23qN2y5hBKy/UTsEAXC7JDyk8YjRk1NpAaEXfmh2ci99oNfdA/AoGBAK3LF3zsUGe7N7fydMp2bfie5MFYM8zARKSs2bxa\
    hRtZfGxv5mOlhhtX59639w4YFAu626XwKG2Onl6Gf1m836Yd3lCRQVKoOPxkMyKg6/V89vN1KoRi+tbxbLI9P7pWseqmtaeDURzmy86r\
    obF+Rv1FeDP/D0WoXwQT2bMHh1BY";
/// Its modulus.
const RSA_MODULUS: &str = "\
    5fPlz3M19Y1Pk8K7wiEd_mR8yKTVioC4VknX-suIqY5zWU5loiyWSKozLM2dEgXn7sXlSR-WJtkFr7LV4uQGXG8r2t8r81Ow2vv09tQU\
    LBXOBAYlELRiZK95MmH2gL4u4aQTwnuiqkFBHOivq3PoMYmr0ZFsY6SZfRbVvwfSqf_8SbgV6BHRwJzSse8JsqIWVlgTd3F7K9rA2JOc\
    HRMm3rWmBtjoDCN9yCFcuuvUOmVXegeNtox8TEvbWuvo5J8-ek4y0tgLuxI0y-_w2T-g8jzzW4pik5CVxNn-iH6GioSklsjf-1xSJlvM\
    uSY2O4g_jcNIHw2x026mCmNHY1Zw2Q";
/// A key of P-256 for these tests alone, PKCS 8.
const EC_KEY: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJZYqN2fZ9/7zxkFxvcrDQwavRUFst/pQZcDZst6OJR2hRANCAAQSnNkU\
    3bxWszuXeki7xobfRv/NzabYimW9iy7D3G1YMZVJMOaCg8Vhyhg1jx7Xl1bn0zBCdt1jQM9pKuG8hjE0";
const EC_X: &str = "EpzZFN28VrM7l3pIu8aG30b_zc2m2IplvYsuw9xtWDE";
const EC_Y: &str = "lUkw5oKDxWHKGDWPHteXVufTMEJ23WNAz2kq4byGMTQ";

/// By what a token is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signs {
    /// Ed25519, from a seed, which names the key, too.
    Ed(u8),
    Rsa,
    Ec,
    /// The key of one seed under the name of another.
    Posing(u8, u8),
    /// With nothing.
    Not,
    /// As with a shared secret, which is what everybody knows: the public key of a seed.
    ByPublicKey(u8),
    /// A token that is no token.
    Garbage,
    /// With a header that must be understood and is not.
    Critical(u8),
}

fn ed_public(seed: u8) -> String {
    URL_SAFE_NO_PAD.encode(NodeKey::from_seed(&[seed; 32]).public().as_bytes())
}

fn ed_key(seed: u8) -> EncodingKey {
    EncodingKey::from_ed_der(&[&ED_PREFIX[..], &[seed; 32]].concat())
}

impl Signs {
    /// The key as an issuer publishes it.
    pub(super) fn public(&self) -> Value {
        match self {
            Self::Ed(seed) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": format!("ed-{seed}"), "use": "sig", "x": ed_public(*seed) })
            }
            Self::Rsa => {
                json!({ "kty": "RSA", "kid": "rsa", "alg": "RS256", "e": "AQAB", "n": RSA_MODULUS })
            }
            Self::Ec => {
                json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "x": EC_X, "y": EC_Y })
            }
            other => panic!("{other:?} is no key"),
        }
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn jwt(algorithm: Algorithm, kid: &str, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, key).expect("a token")
}

pub(super) fn sign(signs: &Signs, claims: &Value) -> String {
    let der = |text: &str| STANDARD.decode(text).expect("base64");
    let by_ed = |seed, kid: u8| {
        let kid = format!("ed-{kid}");
        jwt(Algorithm::EdDSA, &kid, &ed_key(seed), claims)
    };
    match signs {
        Signs::Ed(seed) => by_ed(*seed, *seed),
        Signs::Posing(seed, kid) => by_ed(*seed, *kid),
        Signs::Rsa => jwt(
            Algorithm::RS256,
            "rsa",
            &EncodingKey::from_rsa_der(&der(RSA_KEY)),
            claims,
        ),
        Signs::Ec => jwt(
            Algorithm::ES256,
            "ec",
            &EncodingKey::from_ec_der(&der(EC_KEY)),
            claims,
        ),
        Signs::Not => format!("{}.{}.", part(&json!({ "alg": "none" })), part(claims)),
        Signs::ByPublicKey(seed) => {
            let key = NodeKey::from_seed(&[*seed; 32]).public();
            let key = EncodingKey::from_secret(key.as_bytes()).expect("a secret");
            jwt(Algorithm::HS256, &format!("ed-{seed}"), &key, claims)
        }
        Signs::Garbage => "not.a.token".to_owned(),
        Signs::Critical(seed) => {
            let kid = format!("ed-{seed}");
            let header = json!({ "alg": "EdDSA", "kid": kid, "crit": ["b64x"], "b64x": true });
            let text = format!("{}.{}", part(&header), part(claims));
            let key = NodeKey::from_seed(&[*seed; 32]);
            let signature = URL_SAFE_NO_PAD.encode(key.sign(text.as_bytes()));
            format!("{text}.{signature}")
        }
    }
}
