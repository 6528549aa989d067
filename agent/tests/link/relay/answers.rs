//! Requests that are served: whole, in their turn, and no further than somebody reads.

use super::rig::{Ask, MODEL, Rig, fast, found, slow};
use crate::setup::agent_key;
use dgon_protocol::frame::{Permission, Probe, ToAgent};
use dgon_protocol::id::RequestId;
use dgon_protocol::receipt::{Receipt, Source, Status};
use dgon_protocol::relay::{CancelReason, Kind};
use dgon_testkit::link_server::Seen;
use dgon_testkit::runtime::{Outcome, SimRuntime};
use serde_json::json;

/// More credit than an answer here takes, bytes.
const MUCH: u32 = 8 * 1024 * 1024;

/// Streams that have ended as they should.
fn ends(seen: &Seen) -> usize {
    let is_end = |bytes: &&Vec<u8>| bytes[0] == Kind::End as u8;
    seen.relayed.iter().filter(is_end).count()
}

#[tokio::test]
async fn an_answer_comes_whole_and_its_receipt_with_it() {
    let rig = Rig::start(fast(40)).await;
    let ask = Ask::chat(1);
    rig.ask(1, &ask).await;
    let answer = rig.whole(1).await;
    let head = answer.head.clone().unwrap();
    assert_eq!(head.status, 200);
    assert!(head.content_type.unwrap().starts_with("text/event-stream"));
    let exchange = rig.runtime.exchanges().remove(0);
    assert_eq!(exchange.request, ask.body);
    assert_eq!(answer.body, exchange.sent, "byte for byte");
    assert_eq!(answer.end.as_ref().unwrap().failure, None);

    let entry = answer.receipt().unwrap().to_vec();
    let receipt = Receipt::parse(&entry).unwrap();
    assert!(receipt.verify(&agent_key()));
    let fields = &receipt.fields;
    assert_eq!(fields.source, Some(Source::Gateway));
    assert_eq!(fields.status, Some(Status::Ok));
    assert_eq!(fields.request_id, ask.order.request_id);
    assert_eq!(fields.order_hash, Some(ask.order_hash()));
    let told = rig.runtime.stats().output_tokens;
    assert_eq!(u64::try_from(fields.tokens_output).unwrap(), told);
    let prompt_hash = ask.content_key.body_hash(&ask.body).to_string();
    assert_eq!(fields.prompt_hash.as_deref(), Some(prompt_hash.as_str()));
    assert!(fields.output_hash.is_some());
    // Those are the bytes that go among the receipts, too.
    let seen = rig.until(|seen| !seen.receipts.is_empty()).await;
    assert_eq!(seen.receipts[&1], entry);
}

#[tokio::test]
async fn a_large_request_comes_within_its_credit() {
    let rig = Rig::start(fast(8)).await;
    let ask = Ask::body(
        1,
        &json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "user": "x".repeat(3_000_000)}),
    );
    rig.send(1, Kind::Open, &ask.open()).await;
    let mut sent = 0;
    while sent < ask.body.len() {
        let seen = rig
            .until(|seen| 64 * 1024 + seen.answer(1).credit > sent as u64)
            .await;
        let credit = usize::try_from(64 * 1024 + seen.answer(1).credit).unwrap();
        let until = ask.body.len().min(credit).min(sent + 64 * 1024);
        rig.send(1, Kind::Body, &ask.body[sent..until]).await;
        sent = until;
    }
    rig.send(1, Kind::End, b"").await;
    let answer = rig.whole(1).await;
    assert_eq!(answer.head.unwrap().status, 200);
    let exchange = rig.runtime.exchanges().remove(0);
    assert_eq!(exchange.request, ask.body);
    assert_eq!(answer.body, exchange.sent);
}

#[tokio::test]
async fn a_reader_that_gives_no_credit_stops_its_own_stream_and_the_runtime_behind_it() {
    // More than all buffers on the way take.
    let rig = Rig::start(fast(100_000)).await;
    rig.ask(1, &Ask::chat(1)).await;
    let seen = rig.until(|seen| seen.answer(1).body.len() == 64 * 1024);
    let heartbeats = seen.await.heartbeats;

    let short = json!({"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": true, "max_tokens": 50});
    rig.ask(2, &Ask::body(2, &short)).await;
    let other = rig.whole(2).await;
    assert_eq!(other.end.unwrap().failure, None);
    // Heartbeats and receipts go on beside it.
    rig.agent.record(20).await;
    rig.until(|seen| seen.heartbeats >= heartbeats + 3 && seen.receipts.len() == 21)
        .await;
    let stopped = rig.stub.seen().answer(1);
    assert_eq!(stopped.body.len(), 64 * 1024);
    let exchange = rig.runtime.exchanges().remove(0);
    assert_eq!(exchange.outcome, Outcome::Running, "it is held up");

    // It goes on from there.
    rig.credit(1, 1_000).await;
    rig.until(|seen| seen.answer(1).body.len() == 64 * 1024 + 1_000)
        .await;
    rig.cancel(1).await;
    rig.until_runtime(cancelled).await;
}

#[tokio::test]
async fn an_answer_goes_on_as_far_as_there_is_credit_for_it() {
    let rig = Rig::start(fast(1_500)).await;
    rig.ask(1, &Ask::chat(1)).await;
    rig.until(|seen| seen.answer(1).body.len() == 64 * 1024)
        .await;
    for given in 1..=3 {
        rig.credit(1, 1_000).await;
        rig.until(|seen| seen.answer(1).body.len() == 64 * 1024 + 1_000 * given)
            .await;
    }
    rig.credit(1, MUCH).await;
    let answer = rig.whole(1).await;
    let exchange = rig.runtime.exchanges().remove(0);
    assert!(answer.body == exchange.sent, "byte for byte");
    assert_eq!(answer.end.unwrap().failure, None);
}

fn cancelled(runtime: &SimRuntime) -> bool {
    let stats = runtime.stats();
    (stats.cancelled, stats.running) == (1, 0)
}

#[tokio::test]
async fn a_cancel_reaches_the_runtime_and_its_receipt_says_so() {
    let rig = Rig::start(slow()).await;
    let ask = Ask::chat(1);
    rig.ask(1, &ask).await;
    rig.until(|seen| seen.answer(1).pieces.len() > 3).await;
    rig.cancel(1).await;
    rig.until_runtime(cancelled).await;
    let answer = rig.whole(1).await;
    let end = answer.end.as_ref().unwrap();
    assert_eq!(end.failure.as_deref(), Some("cancelled"));
    let receipt = Receipt::parse(answer.receipt().unwrap()).unwrap();
    assert_eq!(receipt.fields.status, Some(Status::Cancelled));
    assert_eq!(receipt.fields.order_hash, Some(ask.order_hash()));
    assert_eq!(rig.proxy.in_flight(), 0);
    // What still comes for it is late, and does no harm.
    rig.cancel(1).await;
    rig.credit(1, 7).await;
    rig.ask(2, &Ask::chat(2)).await;
    rig.until(|seen| seen.answer(2).pieces.len() > 3).await;
}

#[tokio::test]
async fn a_cancel_reaches_a_runtime_that_is_held_up_or_has_not_answered_yet() {
    let rig = Rig::start(fast(100_000)).await;
    rig.ask(1, &Ask::chat(1)).await;
    rig.until(|seen| seen.answer(1).body.len() == 64 * 1024)
        .await;
    rig.cancel(1).await;
    rig.until_runtime(cancelled).await;
    rig.whole(1).await;

    let mut silent = slow();
    silent.ttft = std::time::Duration::from_secs(3_600);
    let rig = Rig::start(silent).await;
    rig.ask(1, &Ask::chat(1)).await;
    rig.until_runtime(|runtime| runtime.stats().running == 1)
        .await;
    rig.cancel(1).await;
    rig.until_runtime(cancelled).await;
    let answer = rig.whole(1).await;
    let receipt = Receipt::parse(answer.receipt().unwrap()).unwrap();
    assert_eq!(receipt.fields.status, Some(Status::Cancelled));
}

#[tokio::test]
async fn a_request_that_is_cancelled_while_it_comes_is_nobodys_work() {
    let rig = Rig::start(fast(8)).await;
    let ask = Ask::chat(1);
    rig.send(1, Kind::Open, &ask.open()).await;
    rig.send(1, Kind::Body, &ask.body[..10]).await;
    rig.cancel(1).await;
    let answer = rig.whole(1).await;
    assert!(answer.receipt().is_none());
    assert_eq!(rig.runtime.stats().http_requests, 0);
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_streams() {
    let rig = Rig::start(slow()).await;
    let ask = Ask::chat(1);
    rig.ask(1, &ask).await;
    rig.until(|seen| seen.answer(1).pieces.len() > 3).await;
    rig.stub.cut();
    rig.until_runtime(cancelled).await;
    let seen = rig.until(|seen| seen.receipts.len() == 1).await;
    let receipt = Receipt::parse(&seen.receipts[&1]).unwrap();
    assert_eq!(receipt.fields.status, Some(Status::Cancelled));
    assert_eq!(receipt.fields.source, Some(Source::Gateway));
    assert_eq!(receipt.fields.order_hash, Some(ask.order_hash()));
    assert!(!seen.answer(1).is_over(), "nobody was there to hear it");
}

#[tokio::test]
async fn the_end_of_a_session_ends_what_has_nothing_to_send() {
    let mut silent = slow();
    silent.ttft = std::time::Duration::from_secs(3_600);
    let rig = Rig::start(silent).await;
    rig.ask(1, &Ask::chat(1)).await;
    rig.until_runtime(|runtime| runtime.stats().running == 1)
        .await;
    rig.stub.cut();
    rig.until_runtime(cancelled).await;

    let rig = Rig::start(fast(100_000)).await;
    rig.ask(1, &Ask::chat(1)).await;
    rig.until(|seen| seen.answer(1).body.len() == 64 * 1024)
        .await;
    rig.stub.cut();
    rig.until_runtime(cancelled).await;
}

#[tokio::test]
async fn work_ends_when_its_order_says() {
    let rig = Rig::start(slow()).await;
    let now = super::rig::now_ms();
    let ask = Ask::chat(1).with(|order| {
        order.start_by_ms = now + 1_500;
        order.finish_by_ms = now + 2_000;
    });
    rig.ask(1, &ask).await;
    let answer = rig.whole(1).await;
    assert_eq!(answer.cancelled.unwrap().reason, CancelReason::FinishBy);
    rig.until_runtime(cancelled).await;
    let seen = rig.until(|seen| seen.receipts.len() == 1).await;
    let receipt = Receipt::parse(&seen.receipts[&1]).unwrap();
    assert_eq!(receipt.fields.status, Some(Status::Cancelled));
}

#[tokio::test]
async fn what_fails_says_so_in_the_word_of_its_receipt() {
    // Nothing listens there any more.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let runtime = SimRuntime::start(fast(8)).await.unwrap();
    let allow = [Permission::Gateway];
    let rig = Rig::before(runtime, vec![found(closed)], &allow, |_, _| {}).await;
    rig.ask(1, &Ask::chat(1)).await;
    let answer = rig.whole(1).await;
    assert_eq!(answer.head, None);
    let failure = answer.end.as_ref().unwrap().failure.clone();
    assert_eq!(failure.as_deref(), Some("unreachable"));
    let receipt = Receipt::parse(answer.receipt().unwrap()).unwrap();
    assert_eq!(receipt.fields.status, Some(Status::Error));

    let mut broken = fast(100);
    broken.faults.disconnect_after = Some(20);
    let rig = Rig::start(broken).await;
    rig.ask(1, &Ask::chat(1)).await;
    let answer = rig.whole(1).await;
    assert_eq!(answer.head.as_ref().unwrap().status, 200);
    let failure = answer.end.as_ref().unwrap().failure.clone();
    assert_eq!(failure.as_deref(), Some("incomplete"));
}

#[tokio::test]
async fn two_hundred_streams_run_beside_probes_and_receipts() {
    const STREAMS: u32 = 200;
    let rig = Rig::start(fast(30)).await;
    for id in 1..=STREAMS {
        rig.ask(id, &Ask::chat(id)).await;
        if id % 20 == 0 {
            rig.agent.record(1).await;
            let probe = ToAgent::Probe(Probe {
                probe_id: format!("{id}"),
                request_id: RequestId::parse(format!("r_p{id}")).unwrap(),
                model: None,
                prompt: "hello".to_owned(),
                max_tokens: 1,
                timeout_ms: 1_000,
            });
            assert!(rig.stub.send(probe).await);
        }
    }
    let seen = rig
        .until(|seen| {
            seen.receipts.len() == 210 && seen.probes.len() == 10 && ends(seen) == STREAMS as usize
        })
        .await;
    assert_eq!(seen.violations, Vec::<String>::new());
    let exchanges = rig.runtime.exchanges();
    for id in 1..=STREAMS {
        let answer = seen.answer(id);
        assert_eq!(answer.faults, Vec::<String>::new());
        let asked = Ask::chat(id).body;
        let exchange = exchanges.iter().find(|one| one.request == asked).unwrap();
        assert!(answer.body == exchange.sent, "stream {id}");
        let receipt = Receipt::parse(answer.receipt().unwrap()).unwrap();
        assert_eq!(
            seen.receipts[&u64::try_from(receipt.fields.seq.unwrap()).unwrap()],
            answer.receipt().unwrap()
        );
    }
}
