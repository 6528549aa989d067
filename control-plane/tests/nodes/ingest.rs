//! What becomes of receipts on a node's own session: twice, changed, forked, missing, forged.

use crate::support::{SERVER, SOON, Server, ack, quarantined, quick};
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane_model::lifecycle::State;
use dgon_control_plane_store::Store;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Need, ToAgent};
use dgon_protocol::id::RequestId;
use dgon_testkit::fleet::{SimLink, SimReceipt, unix_now};
use std::time::Duration;

async fn need(link: &mut SimLink) -> Need {
    link.until(SOON, |frame| match frame {
        ToAgent::Need(need) => Some(need.clone()),
        _ => None,
    })
    .await
    .expect("need")
}

#[tokio::test]
async fn a_receipt_sent_many_times_is_stored_once_and_acknowledged_each_time() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let receipt = agent.next_receipt().expect("receipt");
    for _ in 0..5 {
        link.send_receipts([&receipt, &receipt, &receipt])
            .await
            .expect("send");
        let acked = ack(&mut link, 1).await;
        assert_eq!((acked.acked_seq, acked.refused.len()), (1, 0));
    }
    assert_eq!(server.state(&agent), State::PendingProbe);
}

#[tokio::test]
async fn a_request_id_with_other_bytes_is_a_conflict() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let first = agent.next_receipt().expect("receipt");
    let second = agent
        .next_receipt_with(|draft| draft.request_id = first.request_id.clone())
        .expect("receipt");
    let third = agent.next_receipt().expect("receipt");
    link.send_receipts([&first, &second, &third])
        .await
        .expect("send");
    let (acked, reason) = quarantined(&mut link).await;
    assert_eq!(reason, "conflicting_receipt");
    assert_eq!(
        acked.acked_seq, third.seq,
        "a refused receipt does not block the queue"
    );
    assert_eq!(acked.refused.len(), 1);
    assert_eq!(acked.refused[0].kind, ErrorType::ConflictingReceipt);
    assert_eq!(
        server
            .app
            .store
            .inspect()
            .evidence_count(&agent.node_id)
            .await
            .expect("count"),
        1
    );
}

#[tokio::test]
async fn two_receipts_for_one_place_are_a_fork() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let mut twin = agent.draft().expect("draft");
    let real = agent.next_receipt().expect("receipt");
    link.send_receipts([&real]).await.expect("send");
    ack(&mut link, real.seq).await;
    twin.tokens_output += 1;
    link.send_receipts([&agent.sign(&twin)])
        .await
        .expect("send");
    let (acked, reason) = quarantined(&mut link).await;
    assert_eq!(reason, "forked_chain");
    assert_eq!(acked.refused[0].kind, ErrorType::ForkedChain);
    // A rewritten history is a fork, too, and what follows it is taken.
    let rewritten = agent
        .next_receipt_with(|draft| {
            draft.prev_hash = dgon_protocol::receipt::Sha256Hash::of(b"else")
        })
        .expect("receipt");
    let after = agent.next_receipt().expect("receipt");
    link.send_receipts([&rewritten, &after])
        .await
        .expect("send");
    let acked = ack(&mut link, after.seq).await;
    assert_eq!((acked.acked_seq, acked.refused.len()), (after.seq, 1));
    assert_eq!(
        server
            .app
            .store
            .inspect()
            .evidence_count(&agent.node_id)
            .await
            .expect("count"),
        2
    );
    // Whoever did not hear the refusal sends it once more, and hears it.
    link.send_receipts([&rewritten, &after])
        .await
        .expect("send");
    let acked = ack(&mut link, after.seq).await;
    assert_eq!(acked.refused.len(), 1);
    assert_eq!(acked.refused[0].kind, ErrorType::ForkedChain);
}

#[tokio::test]
async fn a_bad_signature_on_the_own_session_quarantines_with_evidence() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let mut forged = agent
        .next_receipt_with(|draft| draft.tokens_output = 1_000_000)
        .expect("receipt");
    let text = forged.text().replace("1000000", "1000001");
    forged.signed.entry_bytes = text.into_bytes();
    let after = agent.next_receipt().expect("receipt");
    link.send_receipts([&forged, &after]).await.expect("send");
    let (acked, reason) = quarantined(&mut link).await;
    assert_eq!(reason, "invalid_signature");
    assert_eq!(acked.refused[0].kind, ErrorType::InvalidSignature);
    assert_eq!(
        server
            .app
            .store
            .inspect()
            .evidence_count(&agent.node_id)
            .await
            .expect("count"),
        1
    );
}

#[tokio::test]
async fn what_comes_too_early_waits_for_what_is_missing() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let receipts: Vec<_> = (0..6)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    link.send_receipts([&receipts[0], &receipts[4], &receipts[3]])
        .await
        .expect("send");
    let missing = need(&mut link).await;
    assert_eq!((missing.from, missing.to), (2, 4));
    link.send_receipts([&receipts[5]]).await.expect("send");
    link.send_receipts([&receipts[1], &receipts[2]])
        .await
        .expect("send");
    let acked = ack(&mut link, 6).await;
    assert_eq!((acked.acked_seq, acked.refused.len()), (6, 0));
}

#[tokio::test]
async fn what_never_comes_is_recorded_as_a_gap_and_the_rest_goes_on() {
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let settings = Settings {
        gap_after: Duration::from_millis(50),
        ..quick()
    };
    let server = Server::start_with(settings, clock.clone()).await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let lost = agent.next_receipt().expect("receipt");
    let kept = agent.next_receipt().expect("receipt");
    let mut events = server.app.bus.subscribe();
    link.send_receipts([&kept]).await.expect("send");
    assert_eq!(need(&mut link).await, Need { from: 1, to: 1 });
    clock.advance(60);
    loop {
        let event = tokio::time::timeout(SOON, events.recv())
            .await
            .expect("in time")
            .expect("bus");
        if let dgon_control_plane::bus::Event::Receipts(receipts) = event {
            assert_eq!(receipts[0].fields.request_id, kept.request_id);
            break;
        }
    }
    assert_eq!(ack(&mut link, 2).await.acked_seq, 2);
    let key = server
        .app
        .store
        .node_key_current(SERVER, &agent.node_id)
        .await
        .expect("key")
        .expect("some");
    assert_eq!(key.head_seq, 2);
    // What was thought lost may still come.
    link.send_receipts([&lost]).await.expect("send");
    assert!(ack(&mut link, 2).await.refused.is_empty());
    assert!(
        server
            .app
            .store
            .inspect()
            .receipt_exists(&lost.request_id)
            .await
            .expect("read")
    );
}

#[tokio::test]
async fn bytes_that_are_no_receipt_do_not_block_those_after_them() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let first = agent.next_receipt().expect("receipt");
    let mut broken = agent.next_receipt().expect("receipt");
    broken.signed.entry_bytes = b"{\"seq\":2}".to_vec();
    let third = agent.next_receipt().expect("receipt");
    link.send_receipts([&first, &broken, &third])
        .await
        .expect("send");
    let acked = ack(&mut link, 3).await;
    assert_eq!(acked.acked_seq, 3);
    assert_eq!(acked.refused[0].kind, ErrorType::InvalidReceipt);
    let state = server.state(&agent);
    assert!(
        matches!(state, State::Registered | State::PendingProbe),
        "{state:?}"
    );
}

#[tokio::test]
async fn receipts_of_another_node_are_refused() {
    let server = Server::start().await;
    let mut victim = server.agent("victim").await;
    let agent = server.agent("thief").await;
    let mut link = agent.connect().await.expect("connect");
    let stolen = victim.next_receipt().expect("receipt");
    link.send_receipts([&stolen]).await.expect("send");
    assert_eq!(
        ack(&mut link, 1).await.refused[0].kind,
        ErrorType::WrongNode
    );
    assert!(
        !server
            .app
            .store
            .inspect()
            .receipt_exists(&stolen.request_id)
            .await
            .expect("read")
    );
}

#[tokio::test]
async fn more_than_can_be_held_is_asked_for_again() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let receipts: Vec<_> = (0..300)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    // Each is answered before the next is sent: in one commit all would fit together and nothing be held.
    link.send_receipts(&receipts[1..200]).await.expect("send");
    assert_eq!(need(&mut link).await, Need { from: 1, to: 1 });
    link.send_receipts(&receipts[200..]).await.expect("send");
    assert_eq!(need(&mut link).await.from, 1);
    link.send_receipts([&receipts[0]]).await.expect("send");
    let missing = link
        .until(SOON, |frame| match frame {
            ToAgent::Need(need) if need.from > 1 => Some(need.clone()),
            _ => None,
        })
        .await
        .expect("need");
    assert_eq!(missing, Need { from: 258, to: 300 });
    link.send_receipts(&receipts[257..]).await.expect("send");
    assert_eq!(ack(&mut link, 300).await.acked_seq, 300);
}

#[tokio::test]
async fn postgresql_answers_alike() {
    let server = Server::start_on_postgres().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let receipts: Vec<_> = (0..100)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    let last = receipts[99].seq;
    link.send_receipts(&receipts[50..]).await.expect("send");
    assert_eq!(need(&mut link).await.from, receipts[0].seq);
    link.send_receipts(&receipts[..50]).await.expect("send");
    assert_eq!(ack(&mut link, last).await.acked_seq, last);
    link.send_receipts(&receipts).await.expect("send again");
    assert!(ack(&mut link, last).await.refused.is_empty());
    let conflict = agent
        .next_receipt_with(|draft| draft.request_id = receipts[3].request_id.clone())
        .expect("receipt");
    let after = agent.next_receipt().expect("receipt");
    link.send_receipts([&conflict, &after]).await.expect("send");
    let (acked, reason) = quarantined(&mut link).await;
    assert_eq!(reason, "conflicting_receipt");
    assert_eq!((acked.acked_seq, acked.refused.len()), (after.seq, 1));
}

#[tokio::test]
async fn a_chain_goes_on_after_its_old_receipts_are_gone() {
    let settings = Settings {
        retention_interval: Duration::from_millis(20),
        ..quick()
    };
    let now_ms = i64::try_from(unix_now().as_millis()).expect("a time");
    let clock = Clock::manual(now_ms);
    let server = Server::start_with(settings, clock.clone()).await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let old = agent.next_receipt().expect("receipt");
    link.send_receipts([&old]).await.expect("send");
    ack(&mut link, old.seq).await;
    let stored = |receipt: &SimReceipt| {
        let text: serde_json::Value = serde_json::from_str(receipt.text()).expect("JSON");
        let id = RequestId::parse(text["request_id"].as_str().expect("id")).expect("id");
        let store = server.app.store.clone();
        async move { store.inspect().receipt_exists(&id).await.expect("read") }
    };
    assert!(stored(&old).await);
    clock.advance(181 * 86_400_000);
    let gone = async { while stored(&old).await {} };
    tokio::time::timeout(SOON, gone).await.expect("deleted");
    let next = agent.next_receipt().expect("receipt");
    link.send_receipts([&next]).await.expect("send");
    let acked = ack(&mut link, next.seq).await;
    assert_eq!((acked.acked_seq, acked.refused.len()), (next.seq, 0));
    assert!(stored(&next).await, "what is new is kept");
    // An agent that sends its archive again is told that it was had, and nothing comes back.
    link.send_receipts([&old]).await.expect("send");
    let acked = ack(&mut link, next.seq).await;
    assert_eq!((acked.acked_seq, acked.refused.len()), (next.seq, 0));
    assert!(!stored(&old).await, "what had its time stays away");
    // Half a year of silence may have made it offline, if it was pending before the clock jumped; it is not to blame.
    assert_ne!(server.state(&agent), State::Quarantine);
}

#[tokio::test]
async fn what_a_restored_copy_does_not_have_is_taken_again() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let receipts = [agent.next_receipt(), agent.next_receipt()].map(|made| made.expect("receipt"));
    link.send_receipts(&receipts).await.expect("send");
    ack(&mut link, receipts[1].seq).await;
    // As somebody leaves the database who copies an older one back while the server runs.
    let other = Store::open(server.database()).await.expect("open");
    let restore = "DELETE FROM receipts WHERE seq = (SELECT MAX(seq) FROM receipts)";
    other.inspect().execute(restore).await.expect("restore");
    other.close().await;
    link.send_receipts([&receipts[1]]).await.expect("send");
    ack(&mut link, receipts[1].seq).await;
    let last = "SELECT CAST(MAX(seq) AS TEXT) FROM receipts";
    let last = server.app.store.inspect().texts(last).await.expect("read");
    assert_eq!(last, [Some(receipts[1].seq.to_string())]);
}
