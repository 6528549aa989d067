//! The link: handshake, replacement, grammar, draining.

use crate::support::{ALL, SOON, Server, ack};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Heartbeat, SUBPROTOCOL, ToControlPlane};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::limits::FRAME_BYTES;
use dgon_testkit::fleet::{Event, SimAgent, SimError, SimLink};
use futures_util::StreamExt as _;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

async fn end(link: &mut SimLink) -> ErrorType {
    match link.until(SOON, |_| None::<()>).await {
        Err(SimError::Link(error)) => error.kind,
        other => panic!("no error frame: {other:?}"),
    }
}

#[tokio::test]
async fn a_session_stands_and_receipts_are_acknowledged_in_order() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    assert_eq!(link.welcome.acked_seq, 0);
    let receipts: Vec<_> = (0..300)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    link.send_receipts(&receipts[..200]).await.expect("send");
    link.send_receipts(&receipts[200..]).await.expect("send");
    let acked = ack(&mut link, 300).await;
    assert_eq!((acked.acked_seq, acked.refused.len()), (300, 0));
    link.close().await;
    let again = agent.connect().await.expect("reconnect");
    assert_eq!(again.welcome.acked_seq, 300);
}

#[tokio::test]
async fn a_newer_session_replaces_the_older() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let mut first = agent.connect().await.expect("connect");
    let second = agent.connect().await.expect("connect again");
    assert_eq!(end(&mut first).await, ErrorType::Replaced);
    assert_eq!(server.app.sessions.count(), 1);
    assert_eq!(server.app.presence.connected(), 1);
    second.close().await;
}

#[tokio::test]
async fn an_agent_that_speaks_of_fewer_receipts_is_shown_the_newest() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    assert!(link.welcome.acked_receipt.is_none(), "nothing to show");
    let before = agent.head;
    let receipts: Vec<_> = (0..5)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    link.send_receipts(&receipts).await.expect("send");
    ack(&mut link, 5).await;
    link.close().await;
    let again = agent.connect().await.expect("connect");
    assert!(again.welcome.acked_receipt.is_none(), "it has them all");
    // The spool is lost.
    agent.head = before;
    let lost = agent.connect().await.expect("connect").welcome;
    let shown = lost.shown_seq(&agent.key.public(), &agent.node_id);
    assert_eq!((lost.acked_seq, shown), (5, Some(5)));
    let stranger = NodeKey::from_seed(&[9; 32]).public();
    assert_eq!(lost.shown_seq(&stranger, &agent.node_id), None);
}

#[tokio::test]
async fn the_agent_must_connect_to_the_public_address() {
    let settings = crate::support::quick();
    let other = dgon_control_plane::app::Settings {
        public_url: Some("https://dgon.example".to_owned()),
        ..settings
    };
    let server = Server::start_with(other, dgon_control_plane::app::Clock::system()).await;
    let mut agent = server.agent("a").await;
    // What enrolment gave is the public address, which a test cannot reach.
    assert!(agent.link_url.starts_with("wss://dgon.example/"));
    agent.link_url = format!("{}/api/v1/nodes/link", server.url.replacen("http", "ws", 1));
    match agent.connect().await {
        Err(SimError::Link(error)) => {
            assert_eq!(error.kind, ErrorType::InvalidSignature);
            assert!(error.message.contains("dgon.example"), "{}", error.message);
        }
        other => panic!("{:?}", other.map(|_| "a session")),
    }
}

#[tokio::test]
async fn only_the_enrolled_key_opens_a_session() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let enrolled = std::mem::replace(&mut agent.key, NodeKey::from_seed(&[9; 32]));
    let other_key = agent.connect().await.err().expect("refused");
    assert!(matches!(other_key, SimError::Link(error) if error.kind == ErrorType::InvalidKey));
    agent.key = enrolled;
    agent.secret[0] ^= 1;
    let other_secret = agent.connect().await.err().expect("refused");
    assert!(
        matches!(other_secret, SimError::Refused { status: 401, .. }),
        "{other_secret}"
    );
    agent.node_id = NodeId::parse("unknown").expect("id");
    let stranger = agent.connect().await.err().expect("refused");
    assert!(
        matches!(stranger, SimError::Refused { status: 401, .. }),
        "{stranger}"
    );
}

#[tokio::test]
async fn frames_that_break_the_grammar_end_the_session_with_a_reason() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let junk = [
        "not json",
        "{\"type\":\"heartbeat\",\"data\":{\"uptime_s\":\"x\"},\"ts\":1}",
        "[]",
    ];
    for text in junk {
        let mut link = agent.connect().await.expect("connect");
        link.send_text(text.to_owned()).await.expect("send");
        assert_eq!(end(&mut link).await, ErrorType::InvalidFrame, "{text}");
    }
    let mut link = agent.connect().await.expect("connect");
    link.send_binary(vec![1, 2, 3]).await.expect("send");
    assert_eq!(end(&mut link).await, ErrorType::InvalidFrame);
    let many = vec!["{}"; 257].join(",");
    let mut link = agent.connect().await.expect("connect");
    link.send_text(format!(
        "{{\"type\":\"receipts\",\"data\":{{\"receipts\":[{many}]}},\"ts\":1}}"
    ))
    .await
    .expect("send");
    assert_eq!(end(&mut link).await, ErrorType::InvalidFrame);
}

#[tokio::test]
async fn frames_of_a_newer_agent_are_ignored() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    link.send_text("{\"type\":\"hologram\",\"data\":{\"x\":[1]},\"ts\":1}".to_owned())
        .await
        .expect("send");
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    assert_eq!(ack(&mut link, 1).await.acked_seq, 1);
}

#[tokio::test]
async fn heartbeats_are_known_at_once_and_written_soon() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let mut events = server.app.bus.subscribe();
    let mut link = agent.connect().await.expect("connect");
    let beat = Heartbeat {
        uptime_s: 77,
        ..Heartbeat::default()
    };
    link.send(&ToControlPlane::Heartbeat(beat))
        .await
        .expect("send");
    loop {
        let event = tokio::time::timeout(SOON, events.recv())
            .await
            .expect("in time")
            .expect("bus");
        if matches!(event, dgon_control_plane::bus::Event::Heartbeat { .. }) {
            break;
        }
    }
    let known = server
        .app
        .presence
        .get(&agent.node_id)
        .and_then(|node| node.heartbeat)
        .expect("beat");
    assert_eq!(known.1.uptime_s, 77);
    let store = server.app.store.clone();
    server.stop().await;
    let row = store
        .node_get(&ALL, &agent.node_id)
        .await
        .expect("get")
        .expect("node");
    assert!(row.last_heartbeat.expect("written").contains("77"));
}

#[tokio::test]
async fn a_stopping_control_plane_tells_its_agents_when_to_come_back() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    server.stop().await;
    match link.until(SOON, |_| None::<()>).await {
        Err(SimError::Link(error)) => {
            assert_eq!(error.kind, ErrorType::Unavailable);
            assert!(error.retry_after_s.is_some());
        }
        other => panic!("no error frame: {other:?}"),
    }
}

/// The upgrade of an agent that offers these subprotocols.
fn upgrade(agent: &SimAgent, offers: &str) -> http::Request<()> {
    let mut request = agent
        .link_url
        .as_str()
        .into_client_request()
        .expect("a request");
    let path = request.uri().path().to_owned();
    let headers = agent.headers("GET", &path, b"").expect("headers");
    let offers = ("sec-websocket-protocol", offers.to_owned());
    for (name, value) in headers.into_iter().chain([offers]) {
        let value = http::HeaderValue::from_str(&value).expect("a value");
        request.headers_mut().insert(name, value);
    }
    request
}

#[tokio::test]
async fn the_subprotocol_is_chosen_out_of_those_that_are_offered_or_refused_before_anything_else() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let offers = format!("dgon.of-tomorrow, {SUBPROTOCOL}");
    let (_socket, answer) = connect_async(upgrade(&agent, &offers))
        .await
        .expect("connect");
    assert_eq!(answer.headers()["sec-websocket-protocol"], SUBPROTOCOL);
    // Whoever asks: nothing was looked up for it.
    agent.secret[0] ^= 1;
    let refused = connect_async(upgrade(&agent, "dgon.of-tomorrow")).await;
    assert!(
        matches!(&refused, Err(WsError::Http(answer)) if answer.status() == 400),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_close_of_an_agent_is_answered_with_a_close() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let (mut socket, _) = connect_async(upgrade(&agent, SUBPROTOCOL))
        .await
        .expect("connect");
    socket.close(None).await.expect("closed");
    let answer = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(_))) => return,
                // The challenge.
                Some(Ok(Message::Text(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(SOON, answer).await.expect("in time");
}

/// A frame of a type that nobody knows yet, so many bytes long.
fn frame_of(bytes: usize) -> String {
    let empty = r#"{"type":"of_tomorrow","data":{"pad":""},"ts":1}"#;
    let pad = "x".repeat(bytes - empty.len());
    let frame = empty.replace(r#""pad":""#, &format!(r#""pad":"{pad}"#));
    assert_eq!(frame.len(), bytes);
    frame
}

#[tokio::test]
async fn the_largest_frame_is_read_and_one_that_is_larger_ends_the_session() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    link.send_text(frame_of(FRAME_BYTES)).await.expect("sent");
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    ack(&mut link, receipt.seq).await;
    // The other side may be gone before all of it is written.
    let _ = link.send_text(frame_of(FRAME_BYTES + 1)).await;
    let ended = async { while !matches!(link.receive(SOON).await, Ok(Event::Closed) | Err(_)) {} };
    tokio::time::timeout(SOON, ended).await.expect("ended");
}
