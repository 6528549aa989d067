//! Every receipt vector reaches its verdict; the vectors were made by other implementations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_protocol::key::PublicKey;
use dgon_protocol::receipt::{Receipt, Verdict};

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    public_key: String,
    receipt_b64: String,
    verdict: Verdict,
    canonical_b64: Option<String>,
    entry_sha256: Option<String>,
}

fn cases() -> Vec<Case> {
    include_str!("data/receipts.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_vector_reaches_its_verdict() {
    let cases = cases();
    assert!(
        cases.len() >= 90,
        "the vector file is cut: {} cases",
        cases.len()
    );
    for case in cases {
        let bytes = STANDARD.decode(&case.receipt_b64).unwrap();
        let key = PublicKey::parse(&case.public_key).unwrap();
        assert_eq!(
            Receipt::verdict(&bytes, &key),
            case.verdict,
            "{}: {:?}",
            case.name,
            Receipt::parse(&bytes).err()
        );
    }
}

#[test]
fn valid_vectors_have_the_canonical_bytes_and_hash_of_other_implementations() {
    for case in cases()
        .into_iter()
        .filter(|case| case.verdict == Verdict::Valid)
    {
        let bytes = STANDARD.decode(&case.receipt_b64).unwrap();
        let receipt = Receipt::parse(&bytes).unwrap();
        let signed = STANDARD.decode(case.canonical_b64.unwrap()).unwrap();
        assert_eq!(receipt.signed_bytes(), signed, "{}", case.name);
        assert_eq!(
            receipt.entry_hash().to_hex(),
            case.entry_sha256.unwrap(),
            "{}",
            case.name
        );
        // Entry bytes are their own fixed point, by the path that cuts instead of writing.
        let again = Receipt::parse(receipt.entry_bytes()).unwrap();
        assert_eq!(again.entry_bytes(), receipt.entry_bytes(), "{}", case.name);
        assert_eq!(again.signed_bytes(), signed, "{}", case.name);
    }
}
