//! A node changes its key: what it takes, and what the old key is still good for.

use crate::support::{ALL, SERVER, SOON, Server, ack, error_type, quick};
use dgon_control_plane::app::Clock;
use dgon_control_plane_model::lifecycle::State;
use dgon_control_plane_store::audit::AuditEntry;
use dgon_control_plane_store::node_keys::Rotating;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::ToAgent;
use dgon_protocol::key::{NodeKey, PublicKey, unhex};
use dgon_protocol::limits::KEY_GRACE;
use dgon_protocol::rotate::{CLOSE_PATH, Closing, ROTATE_PATH, Rotated, Rotation};
use dgon_testkit::fleet::{SimAgent, SimReceipt, unix_now};
use serde::Serialize;
use serde_json::Value;

/// Posts a statement as `agent`.
async fn post(
    server: &Server,
    agent: &SimAgent,
    path: &str,
    body: &impl Serialize,
) -> reqwest::Response {
    let body = serde_json::to_vec(body).expect("json");
    server.post(agent, path, &body).await
}

async fn rotated(server: &Server, agent: &SimAgent, rotation: &Rotation) -> Rotated {
    let response = post(server, agent, ROTATE_PATH, rotation).await;
    assert_eq!(response.status(), 200);
    response.json().await.expect("answer")
}

/// The verdicts on receipts that are posted over HTTP: verdict and type of the refusal.
async fn verdicts(
    server: &Server,
    agent: &SimAgent,
    receipts: &[&SimReceipt],
) -> Vec<(String, Option<String>)> {
    let texts: Vec<&str> = receipts.iter().map(|receipt| receipt.text()).collect();
    let body = format!("[{}]", texts.join(","));
    let response = server
        .post(agent, "/api/v1/receipts", body.as_bytes())
        .await;
    assert_eq!(response.status(), 201);
    let answer: Value = response.json().await.expect("verdicts");
    let verdicts = answer["verdicts"].as_array().expect("array").iter();
    verdicts
        .map(|one| {
            let text = |name: &str| one[name].as_str().map(str::to_owned);
            (text("verdict").unwrap_or_default(), text("type"))
        })
        .collect()
}

fn good(verdict: &str) -> (String, Option<String>) {
    (verdict.to_owned(), None)
}

#[tokio::test]
async fn receipts_of_both_keys_are_good_each_in_its_own_chain() {
    for server in [Server::start().await, Server::start_on_postgres().await] {
        let (mut agent, mut link) = server.active_agent("a").await;
        let first = agent.next_receipt().expect("receipt");
        link.send_receipts([&first]).await.expect("send");
        ack(&mut link, first.seq).await;
        // These wait in the spool while the key changes.
        let late = [agent.next_receipt(), agent.next_receipt()].map(|made| made.expect("receipt"));
        let mut old = SimAgent::restore(&agent.save()).expect("copy");
        let rotation = agent.rotate().expect("rotation");
        let answer = rotated(&server, &agent, &rotation).await;
        assert_eq!(answer.key_id, rotation.new_key.key_id());

        // The session of the old key goes on until the agent leaves it.
        let under_way = old.next_receipt().expect("receipt");
        link.send_receipts([&late[0], &late[1], &under_way])
            .await
            .expect("send");
        assert_eq!(ack(&mut link, under_way.seq).await.refused, []);

        // A new session speaks of the new chain, and begins it.
        let mut link = agent.connect().await.expect("connect with the new key");
        let new = [agent.next_receipt(), agent.next_receipt()].map(|made| made.expect("receipt"));
        assert_eq!((new[0].seq, link.welcome.acked_seq), (1, 0));
        link.send_receipts([&new[0], &new[1]]).await.expect("send");
        assert_eq!(ack(&mut link, 2).await.refused, []);

        // What is left of the old chain comes over HTTP, and again, and counts once.
        let rest = old.next_receipt().expect("receipt");
        assert_eq!(
            verdicts(&server, &agent, &[&rest]).await,
            [good("accepted")]
        );
        assert_eq!(
            verdicts(&server, &agent, &[&late[0], &rest, &new[1]]).await,
            [good("duplicate"), good("duplicate"), good("duplicate")]
        );
        assert_eq!(server.state(&agent), State::Active);
        let keys = server
            .app
            .store
            .node_keys(&ALL, &agent.node_id)
            .await
            .expect("keys");
        let heads: Vec<_> = keys.iter().map(|key| key.head.seq).collect();
        assert_eq!(heads, [2, rest.seq]);
        assert_eq!(keys[0].valid_from_ms, answer.valid_from_ms);
        assert_eq!(keys[1].valid_to_ms, Some(answer.valid_from_ms));
        server.stop().await;
    }
}

/// A node that posts is believed to be as it was read a moment ago; before a receipt under a key that is not known is
/// judged, the keys are read.
#[tokio::test]
async fn a_key_that_another_process_has_let_in_is_no_violation() {
    // It stands still: what was read stays fresh.
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let server = Server::start_with(quick(), clock).await;
    let (mut agent, _link) = server.active_agent("a").await;
    let first = agent.next_receipt().expect("receipt");
    assert_eq!(
        verdicts(&server, &agent, &[&first]).await,
        [good("accepted")]
    );
    let (rotation, audit) = (agent.rotate().expect("rotation"), AuditEntry::default());
    let now_ms = server.app.clock.now_ms();
    let rotated = server
        .app
        .store
        .node_key_rotate(SERVER, &rotation, now_ms, &audit)
        .await;
    assert!(matches!(rotated, Ok(Rotating::Done { .. })), "{rotated:?}");
    let new = agent.next_receipt().expect("receipt");
    let again = server
        .post(&agent, "/api/v1/receipts", new.text().as_bytes())
        .await;
    assert_eq!(error_type(again).await, ErrorType::Unavailable);
    assert_eq!(verdicts(&server, &agent, &[&new]).await, [good("accepted")]);
    assert_eq!(server.state(&agent), State::Active);
}

#[tokio::test]
async fn the_same_rotation_again_gets_the_same_answer() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let rotation = agent.rotate().expect("rotation");
    let first = rotated(&server, &agent, &rotation).await;
    assert_eq!(rotated(&server, &agent, &rotation).await, first);
    let audit = server
        .app
        .store
        .inspect()
        .audit_latest(Some("node:a"), 10)
        .await;
    let audit = audit.expect("audit");
    let said: Vec<_> = audit.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(said, ["node_key.rotate", "node.enrol"]);
    for row in &audit {
        let facts = row.read_facts().expect("facts").expect("some");
        assert_eq!(facts.ip.as_deref(), Some("127.0.0.1"), "{row:?}");
        assert!(row.request_id.is_some() && facts.after.is_some(), "{row:?}");
    }

    // Lost answers of older rotations do not bring the old key back.
    let second = agent.rotate().expect("rotation");
    rotated(&server, &agent, &second).await;
    assert_eq!(rotated(&server, &agent, &rotation).await, first);
    assert!(agent.connect().await.is_ok());
}

#[tokio::test]
async fn who_does_not_hold_both_keys_or_shows_a_bad_one_is_refused() {
    let server = Server::start().await;
    let other = server.agent("other").await;
    let mut agent = server.agent("a").await;
    let old = SimAgent::restore(&agent.save()).expect("copy");
    let good = agent.rotate().expect("rotation");
    let refused = async |rotation: &Rotation| {
        let response = post(&server, &agent, ROTATE_PATH, rotation).await;
        assert!(response.status().is_client_error());
        error_type(response).await
    };
    let mut forged = good.clone();
    forged.old_signature.clone_from(&good.new_signature);
    assert_eq!(refused(&forged).await, ErrorType::InvalidSignature);
    let mut unproven = good.clone();
    unproven.new_signature.clone_from(&good.old_signature);
    assert_eq!(refused(&unproven).await, ErrorType::InvalidSignature);
    let mut weak = good.clone();
    weak.new_key = PublicKey::from_bytes([0; 32]);
    assert_eq!(refused(&weak).await, ErrorType::InvalidKey);
    // A canonical point that is not of prime order, of the published edge cases for Ed25519.
    let torsion = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d";
    weak.new_key = PublicKey::from_bytes(unhex(torsion).expect("hex"));
    assert_eq!(refused(&weak).await, ErrorType::InvalidKey);
    let stranger = NodeKey::from_seed(&[9; 32]);
    let foreign = Rotation::sign(&agent.node_id, &stranger, &NodeKey::from_seed(&[8; 32]), 1);
    assert_eq!(refused(&foreign).await, ErrorType::Conflict);
    let mut named = good.clone();
    named.node_id.clone_from(&other.node_id);
    assert_eq!(refused(&named).await, ErrorType::WrongNode);
    // Nothing of this changed anything.
    assert!(old.connect().await.is_ok());
    rotated(&server, &agent, &good).await;
    // A key that this network has seen, the node's own old one among them, never comes back.
    let again = Rotation::sign(&agent.node_id, &agent.key, &old.key, 1);
    assert_eq!(refused(&again).await, ErrorType::InvalidKey);
    let taken = Rotation::sign(&agent.node_id, &agent.key, &other.key, 1);
    assert_eq!(refused(&taken).await, ErrorType::InvalidKey);
    assert!(old.connect().await.is_err(), "the old key opens no session");
}

#[tokio::test]
async fn an_old_key_says_nothing_after_its_time_or_its_end() {
    let start = i64::try_from(unix_now().as_millis()).expect("now");
    let clock = Clock::manual(start);
    let server = Server::start_with(quick(), clock.clone()).await;
    let (mut agent, _link) = server.active_agent("a").await;
    let mut old = SimAgent::restore(&agent.save()).expect("copy");
    let rotation = agent.rotate().expect("rotation");
    let answer = rotated(&server, &agent, &rotation).await;
    let end_s = u64::try_from(answer.valid_from_ms).expect("time") / 1000 + KEY_GRACE.as_secs();
    let ends = |at_s: u64| {
        move |draft: &mut dgon_protocol::receipt::Draft| {
            draft.ts_start = at_s;
            draft.ts_end = at_s;
        }
    };
    let in_time = old.next_receipt_with(ends(end_s)).expect("receipt");
    let before = old.save();
    let too_late = old.next_receipt_with(ends(end_s + 2)).expect("receipt");
    let refused = ("refused".to_owned(), Some("invalid_key".to_owned()));
    assert_eq!(
        verdicts(&server, &agent, &[&in_time, &too_late]).await,
        [good("accepted"), refused.clone()]
    );

    // The refusal left no gap, and the chain ends where its holder says.
    let mut old = SimAgent::restore(&before).expect("copy");
    let last = old.next_receipt().expect("receipt");
    let closing = old.closing();
    let closed = post(&server, &agent, CLOSE_PATH, &closing).await;
    assert_eq!(closed.status(), 200);
    let closed = post(&server, &agent, CLOSE_PATH, &closing).await;
    assert_eq!(closed.status(), 200, "said twice is said once");
    let beyond = old.next_receipt().expect("receipt");
    assert_eq!(
        verdicts(&server, &agent, &[&last, &beyond]).await,
        [good("accepted"), refused]
    );
    let contradiction = post(&server, &agent, CLOSE_PATH, &old.closing()).await;
    assert_eq!(error_type(contradiction).await, ErrorType::ForkedChain);
    let in_use = post(&server, &agent, CLOSE_PATH, &agent.closing()).await;
    assert_eq!(error_type(in_use).await, ErrorType::Conflict);
    let mut forged: Closing = closing;
    forged.last_seq += 1;
    let forged = post(&server, &agent, CLOSE_PATH, &forged).await;
    assert_eq!(error_type(forged).await, ErrorType::InvalidSignature);
    let kept = server
        .app
        .store
        .inspect()
        .evidence_count(&agent.node_id)
        .await;
    assert_eq!(kept.expect("count"), 2);
    assert_eq!(server.state(&agent), State::Active);
}

#[tokio::test]
async fn receipts_of_an_old_chain_that_come_out_of_order_wait_for_each_other() {
    let server = Server::start().await;
    let (mut agent, _link) = server.active_agent("a").await;
    let made: Vec<SimReceipt> = (0..4)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    let rotation = agent.rotate().expect("rotation");
    rotated(&server, &agent, &rotation).await;
    assert_eq!(
        verdicts(&server, &agent, &[&made[2], &made[3]]).await,
        [good("held"), good("held")]
    );
    assert_eq!(
        verdicts(&server, &agent, &[&made[0], &made[1]]).await,
        [good("accepted"), good("accepted")]
    );
    let keys = server.app.store.node_keys(&ALL, &agent.node_id).await;
    assert_eq!(keys.expect("keys")[1].head.seq, made[3].seq);
    // Nothing of it was told on the new chain's session.
    let mut link = agent.connect().await.expect("connect");
    let new = agent.next_receipt().expect("receipt");
    link.send_receipts([&new]).await.expect("send");
    let told = link
        .until(SOON, |frame| match frame {
            ToAgent::Ack(ack) => Some(Ok(ack.acked_seq)),
            ToAgent::Need(need) => Some(Err(need.clone())),
            _ => None,
        })
        .await
        .expect("answer");
    assert_eq!(told, Ok(1));
}

#[tokio::test]
async fn a_node_rotates_its_key_so_often_a_day_and_hears_when_it_may_again() {
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let server = Server::start_with(quick(), clock.clone()).await;
    let mut agent = server.agent("a").await;
    let mut refused = None;
    for _ in 0..20 {
        let rotation = agent.rotate().expect("rotation");
        let body = serde_json::to_vec(&rotation).expect("JSON");
        clock.advance(1_000);
        let answer = server.post(&agent, ROTATE_PATH, &body).await;
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("twenty rotations in twenty seconds are too many");
    assert_eq!(refused.status(), 429);
    let wait = refused.headers()["retry-after"].to_str().expect("text");
    let wait: i64 = wait.parse().expect("seconds");
    assert!((86_000..=86_400).contains(&wait), "{wait}");
    assert_eq!(error_type(refused).await, ErrorType::RateLimited);
    let keys = server.app.store.node_keys(&ALL, &agent.node_id).await;
    assert_eq!(keys.expect("keys").len(), 9, "one that it enrolled with");
}

#[tokio::test]
async fn the_day_of_changes_goes_on() {
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let server = Server::start_with(quick(), clock.clone()).await;
    let mut agent = server.agent("a").await;
    for _ in 0..8 {
        let rotation = agent.rotate().expect("rotation");
        rotated(&server, &agent, &rotation).await;
        clock.advance(1_000);
    }
    // The node's clock does not follow the server's: what is asked of the store is what matters here.
    let rotation = agent.rotate().expect("rotation");
    let now_ms = clock.now_ms();
    let day_ms = 86_400_000;
    let store = &server.app.store;
    let audit = AuditEntry::default();
    for (at_ms, is_taken) in [
        (now_ms, false),
        (now_ms - 8_001 + day_ms, false),
        (now_ms - 8_000 + day_ms, true),
    ] {
        let outcome = store
            .node_key_rotate(SERVER, &rotation, at_ms, &audit)
            .await;
        let done = matches!(outcome.expect("rotate"), Rotating::Done { .. });
        assert_eq!(done, is_taken, "{at_ms}");
    }
}
