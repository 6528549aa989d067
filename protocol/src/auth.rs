//! HMAC authentication of node HTTP (wire.md section 5).
//!
//! v1 covers body and timestamp only and serves the two posts of third-party agents. v2 covers method, path,
//! timestamp, nonce and body, and is what our agent uses. Freshness and replay are the server's to check:
//! this module knows no clock.

use crate::key::{hex, unhex};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Header with the node id.
pub const HEADER_NODE_ID: &str = "x-node-id";
/// Header with the unix seconds of the request.
pub const HEADER_TIMESTAMP: &str = "x-node-ts";
/// Header with the MAC.
pub const HEADER_AUTH: &str = "x-node-auth";
/// Header with the nonce of v2: at least 128 random bits, as 32 to 128 characters of `[A-Za-z0-9_-]`.
pub const HEADER_NONCE: &str = "x-node-nonce";

const V2_PREFIX: &str = "v2=";
const V2_DOMAIN: &str = "DGON-HMAC-V2";

/// Which scheme an `X-Node-Auth` value uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// hex HMAC over body and timestamp.
    V1,
    /// `v2=` and hex HMAC over the whole request.
    V2,
}

/// The parts of a request that v2 covers.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// Path and query exactly as sent.
    pub path_and_query: &'a str,
    /// The `X-Node-TS` text.
    pub timestamp: &'a str,
    /// The `X-Node-Nonce` text.
    pub nonce: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// Whether `text` is a timestamp of the grammar `^[1-9][0-9]{9}$`; its value in unix seconds.
pub fn parse_timestamp(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let well_formed = bytes.len() == 10 && bytes[0] != b'0' && bytes.iter().all(u8::is_ascii_digit);
    if well_formed { text.parse().ok() } else { None }
}

/// Whether `text` can be a nonce: 22 to 128 characters of `[A-Za-z0-9_-]`, so 128 bits fit even in base64.
pub fn is_nonce(text: &str) -> bool {
    (22..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Tells the scheme of an `X-Node-Auth` value.
pub fn scheme(auth: &str) -> Scheme {
    if auth.starts_with(V2_PREFIX) {
        Scheme::V2
    } else {
        Scheme::V1
    }
}

fn mac(secret: &[u8]) -> Hmac<Sha256> {
    match Hmac::new_from_slice(secret) {
        Ok(mac) => mac,
        // HMAC takes keys of any length; this arm is unreachable and must not panic.
        Err(_) => Hmac::new(&Default::default()),
    }
}

/// A MAC that is compared in constant time only.
pub(crate) struct Tag(Hmac<Sha256>);

impl Tag {
    /// Whether `tag` is this one.
    pub(crate) fn verify(self, tag: &[u8; 32]) -> bool {
        self.0.verify_slice(tag).is_ok()
    }

    /// The bytes, to be sent.
    pub(crate) fn into_bytes(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

/// HMAC-SHA256 over `parts`, one after the other.
pub(crate) fn tag(secret: &[u8], parts: &[&[u8]]) -> Tag {
    let mut mac = mac(secret);
    for part in parts {
        mac.update(part);
    }
    Tag(mac)
}

fn mac_v1(secret: &[u8], body: &[u8], timestamp: &str) -> Hmac<Sha256> {
    let mut mac = mac(secret);
    mac.update(body);
    mac.update(timestamp.as_bytes());
    mac
}

fn mac_v2(secret: &[u8], request: &Request<'_>) -> Hmac<Sha256> {
    let body_hash = hex(&Sha256::digest(request.body));
    let fields = [
        V2_DOMAIN,
        request.method,
        request.path_and_query,
        request.timestamp,
        request.nonce,
        &body_hash,
    ];
    let mut mac = mac(secret);
    mac.update(fields.join("\n").as_bytes());
    mac
}

/// The `X-Node-Auth` value of v1.
pub fn sign_v1(secret: &[u8], body: &[u8], timestamp: &str) -> String {
    hex(&mac_v1(secret, body, timestamp).finalize().into_bytes())
}

/// The `X-Node-Auth` value of v2.
pub fn sign_v2(secret: &[u8], request: &Request<'_>) -> String {
    format!(
        "{V2_PREFIX}{}",
        hex(&mac_v2(secret, request).finalize().into_bytes())
    )
}

/// Checks a v1 value in constant time.
pub fn verify_v1(secret: &[u8], body: &[u8], timestamp: &str, auth: &str) -> bool {
    unhex::<32>(auth).is_some_and(|tag| mac_v1(secret, body, timestamp).verify_slice(&tag).is_ok())
}

/// Checks a v2 value in constant time.
pub fn verify_v2(secret: &[u8], request: &Request<'_>, auth: &str) -> bool {
    auth.strip_prefix(V2_PREFIX)
        .and_then(unhex::<32>)
        .is_some_and(|tag| mac_v2(secret, request).verify_slice(&tag).is_ok())
}
