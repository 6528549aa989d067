//! Node HTTP authentication and enrolment: exact values, and that nothing else passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dgon_protocol::auth::{self, Request, Scheme};
use dgon_protocol::enrol::{RegisterRequest, proof_bytes};
use dgon_protocol::key::{
    KeyError, NodeKey, PublicKey, hex, parse_signature, signature_text, unhex,
};
use proptest::prelude::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn request() -> Request<'static> {
    Request {
        method: "POST",
        path_and_query: "/api/v1/receipts?x=1",
        timestamp: "1767225600",
        nonce: "abcdefghijklmnopqrstuv",
        body: b"{}",
    }
}

#[test]
fn values_of_another_implementation() {
    // Made with Python's hmac and hashlib over the texts of wire.md section 5.
    assert_eq!(
        auth::sign_v1(SECRET, b"{\"a\":1}", "1767225600"),
        "ffc337c2d8334696ab2e5d75690f7fd91f1fade6c62ed569fb7eeddf50586b53"
    );
    assert_eq!(
        auth::sign_v2(SECRET, &request()),
        "v2=918a3627e8f0194208045c7434c3cfd8be081d6dc93e515fc700b91e10791402"
    );
}

#[test]
fn every_part_of_the_request_is_covered_by_v2() {
    let value = auth::sign_v2(SECRET, &request());
    assert!(auth::verify_v2(SECRET, &request(), &value));
    for other in [
        Request {
            method: "GET",
            ..request()
        },
        Request {
            path_and_query: "/api/v1/receipts",
            ..request()
        },
        Request {
            timestamp: "1767225601",
            ..request()
        },
        Request {
            nonce: "abcdefghijklmnopqrstuw",
            ..request()
        },
        Request {
            body: b"{ }",
            ..request()
        },
    ] {
        assert!(!auth::verify_v2(SECRET, &other, &value), "{other:?}");
    }
    assert!(!auth::verify_v2(b"another secret", &request(), &value));
    assert!(!auth::verify_v2(
        SECRET,
        &request(),
        value.trim_start_matches("v2=")
    ));
}

#[test]
fn v1_covers_body_and_timestamp() {
    let value = auth::sign_v1(SECRET, b"{}", "1767225600");
    assert!(auth::verify_v1(SECRET, b"{}", "1767225600", &value));
    assert!(auth::verify_v1(
        SECRET,
        b"{}",
        "1767225600",
        &value.to_uppercase()
    ));
    assert!(!auth::verify_v1(SECRET, b"{} ", "1767225600", &value));
    assert!(!auth::verify_v1(SECRET, b"{}", "1767225601", &value));
    assert_eq!(
        (auth::scheme(&value), auth::scheme("v2=00")),
        (Scheme::V1, Scheme::V2)
    );
}

#[test]
fn timestamps_have_one_spelling() {
    assert_eq!(auth::parse_timestamp("1767225600"), Some(1_767_225_600));
    for bad in [
        "",
        "0767225600",
        "176722560",
        "17672256000",
        "+767225600",
        "1767225600 ",
        "176722560a",
        "١٧٦٧٢٢٥٦٠٠",
    ] {
        assert_eq!(auth::parse_timestamp(bad), None, "{bad}");
    }
    assert!(
        auth::is_nonce("abcdefghijklmnopqrstuv")
            && !auth::is_nonce("short")
            && !auth::is_nonce("abcdefghijklmnopqrstu/")
    );
}

#[test]
fn possession_is_proved_for_one_nonce_and_one_key() {
    let key = NodeKey::from_seed(&[3; 32]);
    let mut request = RegisterRequest {
        token: "dgon_et_secret".into(),
        public_key: key.public(),
        nonce: "n".into(),
        signature: signature_text(&key.sign(&proof_bytes("n", &key.public()))),
        node_id: None,
        region: None,
        agent_version: "0.1.0".into(),
        os: "linux".into(),
        arch: "x86_64".into(),
        hardware_hash: None,
    };
    assert!(request.proves_possession());
    assert!(
        !format!("{request:?}").contains("secret"),
        "a token is never printed"
    );
    request.nonce = "m".into();
    assert!(!request.proves_possession());
    request.nonce = "n".into();
    request.public_key = NodeKey::from_seed(&[4; 32]).public();
    assert!(!request.proves_possession());
}

#[test]
fn only_canonical_keys_of_prime_order_enrol() {
    assert_eq!(
        NodeKey::from_seed(&[1; 32]).public().check_enrollable(),
        Ok(())
    );
    // The neutral element, a point of order 8, and bytes that are no point (RFC 8032 section 5.1.3; y = p encodes y = 0).
    let torsion = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    let y_equals_p = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let neutral = "0100000000000000000000000000000000000000000000000000000000000000";
    for bad in [torsion, y_equals_p, neutral] {
        let key = PublicKey::from_bytes(unhex(bad).unwrap());
        assert_eq!(
            key.check_enrollable(),
            Err(KeyError::NotPrimeOrder),
            "{bad}"
        );
    }
}

#[test]
fn keys_and_signatures_have_one_text_form() {
    let key = NodeKey::from_seed(&[1; 32]).public();
    assert_eq!(PublicKey::parse(&key.to_string()), Ok(key));
    assert_eq!(PublicKey::parse("AAAA"), Err(KeyError::Prefix));
    for bad in [
        "ed25519:",
        "ed25519:AAAA",
        "ed25519:!",
        "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1z=",
    ] {
        assert_eq!(PublicKey::parse(bad), Err(KeyError::Encoding), "{bad}");
    }
    let text = signature_text(&[5; 64]);
    assert_eq!(parse_signature(&text), Some([5; 64]));
    assert_eq!(
        parse_signature(&text[..text.len() - 2]),
        None,
        "padding is part of the form"
    );
    assert_eq!(parse_signature(&text.replace("ed25519", "ed448")), None);
}

proptest! {
    #[test]
    fn hex_round_trips(bytes in any::<[u8; 32]>()) {
        prop_assert_eq!(unhex::<32>(&hex(&bytes)), Some(bytes));
    }

    #[test]
    fn no_header_panics(text in "\\PC{0,200}") {
        let _ = (auth::parse_timestamp(&text), auth::is_nonce(&text), unhex::<32>(&text), parse_signature(&text));
        prop_assert!(!auth::verify_v1(SECRET, b"", "1767225600", &text));
        prop_assert!(!auth::verify_v2(SECRET, &request(), &text));
    }
}
