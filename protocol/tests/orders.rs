//! Orders and countersignatures: exact bytes, what is signed verifies, nothing that differs does, and each thing that
//! must be refused is refused by its name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dgon_protocol::content::{Blake3Hash, ContentKey};
use dgon_protocol::countersignature::{
    COUNTERSIGN_DOMAIN, CountLevel, Countersignature, SignedCountersignature,
};
use dgon_protocol::id::{KeyId, NodeId, RequestId};
use dgon_protocol::key::{NodeKey, PublicKey, parse_signature, signature_text};
use dgon_protocol::limits::{ORDER_BYTES, ORDER_KEYS};
use dgon_protocol::order::{
    ORDER_DOMAIN, OrderKey, OrderKeyError, OrderKeys, OrderSigningKey, SignedOrder, WorkOrder,
};
use dgon_protocol::receipt::{Receipt, Sha256Hash, Status};
use dgon_protocol::statement::StatementError;
use dgon_protocol::strict::{self, StrictErrorKind};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const START: i64 = 1_767_225_600_000;

fn key() -> OrderSigningKey {
    OrderSigningKey::from_seed(&[5; 32])
}

fn content_key() -> ContentKey {
    ContentKey::from_bytes([8; 32])
}

fn order() -> WorkOrder {
    WorkOrder {
        request_id: RequestId::parse("r_01J8KQ0000000000000000000A.1").unwrap(),
        node_id: NodeId::parse("macbook-001").unwrap(),
        lease_id: None,
        model_id: "llama3.1-8b".into(),
        model_hash: None,
        max_tokens: 256,
        temperature_micros: None,
        seed: None,
        request_hash: content_key().request_hash(b"{}").unwrap(),
        body_hash: content_key().body_hash(b"{}"),
        content_key_hash: content_key().hash(),
        price_version: 0,
        start_by_ms: START,
        finish_by_ms: START + 60_000,
        attempt: 1,
        parent: None,
        prefix_hash: None,
    }
}

fn full_order() -> WorkOrder {
    WorkOrder {
        lease_id: Some("l_1".into()),
        model_hash: Some(Sha256Hash([1; 32])),
        temperature_micros: Some(700_000),
        seed: Some(-7),
        price_version: 3,
        request_id: RequestId::parse("r_01J8KQ0000000000000000000A.2").unwrap(),
        attempt: 2,
        parent: Some(Sha256Hash([2; 32])),
        prefix_hash: Some(Blake3Hash([3; 32])),
        ..order()
    }
}

fn countersignature() -> Countersignature {
    Countersignature {
        request_id: order().request_id,
        node_id: order().node_id,
        order_hash: order().sign(&key()).unwrap().order_hash(),
        receipt_hash: Sha256Hash([4; 32]),
        tokens_input: Some(12),
        tokens_output: Some(90),
        level: CountLevel::Exact,
        billed_input: 12,
        billed_output: 89,
        ttft_ms: Some(210),
        latency_ms: 1600,
        bytes_output: 4096,
        content_hash: Some(Blake3Hash([6; 32])),
        reasoning_hash: None,
        finish: Status::Ok,
        signed_at_ms: START,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The members of a statement, to be changed.
fn members(bytes: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(bytes).unwrap()
}

/// Signs any object, as somebody who holds an order key and breaks its rules could.
fn forge(domain: &[u8], mut object: Map<String, Value>, seed: &[u8; 32]) -> Vec<u8> {
    object.remove("signature");
    let unsigned = serde_json::to_vec(&object).unwrap();
    let canonical = strict::canonical(&strict::parse(&unsigned, 32).unwrap().root);
    let signature = NodeKey::from_seed(seed).sign(&[domain, &canonical].concat());
    object.insert("signature".into(), signature_text(&signature).into());
    serde_json::to_vec(&object).unwrap()
}

#[test]
fn exact_bytes_of_an_order() {
    let signed = order().sign(&key()).unwrap();
    insta::assert_snapshot!(text(signed.entry_bytes()));
    insta::assert_snapshot!(signed.order_hash());
    let signed = full_order().sign(&key()).unwrap();
    insta::assert_snapshot!(text(signed.entry_bytes()));
}

#[test]
fn exact_bytes_of_a_countersignature() {
    let signed = countersignature().sign(&key()).unwrap();
    insta::assert_snapshot!(text(signed.entry_bytes()));
}

#[test]
fn an_order_is_read_back_and_verifies_under_its_key_alone() {
    for order in [order(), full_order()] {
        let signed = order.sign(&key()).unwrap();
        let read = SignedOrder::parse(signed.entry_bytes()).unwrap();
        assert_eq!(read, signed);
        assert_eq!(read.order, order);
        assert_eq!(*read.kid(), KeyId::of(&key().public()));
        assert_eq!(read.order_hash(), Sha256Hash::of(signed.entry_bytes()));
        assert!(read.verify(&key().public()));
        let other = OrderSigningKey::from_seed(&[6; 32]);
        assert!(!read.verify(&other.public()));
    }
}

#[test]
fn a_countersignature_is_read_back_and_verifies_under_its_key_alone() {
    let uncounted = Countersignature {
        tokens_input: None,
        tokens_output: None,
        level: CountLevel::None,
        ttft_ms: None,
        content_hash: None,
        reasoning_hash: Some(Blake3Hash([7; 32])),
        finish: Status::Cancelled,
        ..countersignature()
    };
    for statement in [countersignature(), uncounted] {
        let signed = statement.sign(&key()).unwrap();
        let read = SignedCountersignature::parse(signed.entry_bytes()).unwrap();
        assert_eq!(read.countersignature, statement);
        assert_eq!(read.entry_hash(), Sha256Hash::of(signed.entry_bytes()));
        assert_eq!(*read.kid(), KeyId::of(&key().public()));
        assert!(read.verify(&key().public()));
        assert!(!read.verify(&OrderSigningKey::from_seed(&[6; 32]).public()));
    }
}

#[test]
fn who_says_that_it_counted_says_what() {
    let silent = Countersignature {
        tokens_output: None,
        ..countersignature()
    };
    assert_eq!(
        silent.sign(&key()),
        Err(StatementError::Missing {
            what: "a countersignature",
            name: "tokens_output"
        })
    );
}

/// One key signs a receipt, an order and a countersignature here, which no program of ours lets happen.
#[test]
fn no_signature_passes_for_one_of_another_kind() {
    let seed = [5; 32];
    let public = key().public();
    let as_order = |domain: &[u8]| {
        let bytes = forge(
            domain,
            members(order().sign(&key()).unwrap().entry_bytes()),
            &seed,
        );
        SignedOrder::parse(&bytes).unwrap().verify(&public)
    };
    assert!(as_order(ORDER_DOMAIN));
    assert!(!as_order(b""), "signed as a receipt");
    assert!(!as_order(COUNTERSIGN_DOMAIN));
    assert!(!as_order(b"DGON-ORDER-V1"), "without the NUL");
    assert!(!as_order(b"DGON-ORDER-V2\0"));

    let as_countersignature = |domain: &[u8]| {
        let signed = countersignature().sign(&key()).unwrap();
        let bytes = forge(domain, members(signed.entry_bytes()), &seed);
        SignedCountersignature::parse(&bytes)
            .unwrap()
            .verify(&public)
    };
    assert!(as_countersignature(COUNTERSIGN_DOMAIN));
    assert!(!as_countersignature(ORDER_DOMAIN));
    assert!(!as_countersignature(b""));

    let receipt = json!({"version": "1.0", "request_id": "r", "node_id": "n", "ts_start": 1, "ts_end": 1, "model_id": "m", "tokens_input": 0, "tokens_output": 0});
    let as_receipt = |domain: &[u8]| {
        let bytes = forge(domain, receipt.as_object().unwrap().clone(), &seed);
        Receipt::parse(&bytes).unwrap().verify(&public)
    };
    assert!(as_receipt(b""));
    assert!(!as_receipt(ORDER_DOMAIN));
    assert!(!as_receipt(COUNTERSIGN_DOMAIN));
}

#[test]
fn an_order_that_names_another_key_verifies_under_neither() {
    let other = OrderSigningKey::from_seed(&[6; 32]);
    let mut object = members(order().sign(&key()).unwrap().entry_bytes());
    object.insert("kid".into(), KeyId::of(&other.public()).as_str().into());
    let forged = SignedOrder::parse(&forge(ORDER_DOMAIN, object, &[5; 32])).unwrap();
    assert!(!forged.verify(&key().public()), "signed, but not by kid");
    assert!(!forged.verify(&other.public()), "kid, but not signed");
}

#[test]
fn a_signature_in_another_form_does_not_hold() {
    let bytes = order().sign(&key()).unwrap().entry_bytes().to_vec();
    let object = members(&bytes);
    let signature = object["signature"].as_str().unwrap().to_owned();
    assert!(parse_signature(&signature).is_some());
    for bad in [
        "",
        &signature[8..],
        &signature[..signature.len() - 1],
        &signature.replace("ed25519:", "ED25519:"),
    ] {
        let mut object = object.clone();
        object.insert("signature".into(), bad.into());
        let read = SignedOrder::parse(&serde_json::to_vec(&object).unwrap()).unwrap();
        assert!(!read.verify(&key().public()), "{bad}");
    }
    // S + L: the same point, not canonical.
    let mut raw = parse_signature(&signature).unwrap();
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0u16;
    for (byte, add) in raw[32..].iter_mut().zip(L) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    let mut object = object.clone();
    object.insert("signature".into(), signature_text(&raw).into());
    let read = SignedOrder::parse(&serde_json::to_vec(&object).unwrap()).unwrap();
    assert!(!read.verify(&key().public()));
}

fn field(result: Result<SignedOrder, StatementError>) -> &'static str {
    match result {
        Err(StatementError::Field { name, .. } | StatementError::Missing { name, .. }) => name,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_field_of_an_order_has_its_rule() {
    let object = members(full_order().sign(&key()).unwrap().entry_bytes());
    let hash = |prefix: &str| format!("{prefix}:{}", "AB".repeat(32));
    let cases = [
        ("version", json!("1.1")),
        ("version", json!(1)),
        ("kid", json!("0123456789ABCDEF")),
        ("kid", json!("0123")),
        ("request_id", json!("r_01J8KQ0000000000000000000A.3")),
        ("request_id", json!("r_01J8KQ0000000000000000000A")),
        ("request_id", json!("x_01J8KQ0000000000000000000A.2")),
        ("request_id", json!("r_.2")),
        ("request_id", json!("a b.2")),
        ("node_id", json!("-a")),
        ("lease_id", json!("")),
        ("lease_id", json!("x".repeat(65))),
        ("lease_id", json!("a\nb")),
        ("model_id", json!("")),
        ("model_id", json!("é".repeat(257))),
        ("model_id", json!("a\u{7}")),
        ("model_hash", json!(hash("sha256"))),
        ("model_hash", Value::Null),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!(2_147_483_648u64)),
        ("max_tokens", json!("256")),
        ("temperature_micros", json!(-1)),
        ("temperature_micros", json!(10_000_001)),
        ("seed", json!("7")),
        ("request_hash", json!(hash("blake3"))),
        ("request_hash", json!(Sha256Hash([0; 32]))),
        ("body_hash", json!("blake3:00")),
        ("content_key_hash", json!(hash("sha256"))),
        ("price_version", json!(-1)),
        ("start_by_ms", json!(-1)),
        ("finish_by_ms", json!(START - 1)),
        ("attempt", json!(0)),
        ("attempt", json!(100)),
        ("attempt", json!(258)),
        ("parent", json!("")),
        ("prefix_hash", json!(7)),
        ("signature", json!(7)),
    ];
    for (name, value) in cases {
        let mut object = object.clone();
        object.insert(name.into(), value.clone());
        let bytes = serde_json::to_vec(&object).unwrap();
        assert_eq!(field(SignedOrder::parse(&bytes)), name, "{value}");
    }
    let edges = [
        ("max_tokens", json!(1)),
        ("max_tokens", json!(2_147_483_647)),
        ("temperature_micros", json!(0)),
        ("temperature_micros", json!(10_000_000)),
        ("seed", json!(9_007_199_254_740_991i64)),
        ("lease_id", json!("x".repeat(64))),
        ("model_id", json!("é".repeat(256))),
        ("finish_by_ms", json!(START)),
        ("start_by_ms", json!(0)),
    ];
    for (name, value) in edges {
        let mut object = object.clone();
        object.insert(name.into(), value.clone());
        let bytes = serde_json::to_vec(&object).unwrap();
        SignedOrder::parse(&bytes).unwrap();
    }
}

#[test]
fn what_is_missing_is_named_and_what_is_optional_may_be() {
    let object = members(full_order().sign(&key()).unwrap().entry_bytes());
    let optional = [
        "lease_id",
        "model_hash",
        "temperature_micros",
        "seed",
        "parent",
        "prefix_hash",
    ];
    for name in object.keys() {
        let mut object = object.clone();
        object.remove(name);
        let result = SignedOrder::parse(&serde_json::to_vec(&object).unwrap());
        if optional.contains(&name.as_str()) {
            assert!(!result.unwrap().verify(&key().public()), "{name} is signed");
        } else {
            assert_eq!(field(result), name);
        }
    }
}

#[test]
fn an_order_is_strict_json_of_bounded_size() {
    let bytes = order().sign(&key()).unwrap().entry_bytes().to_vec();
    let good = text(&bytes);
    let json = |text: &str| match SignedOrder::parse(text.as_bytes()) {
        Err(StatementError::Json { source, .. }) => source.kind,
        other => panic!("{other:?}"),
    };
    let with = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
    assert_eq!(json(&with("\"attempt\":1")), StrictErrorKind::DuplicateKey);
    let escaped = with("\"\\u0061ttempt\":1");
    assert_eq!(json(&escaped), StrictErrorKind::DuplicateKey);
    assert_eq!(json(&with("\"x\":0.5")), StrictErrorKind::Number);
    let fraction = good.replace("\"attempt\":1", "\"attempt\":1.0");
    assert_eq!(json(&fraction), StrictErrorKind::Number);
    assert_eq!(
        json(&with("\"x\":9007199254740992")),
        StrictErrorKind::Range
    );
    assert_eq!(json(&format!("{good}{good}")), StrictErrorKind::Trailing);
    assert_eq!(json(&good[..good.len() - 1]), StrictErrorKind::Syntax);
    assert_eq!(
        SignedOrder::parse(b"[]"),
        Err(StatementError::NotAnObject { what: "an order" })
    );
    let padded = |size: usize| {
        let empty = with("\"x\":\"\"");
        let padding = "y".repeat(size - empty.len());
        with(&format!("\"x\":\"{padding}\""))
    };
    SignedOrder::parse(padded(ORDER_BYTES).as_bytes()).unwrap();
    assert_eq!(
        SignedOrder::parse(padded(ORDER_BYTES + 1).as_bytes()),
        Err(StatementError::TooLarge {
            what: "an order",
            most: ORDER_BYTES,
            bytes: ORDER_BYTES + 1
        })
    );
}

#[test]
fn an_older_agent_verifies_a_newer_order() {
    let mut object = members(order().sign(&key()).unwrap().entry_bytes());
    object.insert("zone".into(), json!({"later": [1, "é"]}));
    let bytes = forge(ORDER_DOMAIN, object.clone(), &[5; 32]);
    let read = SignedOrder::parse(&bytes).unwrap();
    assert!(read.verify(&key().public()));
    assert!(text(read.entry_bytes()).contains("zone"));
    let mut stripped = members(&bytes);
    stripped.remove("zone");
    let read = SignedOrder::parse(&serde_json::to_vec(&stripped).unwrap()).unwrap();
    assert!(!read.verify(&key().public()), "unknown members are covered");
}

#[test]
fn no_order_is_signed_that_every_agent_would_refuse() {
    let bad = WorkOrder {
        max_tokens: 0,
        ..order()
    };
    assert_eq!(field(bad.sign(&key())), "max_tokens");
    let bad = WorkOrder {
        seed: Some(i64::MIN),
        ..order()
    };
    assert!(bad.sign(&key()).is_err());
    let bad = WorkOrder {
        price_version: u64::MAX,
        ..order()
    };
    assert!(bad.sign(&key()).is_err());
}

#[test]
fn ids_of_attempts() {
    let id = RequestId::parse("r_01J8KQ0000000000000000000A").unwrap();
    assert_eq!(id.of_attempt(2).unwrap(), full_order().request_id);
    let long = RequestId::parse("r".repeat(64)).unwrap();
    assert!(long.of_attempt(1).is_err());
}

#[test]
fn each_field_of_a_countersignature_has_its_rule() {
    let object = members(countersignature().sign(&key()).unwrap().entry_bytes());
    for (name, value) in [
        ("version", json!("2.0")),
        ("kid", json!("g".repeat(16))),
        ("request_id", json!("a b")),
        ("node_id", json!("")),
        ("order_hash", json!("x")),
        ("receipt_hash", json!("x")),
        ("tokens_input", json!(-1)),
        ("tokens_output", json!("1")),
        ("level", json!("sure")),
        ("billed_input", json!(-1)),
        ("billed_output", json!(-1)),
        ("ttft_ms", Value::Null),
        ("latency_ms", json!(-1)),
        ("bytes_output", json!(-1)),
        ("content_hash", json!(Sha256Hash([0; 32]))),
        ("reasoning_hash", json!("x")),
        ("finish", json!("stop")),
        ("signed_at_ms", json!(-1)),
        ("signature", json!(1)),
    ] {
        let mut object = object.clone();
        object.insert(name.into(), value.clone());
        let bytes = serde_json::to_vec(&object).unwrap();
        match SignedCountersignature::parse(&bytes) {
            Err(StatementError::Field { name: at, .. }) => assert_eq!(at, name, "{value}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn order_key(seed: u8) -> OrderKey {
    OrderSigningKey::from_seed(&[seed; 32]).order_key(10, 20)
}

#[test]
fn keys_are_live_in_their_interval_under_their_name() {
    let keys = OrderKeys::new(vec![order_key(1), order_key(2)]).unwrap();
    let kid = order_key(2).kid;
    for (now_ms, is_live) in [(9, false), (10, true), (20, true), (21, false)] {
        assert_eq!(keys.live(&kid, now_ms).is_some(), is_live, "{now_ms}");
    }
    assert_eq!(keys.live(&kid, 15), Some(&order_key(2)));
    assert_eq!(keys.live(&order_key(3).kid, 15), None);
    assert_eq!(OrderKeys::default().live(&kid, 15), None);
}

#[test]
fn a_set_of_keys_is_checked_as_it_is_read() {
    let read = |keys: &[OrderKey]| {
        serde_json::from_str::<OrderKeys>(&serde_json::to_string(keys).unwrap())
    };
    let many: Vec<OrderKey> = (0..=ORDER_KEYS as u8).map(order_key).collect();
    assert_eq!(read(&many[1..]).unwrap().as_slice(), &many[1..]);
    assert!(read(&many).is_err());
    assert_eq!(
        OrderKeys::new(many),
        Err(OrderKeyError::TooMany {
            count: ORDER_KEYS + 1
        })
    );
    let kid = order_key(1).kid;
    let mut renamed = order_key(1);
    renamed.public_key = order_key(2).public_key;
    assert_eq!(
        OrderKeys::new(vec![renamed]),
        Err(OrderKeyError::Kid { kid: kid.clone() })
    );
    for (from, to) in [(20, 19), (-1, 5), (5, i64::MAX)] {
        let mut odd = order_key(1);
        (odd.not_before_ms, odd.not_after_ms) = (from, to);
        let kid = kid.clone();
        assert_eq!(
            OrderKeys::new(vec![odd]),
            Err(OrderKeyError::Interval { kid })
        );
    }
    assert_eq!(
        OrderKeys::new(vec![order_key(1), order_key(1)]),
        Err(OrderKeyError::Twice { kid })
    );
    // The neutral element: any signature of a certain form would hold under it, were verification not strict.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let public_key = PublicKey::from_bytes(neutral);
    let kid = KeyId::of(&public_key);
    let weak = OrderKey {
        kid: kid.clone(),
        public_key,
        not_before_ms: 0,
        not_after_ms: 1,
    };
    assert_eq!(OrderKeys::new(vec![weak]), Err(OrderKeyError::Key { kid }));
}

#[test]
fn private_keys_are_not_printed() {
    let shown = format!("{:?} {:?}", key(), content_key());
    assert!(shown.starts_with("OrderSigningKey(ed25519:"));
    assert!(!shown.contains(&"08".repeat(32)) && !shown.contains("[8, 8"));
}

prop_compose! {
    fn any_order()(
        attempt in 1u8..=99,
        max_tokens in 1u32..=2_147_483_647,
        model_id in "\\PC{1,256}",
        lease_id in prop::option::of("\\PC{1,64}"),
        seed in prop::option::of(-9_007_199_254_740_991i64..=9_007_199_254_740_991),
        temperature_micros in prop::option::of(0u32..=10_000_000),
        start_by_ms in 0i64..=4_000_000_000_000,
        lasts in 0i64..=90_000_000,
        hash in any::<[u8; 32]>(),
    ) -> WorkOrder {
        WorkOrder {
            request_id: RequestId::parse("r_01J8KQ0000000000000000000A").unwrap().of_attempt(attempt).unwrap(),
            attempt,
            max_tokens,
            model_id,
            lease_id,
            seed,
            temperature_micros,
            start_by_ms,
            finish_by_ms: start_by_ms + lasts,
            body_hash: Blake3Hash(hash),
            parent: Some(Sha256Hash(hash)),
            ..order()
        }
    }
}

proptest! {
    #[test]
    fn what_is_signed_reads_back_and_verifies(order in any_order()) {
        let signed = order.sign(&key()).unwrap();
        prop_assert!(signed.entry_bytes().len() <= ORDER_BYTES);
        prop_assert!(signed.verify(&key().public()));
        prop_assert_eq!(&signed.order, &order);
        prop_assert!(strict::parse(signed.entry_bytes(), 32).unwrap().is_canonical);
    }

    #[test]
    fn any_spelling_of_an_order_is_the_same_order(order in any_order()) {
        let signed = order.sign(&key()).unwrap();
        let pretty = serde_json::to_vec_pretty(&members(signed.entry_bytes())).unwrap();
        if pretty.len() <= ORDER_BYTES {
            prop_assert_eq!(SignedOrder::parse(&pretty).unwrap(), signed);
        }
    }

    #[test]
    fn one_changed_byte_is_never_valid(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = full_order().sign(&key()).unwrap().entry_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let read = SignedOrder::parse(&bytes);
        prop_assert!(!read.is_ok_and(|read| read.verify(&key().public())));
    }

    #[test]
    fn an_order_that_is_cut_is_none(at in any::<prop::sample::Index>()) {
        let bytes = order().sign(&key()).unwrap().entry_bytes().to_vec();
        prop_assert!(SignedOrder::parse(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn no_bytes_panic(input in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = SignedOrder::parse(&input);
        let _ = SignedCountersignature::parse(&input);
    }
}
