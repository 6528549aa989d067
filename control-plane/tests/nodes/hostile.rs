//! What a node that breaks rules can do to others, and to the truth.

use crate::support::{ALL, SOON, Server, ack, quarantined, quick};
use dgon_control_plane::app::views::ReceiptRow;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::bus::Event as BusEvent;
use dgon_control_plane_model::lifecycle::State;
use dgon_control_plane_store::receipt_queries::{ReceiptFilter, ReceiptFound};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{GpuLoad, Heartbeat, ToAgent, ToControlPlane};
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::rotate::ROTATE_PATH;
use dgon_testkit::fleet::{SimAgent, SimError, SimLink, SimReceipt, unix_now};
use std::time::Duration;

fn made(agent: &mut SimAgent, count: usize) -> Vec<SimReceipt> {
    (0..count)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect()
}

/// A control plane that gives a missing receipt up soon after its clock is moved on.
async fn impatient() -> (Server, Clock) {
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let settings = Settings {
        gap_after: Duration::from_millis(50),
        ..quick()
    };
    (Server::start_with(settings, clock.clone()).await, clock)
}

/// Sends a receipt whose predecessors are missing, and waits until they are given up.
async fn give_up(clock: &Clock, link: &mut SimLink, receipt: &SimReceipt) {
    link.send_receipts([receipt]).await.expect("send");
    link.until(SOON, |frame| {
        matches!(frame, ToAgent::Need(_)).then_some(())
    })
    .await
    .expect("need");
    clock.advance(60);
    assert_eq!(ack(link, receipt.seq).await.acked_seq, receipt.seq);
}

#[tokio::test]
async fn who_uses_an_id_first_does_not_make_another_node_guilty() {
    let server = Server::start().await;
    let (mut honest, mut link) = server.active_agent("honest").await;
    let (mut thief, mut other) = server.active_agent("thief").await;
    let receipt = honest.next_receipt().expect("receipt");
    let copied = thief
        .next_receipt_with(|draft| draft.request_id = receipt.request_id.clone())
        .expect("receipt");
    other.send_receipts([&copied]).await.expect("send");
    assert!(ack(&mut other, copied.seq).await.refused.is_empty());
    link.send_receipts([&receipt]).await.expect("send");
    assert!(ack(&mut link, receipt.seq).await.refused.is_empty());
    assert_eq!(server.state(&honest), State::Active);
    let by_id = ReceiptFilter {
        request_id: Some(receipt.request_id.to_string()),
        ..ReceiptFilter::default()
    };
    let stored = server.app.store.receipts_list(&ALL, &by_id, None, 10);
    assert_eq!(stored.await.expect("list").len(), 2);
}

#[tokio::test]
async fn a_region_that_a_node_claims_shows_on_its_receipt_alone() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let receipt = agent
        .next_receipt_with(|draft| draft.region = Some("mars".to_owned()))
        .expect("receipt");
    let mut events = server.app.bus.subscribe();
    link.send_receipts([&receipt]).await.expect("send");
    ack(&mut link, receipt.seq).await;
    let live = loop {
        let event = tokio::time::timeout(SOON, events.recv()).await;
        if let BusEvent::Receipts(receipts) = event.expect("in time").expect("bus") {
            break ReceiptRow::of_committed(&receipts[0]);
        }
    };
    assert_ne!(
        live.region.as_deref(),
        Some("mars"),
        "not on a live row either"
    );
    let in_region = |region: &str| ReceiptFilter {
        region: Some(region.to_owned()),
        ..ReceiptFilter::default()
    };
    let store = &server.app.store;
    let claimed = store
        .receipts_list(&ALL, &in_region("mars"), None, 10)
        .await;
    assert!(claimed.expect("list").is_empty());
    let assigned = store
        .receipts_list(&ALL, &in_region("eu-test"), None, 10)
        .await;
    assert_eq!(assigned.expect("list").len(), 2, "the probe's and this one");
    let detail = store
        .receipt_get(&ALL, receipt.request_id.as_str(), None)
        .await
        .expect("get");
    let ReceiptFound::One(detail) = detail else {
        panic!("{detail:?}");
    };
    assert!(String::from_utf8_lossy(&detail.entry).contains("\"region\":\"mars\""));
    let summary = server.shown("/summary").await.to_string();
    assert!(
        summary.contains("eu-test") && !summary.contains("mars"),
        "{summary}"
    );
}

#[tokio::test]
async fn a_place_that_was_given_up_takes_only_what_was_there() {
    let (server, clock) = impatient().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let mut twin = agent.draft().expect("draft");
    let receipts = made(&mut agent, 2);
    give_up(&clock, &mut link, &receipts[1]).await;
    twin.tokens_output += 1;
    link.send_receipts([&agent.sign(&twin)])
        .await
        .expect("send");
    let (acked, reason) = quarantined(&mut link).await;
    assert_eq!(acked.refused[0].kind, ErrorType::ForkedChain);
    assert_eq!(reason, "forked_chain");
}

#[tokio::test]
async fn late_receipts_are_vouched_for_by_those_after_them() {
    let (server, clock) = impatient().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let receipts = made(&mut agent, 5);
    give_up(&clock, &mut link, &receipts[4]).await;
    // Nothing that is stored names the second.
    link.send_receipts([&receipts[1]]).await.expect("send");
    let acked = ack(&mut link, 5).await;
    assert_eq!(acked.refused[0].kind, ErrorType::Conflict);
    // In one batch they vouch for each other, in whatever order they come.
    let rest = [&receipts[0], &receipts[3], &receipts[1], &receipts[2]];
    link.send_receipts(rest).await.expect("send");
    assert!(ack(&mut link, 5).await.refused.is_empty());
    for receipt in &receipts {
        let stored = server
            .app
            .store
            .inspect()
            .receipt_exists(&receipt.request_id)
            .await;
        assert!(stored.expect("read"), "{}", receipt.seq);
    }
    assert_eq!(server.state(&agent), State::PendingProbe);
}

#[tokio::test]
async fn a_receipt_that_was_held_and_is_refused_then_is_told_of() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let first = agent.next_receipt().expect("receipt");
    link.send_receipts([&first]).await.expect("send");
    ack(&mut link, first.seq).await;
    let before = agent.next_receipt().expect("receipt");
    let conflict = agent
        .next_receipt_with(|draft| draft.request_id = first.request_id.clone())
        .expect("receipt");
    let mut events = server.app.bus.subscribe();
    link.send_receipts([&conflict]).await.expect("send");
    link.until(SOON, |frame| {
        matches!(frame, ToAgent::Need(_)).then_some(())
    })
    .await
    .expect("need");
    link.send_receipts([&before]).await.expect("send");
    let (acked, reason) = quarantined(&mut link).await;
    assert_eq!(reason, "conflicting_receipt");
    assert_eq!((acked.acked_seq, acked.refused.len()), (conflict.seq, 1));
    // What was refused is not told to those who look on as a receipt that came.
    let shown = loop {
        let event = tokio::time::timeout(SOON, events.recv()).await;
        if let BusEvent::Receipts(receipts) = event.expect("in time").expect("bus") {
            break receipts;
        }
    };
    let ids: Vec<_> = shown.iter().map(|one| one.fields.seq).collect();
    assert_eq!(ids, [i64::try_from(before.seq).ok()]);
}

#[tokio::test]
async fn a_session_that_sends_nothing_but_junk_is_ended_and_its_evidence_is_bounded() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    // A few more than it takes: those of a moment ago count a little less already.
    let mut forged = made(&mut agent, 272);
    for receipt in &mut forged {
        let text = receipt
            .text()
            .replace("\"tokens_input\":", "\"tokens_input\":1");
        receipt.signed.entry_bytes = text.into_bytes();
    }
    for frame in forged.chunks(256) {
        link.send_receipts(frame).await.expect("send");
    }
    let mut refused = 0;
    let ended = link
        .until(SOON, |frame| {
            if let ToAgent::Ack(ack) = frame {
                refused += ack.refused.len();
            }
            None::<()>
        })
        .await;
    let Err(SimError::Link(error)) = ended else {
        panic!("no error frame: {ended:?}")
    };
    assert_eq!(error.kind, ErrorType::RateLimited);
    assert!(refused >= 256, "{refused}");
    assert_eq!(error.retry_after_s, Some(60));
    let kept = server
        .app
        .store
        .inspect()
        .evidence_count(&agent.node_id)
        .await;
    // Eight of each transaction; these are five at most.
    assert!(kept.expect("count") <= 40);
    assert_eq!(server.state(&agent), State::Quarantine);
    // Who comes back before the time is not heard.
    let back = agent.connect().await.map(drop);
    assert!(
        matches!(&back, Err(SimError::Refused { status: 429, .. })),
        "{back:?}"
    );
}

#[tokio::test]
async fn a_chain_full_of_holes_is_a_few_rows() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let mut receipts = made(&mut agent, 200);
    // Every receipt of a run is refused, then one is good, and so on.
    for (number, receipt) in receipts.iter_mut().enumerate() {
        if number % 10 != 9 {
            let text = receipt
                .text()
                .replace("\"tokens_input\":", "\"tokens_input\":1");
            receipt.signed.entry_bytes = text.into_bytes();
        }
    }
    link.send_receipts(&receipts).await.expect("send");
    let acked = ack(&mut link, agent.head.seq).await;
    assert_eq!(acked.refused.len(), 180);
    let detail = server
        .app
        .store
        .node_detail(&ALL, agent.node_id.as_str())
        .await
        .expect("read")
        .expect("some");
    assert_eq!(detail.gaps.len(), 20);
}

#[tokio::test]
async fn a_key_that_is_new_to_the_session_is_looked_up_before_anybody_is_blamed() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let rotation = agent.rotate().expect("rotation");
    let body = serde_json::to_vec(&rotation).expect("JSON");
    let answer = server.post(&agent, ROTATE_PATH, &body).await;
    assert_eq!(answer.status(), 200);
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    match link.until(SOON, |_| None::<()>).await {
        Err(SimError::Link(error)) => assert_eq!(error.kind, ErrorType::Unavailable),
        other => panic!("no error frame: {other:?}"),
    }
    assert_eq!(server.state(&agent), State::Active);
    let mut link = agent.connect().await.expect("connect");
    link.send_receipts([&receipt]).await.expect("send");
    let acked = ack(&mut link, receipt.seq).await;
    assert!(acked.refused.is_empty(), "{acked:?}");
}

#[tokio::test]
async fn a_model_that_no_database_takes_stops_nobodys_probes() {
    let server = Server::start_on_postgres().await;
    let mut odd = Vec::new();
    for number in 0..4 {
        let agent = server.agent(&format!("odd-{number}")).await;
        let link = agent
            .connect_with(|hello| hello.inventory.runtimes[0].models[0].id = "a\0b".to_owned())
            .await;
        odd.push(link.expect("connect"));
    }
    let (honest, _link) = server.active_agent("honest").await;
    assert_eq!(server.state(&honest), State::Active);
}

#[tokio::test]
async fn a_place_that_was_passed_over_in_the_same_batch_holds_nothing() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let mut foreign = agent.draft().expect("draft");
    foreign.node_id = NodeId::parse("another").expect("id");
    let foreign = agent.sign(&foreign);
    let receipts = made(&mut agent, 2);
    link.send_receipts([&foreign, &receipts[0]])
        .await
        .expect("send");
    let acked = ack(&mut link, 1).await;
    let kinds: Vec<_> = acked.refused.iter().map(|one| one.kind).collect();
    assert_eq!(
        kinds,
        [ErrorType::WrongNode, ErrorType::Conflict],
        "nothing names it yet"
    );
    link.send_receipts([&receipts[1], &receipts[0]])
        .await
        .expect("send");
    assert!(ack(&mut link, 2).await.refused.is_empty());
    for receipt in &receipts {
        let store = server.app.store.inspect();
        let stored = store.receipt_exists(&receipt.request_id).await;
        assert!(stored.expect("read"), "{}", receipt.seq);
    }
}

/// Whoever signs two receipts for one place has forked, whichever of them was stored.
#[tokio::test]
async fn two_receipts_that_wait_for_one_place_are_a_fork() {
    for in_one_batch in [true, false] {
        let server = Server::start().await;
        let mut agent = server.agent("a").await;
        let mut link = agent.connect().await.expect("connect");
        let receipts = made(&mut agent, 2);
        let mut twin = agent.draft().expect("draft");
        let third = agent.next_receipt().expect("receipt");
        twin.tokens_output += 1;
        let twin = agent.sign(&twin);
        if in_one_batch {
            let batch = [&receipts[0], &third, &twin, &receipts[1]];
            link.send_receipts(batch).await.expect("send");
        } else {
            link.send_receipts([&receipts[0], &third])
                .await
                .expect("send");
            link.until(SOON, |frame| {
                matches!(frame, ToAgent::Need(_)).then_some(())
            })
            .await
            .expect("need");
            link.send_receipts([&twin, &receipts[1]])
                .await
                .expect("send");
        }
        let (acked, reason) = quarantined(&mut link).await;
        assert_eq!((reason.as_str(), acked.refused.len()), ("forked_chain", 1));
        assert_eq!(acked.refused[0].request_id.as_ref(), Some(&twin.request_id));
        let all = server
            .app
            .store
            .receipts_list(&ALL, &ReceiptFilter::default(), None, 10)
            .await;
        assert_eq!(all.expect("list").len(), 3);
    }
}

#[tokio::test]
async fn a_late_receipt_must_follow_the_one_before_it_too() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let first = agent.next_receipt().expect("receipt");
    link.send_receipts([&first]).await.expect("send");
    ack(&mut link, 1).await;
    let broken = agent
        .next_receipt_with(|draft| draft.prev_hash = Sha256Hash::of(b"another history"))
        .expect("receipt");
    let third = agent.next_receipt().expect("receipt");
    let junk = |receipt: &SimReceipt| {
        let mut junk = receipt.clone();
        junk.signed.entry_bytes = b"{}".to_vec();
        junk
    };
    link.send_receipts([&junk(&first), &junk(&first), &third])
        .await
        .expect("send");
    assert_eq!(ack(&mut link, 3).await.acked_seq, 3);
    link.send_receipts([&broken]).await.expect("send");
    let (acked, reason) = quarantined(&mut link).await;
    assert_eq!(reason, "forked_chain");
    assert_eq!(acked.refused[0].kind, ErrorType::ForkedChain);
}

#[tokio::test]
async fn a_node_that_reconnects_is_not_blamed_for_the_probe_of_its_old_session() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut old = agent.connect().await.expect("connect");
    crate::support::probe(&mut old).await;
    // The newer session takes over before the older one is known to be gone.
    let mut link = agent.connect().await.expect("connect again");
    crate::support::become_active(&mut agent, &mut link).await;
}

#[tokio::test]
async fn a_heartbeat_has_a_largest_size() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let load = GpuLoad {
        throttle: Some(vec!["x".repeat(500_000)]),
        ..GpuLoad::default()
    };
    let heartbeat = Heartbeat {
        gpus: vec![load],
        ..Heartbeat::default()
    };
    link.send(&ToControlPlane::Heartbeat(heartbeat))
        .await
        .expect("send");
    match link.until(SOON, |_| None::<()>).await {
        Err(SimError::Link(error)) => assert_eq!(error.kind, ErrorType::InvalidFrame),
        other => panic!("no error frame: {other:?}"),
    }
}
