//! Properties of receipts: what is signed verifies, any form of the same object is the same receipt, nothing
//! that differs is, and no bytes can panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dgon_protocol::chain::{Head, Judgement, Link, judge};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::{NodeKey, PublicKey};
use dgon_protocol::limits::{RECEIPT_BYTES, RECEIPT_DEPTH};
use dgon_protocol::receipt::{
    Draft, Receipt, ReceiptError, Sha256Hash, Source, Status, TokensSource, Verdict,
};
use dgon_protocol::strict::{self, StrictErrorKind};
use proptest::prelude::*;

fn draft(seq: u64, model_id: &str) -> Draft {
    Draft {
        request_id: RequestId::parse("r_01J8KQ0000000000000000000A").unwrap(),
        node_id: NodeId::parse("macbook-001").unwrap(),
        region: Some("ap-southeast".into()),
        ts_start: 1_736_538_502,
        ts_end: 1_736_538_518,
        model_id: model_id.into(),
        model_hash: Some(format!("sha256:{}", "ab".repeat(32))),
        prompt_hash: Some(format!("blake3:{}", "cd".repeat(32))),
        tokens_input: 128,
        tokens_output: 92,
        p95_ms: Some(310),
        s3_checkpoints: vec![100],
        hedged: false,
        cache_hit: Some(true),
        seq,
        prev_hash: Sha256Hash::ZERO,
        status: Status::Ok,
        ttft_ms: Some(210),
        latency_ms: 16_000,
        runtime: Some("ollama".into()),
        source: Source::Local,
        tokens_cached: Some(64),
        output_hash: None,
        energy_mwh: None,
        order_hash: None,
        tokens_source: Some(TokensSource::Usage),
        error: None,
    }
}

fn key() -> NodeKey {
    NodeKey::from_seed(&[9; 32])
}

#[test]
fn exact_bytes_of_our_receipt() {
    let signed = draft(1, "llama3.1-8b").sign(&key());
    insta::assert_snapshot!(String::from_utf8(signed.entry_bytes).unwrap());
}

#[test]
fn our_receipt_is_read_back_field_by_field() {
    let signed = draft(3, "llama3.1-8b").sign(&key());
    let receipt = Receipt::parse(&signed.entry_bytes).unwrap();
    assert!(receipt.verify(&key().public()));
    assert_eq!(receipt.entry_bytes(), signed.entry_bytes);
    assert_eq!(receipt.entry_hash(), signed.entry_hash);
    let fields = receipt.fields;
    assert_eq!(
        (fields.seq, fields.prev_hash),
        (Some(3), Some(Sha256Hash::ZERO))
    );
    assert_eq!(
        (fields.status, fields.source),
        (Some(Status::Ok), Some(Source::Local))
    );
    assert_eq!(
        (fields.tokens_cached, fields.ttft_ms, fields.latency_ms),
        (Some(64), Some(210), Some(16_000))
    );
    assert_eq!(fields.key_id, Some(key().public().key_id()));
}

#[test]
fn fields_of_1_1_are_further_fields_in_1_0() {
    let text = r#"{"version":"1.0","request_id":"r","node_id":"n","ts_start":1,"ts_end":1,"model_id":"m","tokens_input":0,"tokens_output":0,"seq":"not a number","signature":""}"#;
    let receipt = Receipt::parse(text.as_bytes()).unwrap();
    assert_eq!(receipt.fields.seq, None);
    let newer = text.replace("\"1.0\"", "\"1.1\"");
    assert!(matches!(
        Receipt::parse(newer.as_bytes()),
        Err(ReceiptError::Field { name: "seq", .. })
    ));
}

#[test]
fn what_the_counts_are_worth_is_a_known_name_or_another() {
    let receipt = |source: &str| {
        let text = r#"{"version":"1.1","request_id":"r","node_id":"n","ts_start":1,"ts_end":1,"model_id":"m","tokens_input":0,"tokens_output":0,"seq":1,"prev_hash":"PREV","tokens_source":SOURCE,"signature":""}"#;
        let prev = Sha256Hash::ZERO.to_string();
        let text = text.replace("PREV", &prev).replace("SOURCE", source);
        Receipt::parse(text.as_bytes())
            .unwrap()
            .fields
            .tokens_source
            .unwrap()
    };
    for source in [
        TokensSource::Usage,
        TokensSource::PartialUsage,
        TokensSource::Chunks,
        TokensSource::Unknown,
        TokensSource::Unpaid,
        TokensSource::None,
        TokensSource::Other,
    ] {
        assert_eq!(receipt(&format!("\"{}\"", source.as_str())), source);
    }
    // It describes the counts and refuses no receipt, whatever a node writes there.
    for strange in ["\"<b>usage</b>\"", "\"Usage\"", "\"\"", "7", "null"] {
        assert_eq!(receipt(strange), TokensSource::Other, "{strange}");
    }
    let old = draft_without_source().sign(&key());
    let fields = Receipt::parse(&old.entry_bytes).unwrap().fields;
    assert_eq!(fields.tokens_source, None);
}

fn draft_without_source() -> Draft {
    Draft {
        tokens_source: None,
        ..draft(1, "m")
    }
}

#[test]
fn limits_are_inclusive() {
    let padded = |bytes: usize| {
        let frame = r#"{"version":"1.0","request_id":"r","node_id":"n","ts_start":1,"ts_end":1,"model_id":"m","tokens_input":0,"tokens_output":0,"signature":"","x":""}"#;
        frame.replace(
            r#""x":"""#,
            &format!(r#""x":"{}""#, "y".repeat(bytes - frame.len())),
        )
    };
    assert!(Receipt::parse(padded(RECEIPT_BYTES).as_bytes()).is_ok());
    assert!(matches!(
        Receipt::parse(padded(RECEIPT_BYTES + 1).as_bytes()),
        Err(ReceiptError::TooLarge { .. })
    ));
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(strict::parse(nested(RECEIPT_DEPTH).as_bytes(), RECEIPT_DEPTH).is_ok());
    let error = strict::parse(nested(RECEIPT_DEPTH + 1).as_bytes(), RECEIPT_DEPTH).unwrap_err();
    assert_eq!(error.kind, StrictErrorKind::Depth);
}

#[test]
fn strict_json_refuses_what_has_two_meanings() {
    use StrictErrorKind as Kind;
    let cases: [(&[u8], Kind); 22] = [
        (b"", Kind::Syntax),
        (b"\xff", Kind::NotUtf8),
        (b"\xef\xbb\xbf{}", Kind::ByteOrderMark),
        (b"{} {}", Kind::Trailing),
        (b"{}\0", Kind::Trailing),
        (br#"{"a":1,"a":1}"#, Kind::DuplicateKey),
        (br#"{"b":1,"a":1,"b":1}"#, Kind::DuplicateKey),
        (br#"{"a":1,"\u0061":1}"#, Kind::DuplicateKey),
        (br#"{"x":{"a":1,"a":2}}"#, Kind::DuplicateKey),
        (b"-0", Kind::Number),
        (b"01", Kind::Number),
        (b"1.0", Kind::Number),
        (b"1e2", Kind::Number),
        (b"-", Kind::Number),
        (b"9007199254740992", Kind::Range),
        (
            b"-99999999999999999999999999999999999999999999",
            Kind::Range,
        ),
        (br#""\ud800""#, Kind::Surrogate),
        (br#""\ud800\u0041""#, Kind::Surrogate),
        (br#""\udc00""#, Kind::Surrogate),
        (b"\"\n\"", Kind::Syntax),
        (b"[1,]", Kind::Syntax),
        (b"nul", Kind::Syntax),
    ];
    for (input, kind) in cases {
        assert_eq!(
            strict::parse(input, 32).unwrap_err().kind,
            kind,
            "{:?}",
            String::from_utf8_lossy(input)
        );
    }
    for good in [
        "9007199254740991",
        "-9007199254740991",
        "0",
        r#""\ud83d\ude00""#,
        " [ ] ",
        "{}",
    ] {
        assert!(strict::parse(good.as_bytes(), 32).is_ok(), "{good}");
    }
}

#[test]
fn keys_sort_by_utf16_code_units() {
    // U+1F600 is D83D DE00 in UTF-16 and so comes before U+FB33, though its code point and UTF-8 bytes are greater.
    let document = strict::parse(
        "{\"\u{fb33}\":1,\"\u{1f600}\":2,\"\u{20ac}\":3,\"1\":4}".as_bytes(),
        32,
    )
    .unwrap();
    assert!(!document.is_canonical);
    let bytes = strict::canonical(&document.root);
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        "{\"1\":4,\"\u{20ac}\":3,\"\u{1f600}\":2,\"\u{fb33}\":1}"
    );
}

#[test]
fn chain_rule() {
    let hash = |n: u8| Sha256Hash([n; 32]);
    let head = Head {
        seq: 5,
        entry_hash: hash(5),
    };
    let link = |seq, prev| Link {
        seq,
        prev_hash: prev,
        entry_hash: hash(99),
    };
    assert_eq!(
        judge(Head::EMPTY, link(1, Sha256Hash::ZERO)),
        Judgement::Append
    );
    assert_eq!(judge(Head::EMPTY, link(1, hash(1))), Judgement::Fork);
    assert_eq!(judge(head, link(6, hash(5))), Judgement::Append);
    assert_eq!(judge(head, link(6, hash(4))), Judgement::Fork);
    assert_eq!(judge(head, link(5, hash(4))), Judgement::Seen);
    assert_eq!(judge(head, link(1, hash(0))), Judgement::Seen);
    assert_eq!(
        judge(head, link(9, hash(8))),
        Judgement::Ahead { from: 6, to: 8 }
    );
}

/// JSON of the strict subset, as serde_json builds it.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        (-9_007_199_254_740_991i64..=9_007_199_254_740_991).prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn canonical_form_does_not_depend_on_the_spelling(value in json()) {
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        let compact = serde_json::to_vec(&value).unwrap();
        let a = strict::canonical(&strict::parse(&pretty, 64).unwrap().root);
        let b = strict::canonical(&strict::parse(&compact, 64).unwrap().root);
        prop_assert_eq!(&a, &b);
        let again = strict::parse(&a, 64).unwrap();
        prop_assert!(again.is_canonical);
        prop_assert_eq!(strict::canonical(&again.root), a.clone());
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&a).unwrap(), value);
    }

    #[test]
    fn only_canonical_bytes_are_called_canonical(input in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(document) = strict::parse(&input, 32) {
            prop_assert_eq!(document.is_canonical, strict::canonical(&document.root) == input);
        }
    }

    #[test]
    fn any_spelling_of_a_signed_receipt_is_the_same_receipt(seq in 1u64..1_000_000, model in "\\PC{1,40}", extra in json()) {
        let signed = draft(seq, &model).sign(&key());
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&signed.entry_bytes).unwrap();
        let pretty = serde_json::to_vec_pretty(&object).unwrap();
        prop_assert_eq!(Receipt::verdict(&pretty, &key().public()), Verdict::Valid);
        prop_assert_eq!(Receipt::parse(&pretty).unwrap().entry_hash(), signed.entry_hash);
        object.insert("x-added".into(), extra);
        let added = serde_json::to_vec(&object).unwrap();
        prop_assert_eq!(Receipt::verdict(&added, &key().public()), Verdict::InvalidSignature);
    }

    #[test]
    fn one_changed_byte_is_never_valid(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = draft(1, "m").sign(&key()).entry_bytes;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert_ne!(Receipt::verdict(&bytes, &key().public()), Verdict::Valid);
    }

    #[test]
    fn no_bytes_panic(input in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = Receipt::verdict(&input, &PublicKey::from_bytes([1; 32]));
    }
}
