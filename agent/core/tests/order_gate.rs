//! Which orders are taken up: every reason, and that none is taken up twice whatever the clock does.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dgon_agent_core::order_gate::{OrderGate, OrderRefused, Standing};
use dgon_protocol::content::ContentKey;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::order::{OrderKeys, OrderSigningKey, SignedOrder, WorkOrder};
use dgon_protocol::relay::{CancelReason, OpenStream};
use proptest::prelude::*;
use serde_json::value::RawValue;
use std::collections::HashSet;

const NOW: i64 = 1_800_000_000_000;

fn node() -> NodeId {
    NodeId::parse("rig-7").unwrap()
}

fn key(seed: u8) -> OrderSigningKey {
    OrderSigningKey::from_seed(&[seed; 32])
}

/// The first key is live at any time of these tests, the second was until an hour ago.
fn keys() -> OrderKeys {
    let past = key(2).order_key(0, NOW - 3_600_000);
    OrderKeys::new(vec![key(1).order_key(0, NOW * 2), past]).unwrap()
}

fn content_key() -> ContentKey {
    ContentKey::from_bytes([4; 32])
}

fn order(number: u32) -> WorkOrder {
    WorkOrder {
        request_id: RequestId::parse(format!("r_{number:026}.1")).unwrap(),
        node_id: node(),
        lease_id: None,
        model_id: "m".to_owned(),
        model_hash: None,
        max_tokens: 1,
        temperature_micros: None,
        seed: None,
        request_hash: content_key().body_hash(b"{}"),
        body_hash: content_key().body_hash(b"{}"),
        content_key_hash: content_key().hash(),
        price_version: 0,
        start_by_ms: NOW + 60_000,
        finish_by_ms: NOW + 120_000,
        attempt: 1,
        parent: None,
        prefix_hash: None,
    }
}

fn open_of(order: &WorkOrder, signer: &OrderSigningKey) -> OpenStream {
    open_with(order.sign(signer).unwrap().entry_bytes())
}

fn open_with(order: &[u8]) -> OpenStream {
    let order = String::from_utf8(order.to_vec()).unwrap();
    OpenStream {
        order: RawValue::from_string(order).unwrap(),
        content_key: content_key(),
        path: "/v1/chat/completions".to_owned(),
        content_type: "application/json".to_owned(),
        body_bytes: 2,
    }
}

fn admit_at(
    gate: &mut OrderGate,
    open: &OpenStream,
    now_ms: i64,
) -> Result<SignedOrder, OrderRefused> {
    gate.admit(
        open,
        Standing {
            keys: &keys(),
            node_id: &node(),
            now_ms,
        },
    )
}

fn refused(open: &OpenStream) -> OrderRefused {
    let mut gate = OrderGate::default();
    let refused = admit_at(&mut gate, open, NOW).unwrap_err();
    assert!(gate.is_empty(), "nothing of it is remembered");
    refused
}

fn changed(change: impl FnOnce(&mut WorkOrder)) -> OpenStream {
    let mut order = order(1);
    change(&mut order);
    open_of(&order, &key(1))
}

#[test]
fn a_good_order_is_taken_up_with_its_hash() {
    let signed = order(1).sign(&key(1)).unwrap();
    let open = open_with(signed.entry_bytes());
    let admitted = admit_at(&mut OrderGate::default(), &open, NOW).unwrap();
    assert_eq!(admitted, signed);
}

#[test]
fn each_fault_has_its_own_reason() {
    let unknown = open_of(&order(1), &key(3));
    assert_eq!(refused(&unknown), OrderRefused::UnknownKey);
    let past = open_of(&order(1), &key(2));
    assert_eq!(refused(&past), OrderRefused::UnknownKey);
    let foreign = changed(|order| order.node_id = NodeId::parse("rig-8").unwrap());
    assert_eq!(refused(&foreign), OrderRefused::Foreign);
    let late = changed(|order| order.start_by_ms = NOW - 1);
    assert_eq!(refused(&late), OrderRefused::Expired);
    let early = changed(|order| {
        (order.start_by_ms, order.finish_by_ms) = (NOW + 120_001, NOW + 120_001);
    });
    assert_eq!(refused(&early), OrderRefused::TooFar);
    let long = changed(|order| order.finish_by_ms = NOW + 24 * 3_600_000 + 1);
    assert_eq!(refused(&long), OrderRefused::TooFar);
    let other = ContentKey::from_bytes([5; 32]);
    let key_of_another = changed(|order| order.content_key_hash = other.hash());
    assert_eq!(refused(&key_of_another), OrderRefused::ContentKey);
    let malformed = refused(&open_with(b"[]"));
    assert!(matches!(malformed, OrderRefused::Malformed(_)));
    assert_eq!(malformed.reason(), CancelReason::OrderMalformed);
}

#[test]
fn an_order_at_its_limits_is_taken_up() {
    for by_ms in [NOW, NOW + 120_000] {
        let open = changed(|order| {
            order.start_by_ms = by_ms;
            order.finish_by_ms = NOW + 24 * 3_600_000;
        });
        assert!(admit_at(&mut OrderGate::default(), &open, NOW).is_ok());
    }
}

#[test]
fn every_byte_of_an_order_is_covered() {
    let entry = order(1).sign(&key(1)).unwrap().entry_bytes().to_vec();
    for at in 0..entry.len() {
        let mut touched = entry.clone();
        touched[at] ^= 1;
        let Ok(text) = String::from_utf8(touched) else {
            continue;
        };
        let Ok(raw) = RawValue::from_string(text) else {
            continue;
        };
        let open = OpenStream {
            order: raw,
            ..open_with(&entry)
        };
        assert!(
            admit_at(&mut OrderGate::default(), &open, NOW).is_err(),
            "byte {at}"
        );
    }
}

#[test]
fn the_same_request_or_the_same_order_again_is_refused_until_it_has_expired() {
    let mut gate = OrderGate::default();
    let open = open_of(&order(1), &key(1));
    admit_at(&mut gate, &open, NOW).unwrap();
    let replayed = Err(OrderRefused::Replayed);
    assert_eq!(admit_at(&mut gate, &open, NOW), replayed);
    let sibling = changed(|order| order.max_tokens = 2);
    assert_eq!(admit_at(&mut gate, &sibling, NOW), replayed);
    assert_eq!(admit_at(&mut gate, &open, NOW + 60_000), replayed);
    let expired = Err(OrderRefused::Expired);
    assert_eq!(admit_at(&mut gate, &open, NOW + 60_001), expired);
    assert!(gate.is_empty());
    // The clock of the next session is an hour behind.
    assert_eq!(admit_at(&mut gate, &open, NOW), expired);
}

#[test]
fn a_full_memory_refuses_and_forgets_nothing_early() {
    let mut gate = OrderGate::remembering(100);
    let first = open_of(&order(0), &key(1));
    for number in 0..100 {
        admit_at(&mut gate, &open_of(&order(number), &key(1)), NOW).unwrap();
    }
    assert_eq!(gate.len(), 100);
    let another = open_of(&order(99_999_999), &key(1));
    let full = admit_at(&mut gate, &another, NOW).unwrap_err();
    assert_eq!(
        (full.clone(), full.reason()),
        (OrderRefused::Full, CancelReason::Busy)
    );
    assert_eq!(
        admit_at(&mut gate, &first, NOW),
        Err(OrderRefused::Replayed)
    );
    // Once they have expired there is room.
    let mut later = order(99_999_999);
    (later.start_by_ms, later.finish_by_ms) = (NOW + 90_000, NOW + 90_000);
    assert!(admit_at(&mut gate, &open_of(&later, &key(1)), NOW + 60_001).is_ok());
    assert_eq!(gate.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes again, and whatever the clock does between.
    #[test]
    fn no_request_is_taken_up_twice(
        steps in proptest::collection::vec((0u32..6, -30i64..150, -200i64..200), 1..60),
    ) {
        let mut gate = OrderGate::default();
        let mut taken = HashSet::new();
        for (number, start_by_s, clock_s) in steps {
            let mut order = order(number);
            order.start_by_ms = NOW + start_by_s * 1_000;
            order.finish_by_ms = order.start_by_ms;
            let now_ms = NOW + clock_s * 1_000;
            let admitted = admit_at(&mut gate, &open_of(&order, &key(1)), now_ms);
            if let Ok(signed) = admitted {
                prop_assert!(taken.insert(signed.order_hash()), "the same order");
                prop_assert!((now_ms..=now_ms + 120_000).contains(&order.start_by_ms));
            }
        }
    }
}
