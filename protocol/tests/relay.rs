//! Payloads of relay frames: exact bytes, bounds, and the credit of a stream.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dgon_protocol::content::ContentKey;
use dgon_protocol::limits::{
    RELAY_BODY_BYTES, RELAY_CREDIT_MAX, RELAY_INITIAL_CREDIT, RELAY_PAYLOAD_BYTES,
};
use dgon_protocol::relay::{
    AnswerEnd, AnswerHead, CancelReason, Cancelled, CreditError, OpenStream, PayloadError,
    ReceiveWindow, SendCredit,
};
use proptest::prelude::*;
use serde_json::value::RawValue;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn open() -> OpenStream {
    OpenStream {
        order: raw(r#"{"b":1, "a":2}"#),
        content_key: ContentKey::from_bytes([0xab; 32]),
        path: "/v1/chat/completions".into(),
        content_type: "application/json".into(),
        body_bytes: 17,
    }
}

#[test]
fn exact_bytes_of_an_open_frame() {
    let expected = format!(
        r#"{{"order":{{"b":1, "a":2}},"content_key":"{}","path":"/v1/chat/completions","content_type":"application/json","body_bytes":17}}"#,
        "ab".repeat(32)
    );
    assert_eq!(text(open().encode().unwrap()), expected);
    let read = OpenStream::decode(expected.as_bytes()).unwrap();
    assert_eq!(text(read.encode().unwrap()), expected);
    assert!(
        read.order().is_err(),
        "an order that is none is no fault of the frame"
    );
    assert!(
        !format!("{read:?}").contains("abab"),
        "the key is not printed"
    );
}

#[test]
fn each_field_of_an_open_frame_has_its_rule() {
    let good = text(open().encode().unwrap());
    let refused = |from: &str, to: &str| {
        let payload = good.replacen(from, to, 1);
        assert_ne!(payload, good, "{from}");
        let read = OpenStream::decode(payload.as_bytes());
        assert!(matches!(read, Err(PayloadError::Malformed { .. })), "{to}");
    };
    refused("abab", "ABAB");
    refused("abab", "");
    let long = format!("/{}", "a".repeat(128));
    for path in [
        "v1/chat",
        "",
        "/v1/../admin",
        "/v1//chat",
        "/v1/%63hat",
        "/v1?x",
        "/v1 x",
        "/é",
        &long,
    ] {
        refused("/v1/chat/completions", path);
    }
    for kind in ["", "a\\r\\nx: y", "\\u0000", "é", &"a".repeat(129)] {
        refused("application/json", kind);
    }
    refused(":17", &format!(":{}", RELAY_BODY_BYTES + 1));
    refused(":17", ":-1");
    refused(":17", ":1.0");
    refused(":17}", ":17,\"path\":\"/x\"}");
    refused("\"order\":", "\"other\":");
    let most = good.replacen(":17", &format!(":{RELAY_BODY_BYTES}"), 1);
    OpenStream::decode(most.as_bytes()).unwrap();
    let newer = good.replacen(":17}", ":17,\"later\":{}}", 1);
    OpenStream::decode(newer.as_bytes()).unwrap();
    assert!(OpenStream::decode(b"").is_err());
}

#[test]
fn payloads_fit_into_one_frame() {
    let large = |bytes: usize| OpenStream {
        order: raw(&format!("\"{}\"", "x".repeat(bytes))),
        ..open()
    };
    let rest = open().encode().unwrap().len() - open().order.get().len() + 2;
    let most = large(RELAY_PAYLOAD_BYTES - rest).encode().unwrap();
    assert_eq!(most.len(), RELAY_PAYLOAD_BYTES);
    OpenStream::decode(&most).unwrap();
    let over = large(RELAY_PAYLOAD_BYTES - rest + 1).encode();
    assert!(matches!(over, Err(PayloadError::TooLarge { .. })));
    let over = [most.as_slice(), b" "].concat();
    assert!(matches!(
        OpenStream::decode(&over),
        Err(PayloadError::TooLarge { .. })
    ));
}

#[test]
fn heads_and_ends_of_answers() {
    let head = AnswerHead {
        status: 503,
        content_type: Some("text/event-stream; charset=utf-8".into()),
        retry_after_s: Some(3),
    };
    let expected =
        r#"{"status":503,"content_type":"text/event-stream; charset=utf-8","retry_after_s":3}"#;
    assert_eq!(text(head.encode().unwrap()), expected);
    assert_eq!(AnswerHead::decode(expected.as_bytes()).unwrap(), head);
    let bare = AnswerHead::decode(br#"{"status":200}"#).unwrap();
    assert_eq!(text(bare.encode().unwrap()), r#"{"status":200}"#);
    for bad in [
        r#"{"status":199}"#,
        r#"{"status":600}"#,
        r#"{"status":101}"#,
        r#"{"status":200,"content_type":"a\nb"}"#,
        r#"{"status":200,"retry_after_s":-1}"#,
        "{}",
        "",
    ] {
        assert!(AnswerHead::decode(bad.as_bytes()).is_err(), "{bad}");
    }

    let end = AnswerEnd {
        receipt: Some(raw(r#"{"a":1}"#)),
        failure: Some("runtime_error".into()),
    };
    let expected = r#"{"receipt":{"a":1},"failure":"runtime_error"}"#;
    assert_eq!(text(end.encode().unwrap()), expected);
    let read = AnswerEnd::decode(expected.as_bytes()).unwrap();
    assert_eq!(text(read.encode().unwrap()), expected);
    let empty = AnswerEnd::decode(b"").unwrap();
    assert!(empty.receipt.is_none() && empty.failure.is_none());
    let long = format!(r#"{{"failure":"{}"}}"#, "x".repeat(65));
    assert!(AnswerEnd::decode(long.as_bytes()).is_err());
    let huge = AnswerEnd {
        receipt: Some(raw(&format!("\"{}\"", "x".repeat(RELAY_PAYLOAD_BYTES)))),
        failure: None,
    };
    assert!(matches!(huge.encode(), Err(PayloadError::TooLarge { .. })));
}

#[test]
fn a_cancel_frame_always_cancels() {
    let cancelled = Cancelled::new(CancelReason::OrderReplayed, "came before");
    let expected = r#"{"reason":"order_replayed","message":"came before"}"#;
    assert_eq!(text(cancelled.encode().unwrap()), expected);
    assert_eq!(Cancelled::decode(expected.as_bytes()), cancelled);
    for unreadable in ["", "{}", "[", "null", r#"{"reason":7}"#] {
        assert_eq!(
            Cancelled::decode(unreadable.as_bytes()),
            Cancelled::default()
        );
    }
    assert_eq!(Cancelled::default().reason, CancelReason::Unknown);
    let newer = Cancelled::decode(br#"{"reason":"sun_spots","message":"m","more":1}"#);
    assert_eq!(newer, Cancelled::new(CancelReason::Unknown, "m"));
    let long = format!(r#"{{"reason":"busy","message":"{}"}}"#, "x".repeat(9000));
    let read = Cancelled::decode(long.as_bytes());
    assert_eq!((read.reason, read.message.len()), (CancelReason::Busy, 512));
}

#[test]
fn each_reason_has_one_word() {
    let words: Vec<&str> = CancelReason::ALL.iter().map(|r| r.as_str()).collect();
    assert_eq!(
        words,
        [
            "not_allowed",
            "paused",
            "stopping",
            "busy",
            "spool",
            "order_malformed",
            "order_unknown_key",
            "order_bad_signature",
            "order_foreign",
            "order_expired",
            "order_too_far",
            "order_replayed",
            "content_key_mismatch",
            "body_too_large",
            "body_mismatch",
            "model_missing",
            "model_mismatch",
            "route_not_served",
            "finish_by",
            "runtime_failed",
            "protocol_error",
            "client_gone",
            "client_stalled",
            "too_slow",
            "superseded",
            "internal",
            "unknown"
        ]
    );
    for reason in CancelReason::ALL {
        assert_eq!(CancelReason::of_name(reason.as_str()), *reason);
    }
}

#[test]
fn credit_to_send_is_taken_and_added() {
    let mut credit = SendCredit::default();
    let start = RELAY_INITIAL_CREDIT as usize;
    assert_eq!(credit.take(1000), 1000);
    assert_eq!(credit.take(usize::MAX), start - 1000);
    assert_eq!(credit.take(1), 0);
    credit.add(5).unwrap();
    assert_eq!((credit.available(), credit.take(9)), (5, 5));
    credit.add(RELAY_CREDIT_MAX).unwrap();
    assert_eq!(credit.add(1), Err(CreditError::TooMuch));
    assert_eq!(credit.add(u32::MAX), Err(CreditError::TooMuch));
    assert_eq!(credit.available(), RELAY_CREDIT_MAX, "nothing was added");
}

#[test]
fn a_window_gives_back_what_was_consumed_once_that_is_half_of_it() {
    let size = RELAY_INITIAL_CREDIT as usize;
    let mut window = ReceiveWindow::default();
    window.received(size).unwrap();
    let beyond = CreditError::Beyond {
        bytes: 1,
        credit: 0,
    };
    assert_eq!(window.received(1), Err(beyond));
    assert_eq!(window.consumed(size / 2 - 1), None);
    assert_eq!(
        window.received(1),
        Err(beyond),
        "consumed, but not given back"
    );
    assert_eq!(window.consumed(1), Some(RELAY_INITIAL_CREDIT / 2));
    window.received(size / 2).unwrap();
    assert_eq!(window.held(), RELAY_INITIAL_CREDIT);
    assert_eq!(window.consumed(usize::MAX), Some(RELAY_INITIAL_CREDIT));
    assert_eq!(window.consumed(1), None, "more than came gives nothing");
    assert!(window.received(usize::MAX).is_err());
    assert_eq!(window.consumed(0), None);
}

#[test]
fn a_window_grows_and_never_shrinks() {
    let mut window = ReceiveWindow::default();
    assert_eq!(window.widen(RELAY_INITIAL_CREDIT), None);
    assert_eq!(window.widen(0), None);
    window.received(100).unwrap();
    assert_eq!(window.consumed(100), None);
    let wider = 4 * RELAY_INITIAL_CREDIT;
    assert_eq!(window.widen(wider), Some(3 * RELAY_INITIAL_CREDIT + 100));
    window.received(wider as usize).unwrap();
    assert_eq!(
        window.consumed(wider as usize / 2 - 1),
        None,
        "half of it now"
    );
    let most = window.widen(u32::MAX).unwrap();
    assert_eq!(most, RELAY_CREDIT_MAX - wider + wider / 2 - 1);
}

/// What happens to one direction of a stream.
#[derive(Debug, Clone)]
enum Step {
    /// The sender has so many bytes to send.
    Send(usize),
    /// The reader takes so many.
    Consume(usize),
    /// The frames with credit arrive.
    Tell,
    /// The receiver makes its window wider.
    Widen(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0usize..200_000).prop_map(Step::Send),
        4 => (0usize..200_000).prop_map(Step::Consume),
        2 => Just(Step::Tell),
        1 => (0u32..2_000_000).prop_map(Step::Widen),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn an_honest_sender_never_breaks_the_window_and_never_starves(steps in steps()) {
        let (mut credit, mut window) = (SendCredit::default(), ReceiveWindow::default());
        let (mut size, mut told, mut consumed, mut sent) = (RELAY_INITIAL_CREDIT, 0u32, 0u64, 0u64);
        for step in steps {
            match step {
                Step::Send(wanted) => {
                    let bytes = credit.take(wanted);
                    prop_assert!(bytes <= wanted);
                    window.received(bytes).unwrap();
                    sent += bytes as u64;
                }
                Step::Consume(bytes) => {
                    consumed += u64::from(window.held().min(bytes as u32));
                    told += window.consumed(bytes).unwrap_or(0);
                }
                Step::Tell => credit.add(std::mem::take(&mut told)).unwrap(),
                Step::Widen(to) => {
                    told += window.widen(to).unwrap_or(0);
                    size = size.max(to);
                }
            }
            prop_assert!(window.held() <= size, "memory is bounded by the window");
            prop_assert_eq!(u64::from(window.held()), sent - consumed);
            prop_assert!(sent + u64::from(credit.available()) + u64::from(told) <= consumed + u64::from(size));
        }
        told += window.consumed(usize::MAX).unwrap_or(0);
        credit.add(told).unwrap();
        prop_assert!(credit.available() > size / 2, "who reads everything lets the sender go on");
    }

    #[test]
    fn no_bytes_panic(input in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = OpenStream::decode(&input);
        let _ = AnswerHead::decode(&input);
        let _ = AnswerEnd::decode(&input);
        let _ = Cancelled::decode(&input);
    }
}
