//! What is refused before a runtime hears of it, each for its own reason.

use super::rig::{Ask, Rig, fast, live, now_ms, order_key};
use crate::setup::SECRET;
use dgon_agent::link::Phase;
use dgon_protocol::frame::Permission;
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::relay::{CancelReason, Kind};
use serde_json::json;

/// The runtime has heard of nothing, and nothing has a receipt.
fn assert_unheard(rig: &Rig) {
    assert_eq!(rig.runtime.stats().http_requests, 0);
    assert_eq!(rig.agent.receipts.status().last_seq, 0);
    assert_eq!(rig.proxy.in_flight(), 0);
}

#[tokio::test]
async fn each_bad_order_has_its_own_reason() {
    let rig = Rig::start_with(fast(8), &[Permission::Gateway], |_, settings| {
        settings.max_body_bytes = 1_000_000;
    })
    .await;
    let now = now_ms();
    let mut unknown = Ask::chat(2);
    unknown.signer = order_key(2);
    let foreign = NodeId::parse("rig-8").unwrap();
    let mut other_key = Ask::chat(8);
    other_key.content_key = Ask::chat(9).content_key;
    let mut large = Ask::chat(10);
    large.body_bytes = 1_000_001;
    let mut other_route = Ask::chat(11);
    other_route.path = "/v1/nothing".to_owned();
    let mut native = Ask::chat(12);
    native.path = "/api/chat".to_owned();
    let missing = json!({"model": "nobody has it", "messages": []});
    let cases = [
        (unknown, CancelReason::OrderUnknownKey),
        (
            Ask::chat(3).with(|order| order.node_id = foreign),
            CancelReason::OrderForeign,
        ),
        (
            Ask::chat(4).with(|order| order.start_by_ms = now - 1),
            CancelReason::OrderExpired,
        ),
        (
            Ask::chat(5).with(|order| order.start_by_ms = now + 200_000),
            CancelReason::OrderTooFar,
        ),
        (
            Ask::chat(6).with(|order| order.finish_by_ms = now + 25 * 3_600_000),
            CancelReason::OrderTooFar,
        ),
        (other_key, CancelReason::ContentKeyMismatch),
        (large, CancelReason::BodyTooLarge),
        (other_route, CancelReason::RouteNotServed),
        (native, CancelReason::RouteNotServed),
        (Ask::body(13, &missing), CancelReason::ModelMissing),
        (
            Ask::chat(14).with(|order| order.model_hash = Some(Sha256Hash([1; 32]))),
            CancelReason::ModelMismatch,
        ),
    ];
    for (id, (ask, reason)) in (1..).zip(&cases) {
        rig.ask(id, ask).await;
        assert_eq!(rig.refused(id).await, *reason);
        assert_unheard(&rig);
    }
    // It was none of these that a good one is refused for.
    rig.ask(100, &Ask::chat(100)).await;
    assert_eq!(rig.whole(100).await.head.unwrap().status, 200);
}

#[tokio::test]
async fn an_order_that_was_touched_is_refused() {
    let rig = Rig::start(fast(8)).await;
    let ask = Ask::chat(1);
    let signed = ask.order.sign(&ask.signer).unwrap();
    let text = String::from_utf8(signed.entry_bytes().to_vec()).unwrap();
    let dearer = text.replace(r#""max_tokens":1000000"#, r#""max_tokens":1000001"#);
    assert_ne!(dearer, text);
    rig.send(1, Kind::Open, &ask.open_with(&dearer)).await;
    assert_eq!(rig.refused(1).await, CancelReason::OrderBadSignature);
    rig.send(2, Kind::Open, &ask.open_with("{}")).await;
    assert_eq!(rig.refused(2).await, CancelReason::OrderMalformed);
    rig.send(3, Kind::Open, b"{}").await;
    assert_eq!(rig.refused(3).await, CancelReason::ProtocolError);
    assert_unheard(&rig);
    // Nothing of a refused order is remembered.
    rig.ask(4, &ask).await;
    assert_eq!(rig.whole(4).await.head.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_is_not_the_orders_is_refused() {
    let rig = Rig::start(fast(8)).await;
    let mut ask = Ask::chat(1);
    let at = ask.body.len() - 20;
    ask.body[at] ^= 1;
    rig.ask(1, &ask).await;
    assert_eq!(rig.refused(1).await, CancelReason::BodyMismatch);

    let ask = Ask::chat(2);
    rig.send(2, Kind::Open, &ask.open()).await;
    rig.send(2, Kind::Body, &ask.body[1..]).await;
    rig.send(2, Kind::End, b"").await;
    assert_eq!(rig.refused(2).await, CancelReason::BodyMismatch);

    let ask = Ask::chat(3);
    rig.send(3, Kind::Open, &ask.open()).await;
    rig.send(3, Kind::Body, &ask.body).await;
    rig.send(3, Kind::Body, b"x").await;
    assert_eq!(rig.refused(3).await, CancelReason::BodyTooLarge);

    let now = now_ms();
    let ask = Ask::chat(4).with(|order| order.start_by_ms = now + 500);
    rig.send(4, Kind::Open, &ask.open()).await;
    rig.send(4, Kind::Body, &ask.body).await;
    assert_eq!(rig.refused(4).await, CancelReason::OrderExpired);
    assert_unheard(&rig);
}

#[tokio::test]
async fn faults_of_a_stream_end_it_alone() {
    let rig = Rig::start(super::rig::slow()).await;
    let mut ask = Ask::chat(1);
    ask.body_bytes = 200_000;
    rig.send(1, Kind::Open, &ask.open()).await;
    let credit = rig
        .until(|seen| seen.answer(1).credit > 0)
        .await
        .answer(1)
        .credit;
    assert_eq!(credit, 200_000 - 64 * 1024);
    // None of it is taken as consumed before half of the window is.
    for _ in 0..4 {
        rig.send(1, Kind::Body, &[0; 60_000]).await;
    }
    assert_eq!(rig.refused(1).await, CancelReason::BodyTooLarge);

    rig.send(2, Kind::Open, &Ask::chat(2).open()).await;
    rig.send(2, Kind::Body, &[0; 60_000]).await;
    assert_eq!(rig.refused(2).await, CancelReason::BodyTooLarge);

    let ask = Ask::chat(3);
    rig.ask(3, &ask).await;
    rig.until(|seen| seen.answer(3).pieces.len() > 2).await;
    rig.credit(3, 16 * 1024 * 1024).await;
    let why = rig.whole(3).await.cancelled.unwrap();
    assert_eq!(why.reason, CancelReason::ProtocolError);
    rig.until_runtime(|runtime| runtime.stats().cancelled == 1)
        .await;

    rig.send(4, Kind::Open, &Ask::chat(4).open()).await;
    rig.send(4, Kind::End, b"x").await;
    assert_eq!(rig.refused(4).await, CancelReason::ProtocolError);
    assert_eq!(rig.stub.seen().sessions, 1);
}

#[tokio::test]
async fn what_the_owner_does_not_allow_is_not_even_read() {
    let rig = Rig::start_with(fast(8), &[Permission::Probe], |_, _| {}).await;
    rig.ask(1, &Ask::chat(1)).await;
    assert_eq!(rig.refused(1).await, CancelReason::NotAllowed);
    rig.send(2, Kind::Open, b"no order at all").await;
    assert_eq!(rig.refused(2).await, CancelReason::NotAllowed);
    assert_unheard(&rig);
}

#[tokio::test]
async fn a_node_that_takes_no_work_says_why() {
    let rig = Rig::start_with(fast(8), &[Permission::Gateway], |_, settings| {
        settings.max_in_flight = 0;
    })
    .await;
    rig.ask(1, &Ask::chat(1)).await;
    assert_eq!(rig.refused(1).await, CancelReason::Busy);
    rig.agent.mode.pause_by_owner(true);
    rig.ask(2, &Ask::chat(2)).await;
    assert_eq!(rig.refused(2).await, CancelReason::Paused);
    rig.agent.mode.pause_by_owner(false);
    rig.proxy.admission().close();
    rig.ask(3, &Ask::chat(3)).await;
    assert_eq!(rig.refused(3).await, CancelReason::Stopping);
    assert_unheard(&rig);
}

#[tokio::test]
async fn an_order_is_taken_up_once_whatever_session_it_comes_in() {
    let rig = Rig::start(fast(8)).await;
    let ask = Ask::chat(1);
    rig.ask(1, &ask).await;
    assert_eq!(rig.whole(1).await.end.unwrap().failure, None);
    rig.ask(2, &ask).await;
    assert_eq!(rig.refused(2).await, CancelReason::OrderReplayed);
    // Another order of the same request.
    let again = Ask::chat(1).with(|order| order.max_tokens = 7);
    rig.ask(3, &again).await;
    assert_eq!(rig.refused(3).await, CancelReason::OrderReplayed);

    rig.stub.cut();
    let seen = rig.until(|seen| seen.sessions == 2 && seen.connected).await;
    let before = seen.relayed.len();
    rig.ask(1, &ask).await;
    let seen = rig
        .until(|seen| seen.answer_since(before, 1).is_over())
        .await;
    let why = seen.answer_since(before, 1).cancelled.unwrap();
    assert_eq!(why.reason, CancelReason::OrderReplayed);
    assert_eq!(rig.runtime.stats().requests, 1);
    assert_eq!(rig.agent.receipts.status().last_seq, 1);
}

#[tokio::test]
async fn keys_are_believed_under_a_proof_alone() {
    let rig = Rig::start(fast(8)).await;
    let second = order_key(2);
    let by_second = |number| {
        let mut ask = Ask::chat(number);
        ask.signer = order_key(2);
        ask
    };
    // Sealed with a secret that is not the node's.
    assert!(rig.stub.send_keys(live(&[&second]), &[6; 32]).await);
    rig.ask(1, &by_second(1)).await;
    assert_eq!(rig.refused(1).await, CancelReason::OrderUnknownKey);
    rig.ask(2, &Ask::chat(2)).await;
    assert_eq!(rig.whole(2).await.head.unwrap().status, 200);

    assert!(rig.stub.send_keys(live(&[&second]), &SECRET).await);
    rig.ask(3, &by_second(3)).await;
    assert_eq!(rig.whole(3).await.head.unwrap().status, 200);
    rig.ask(4, &Ask::chat(4)).await;
    assert_eq!(rig.refused(4).await, CancelReason::OrderUnknownKey);
}

#[tokio::test]
async fn orders_are_judged_by_the_control_planes_clock() {
    const HOUR: i64 = 3_600_000;
    let rig = Rig::start_with(fast(8), &[Permission::Gateway], |script, _| {
        script.clock_ahead_ms = HOUR;
    })
    .await;
    rig.ask(1, &Ask::chat(1)).await;
    assert_eq!(rig.refused(1).await, CancelReason::OrderExpired);
    let ask = Ask::chat(2).with(|order| {
        order.start_by_ms += HOUR;
        order.finish_by_ms += HOUR;
    });
    rig.ask(2, &ask).await;
    assert_eq!(rig.whole(2).await.head.unwrap().status, 200);
}

#[tokio::test]
async fn frames_that_no_control_plane_sends_end_the_session() {
    for (kind, id, says) in [
        (Kind::Body, 7, "never opened"),
        (Kind::Cancel, 0, "never opened"),
        (Kind::Headers, 1, "only an agent"),
        (Kind::Open, 1, "not above all before it"),
    ] {
        let mut rig = Rig::start(super::rig::slow()).await;
        rig.ask(1, &Ask::chat(1)).await;
        rig.until(|seen| seen.answer(1).pieces.len() > 2).await;
        rig.send(id, kind, b"").await;
        rig.agent
            .until_link(|link| {
                link.phase == Phase::Waiting
                    && link
                        .last_error
                        .as_ref()
                        .is_some_and(|error| error.contains(says))
            })
            .await;
        rig.until_runtime(|runtime| runtime.stats().cancelled == 1)
            .await;
    }
}
