//! Agents that break the rules of the relay: a rule of the session ends the session, a rule of a stream that stream.

use super::{ask, next, rest};
use crate::support::{SOON, Server, ack};
use dgon_control_plane::relay::{Event, Lost, Stream};
use dgon_protocol::error::ErrorType;
use dgon_protocol::relay::{AnswerHead, CancelReason, Kind, OpenStream, RelayFrame};
use dgon_testkit::fleet::relay::frame;
use dgon_testkit::fleet::{Event as LinkEvent, SimAgent, SimError, SimLink};

async fn send(link: &mut SimLink, kind: Kind, id: u32, payload: &[u8]) {
    let frame = frame(kind, id, payload).expect("a frame");
    link.send_binary(frame).await.expect("send");
}

/// Waits until the whole of so many requests has come.
async fn take_requests(link: &mut SimLink, count: usize) {
    let mut ended = 0;
    while ended < count {
        let LinkEvent::Binary(bytes) = link.receive(SOON).await.expect("a frame") else {
            continue;
        };
        let frame = RelayFrame::decode(&bytes).expect("a frame");
        ended += usize::from(frame.kind == Kind::End);
    }
}

fn head() -> Vec<u8> {
    let head = AnswerHead {
        status: 200,
        content_type: None,
        retry_after_s: None,
    };
    head.encode().expect("a head")
}

async fn end(link: &mut SimLink) -> (ErrorType, String) {
    match link.until(SOON, |_| None::<()>).await {
        Err(SimError::Link(error)) => (error.kind, error.message.to_string()),
        other => panic!("no error frame: {other:?}"),
    }
}

/// A node that was asked for one answer.
async fn asked(server: &Server) -> (SimAgent, SimLink, Stream) {
    let agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let (_, stream) = ask(server, &agent, "x", 1);
    take_requests(&mut link, 1).await;
    (agent, link, stream)
}

#[tokio::test]
async fn frames_of_streams_that_nobody_opened_and_what_is_no_frame_end_the_session() {
    let server = Server::start().await;
    let faults: [(&[u8], &str); 5] = [
        (&[3, 0, 0, 0, 2, b'x'], "no relay stream 2 was opened"),
        (
            &[6, 255, 255, 255, 255, 0, 0, 0, 1],
            "no relay stream 4294967295 was opened",
        ),
        (&[1, 0, 0, 0, 2], "an agent opens no relay streams"),
        (&[9, 0, 0, 0, 1], "unknown relay frame kind 9"),
        (&[1, 2, 3], "a relay frame has at least 5 bytes"),
    ];
    let agent = server.agent("a").await;
    for (bytes, expected) in faults {
        let mut link = agent.connect().await.expect("connect");
        let (_, mut stream) = ask(&server, &agent, "x", 1);
        take_requests(&mut link, 1).await;
        link.send_binary(bytes.to_vec()).await.expect("send");
        let told = (ErrorType::InvalidFrame, expected.to_owned());
        assert_eq!(end(&mut link).await, told);
        assert!(matches!(next(&mut stream).await, Event::Lost(Lost::Ended)));
    }
}

#[tokio::test]
async fn a_second_head_body_beyond_the_credit_and_body_after_the_end_hurt_their_stream_alone() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let mut streams: Vec<Stream> = (0..4).map(|_| ask(&server, &agent, "x", 1).1).collect();
    take_requests(&mut link, 4).await;
    for id in 1..=4 {
        send(&mut link, Kind::Headers, id, &head()).await;
    }
    send(&mut link, Kind::Headers, 1, &head()).await;
    for _ in 0..3 {
        send(&mut link, Kind::Body, 2, &[0; 32 * 1024]).await;
    }
    send(&mut link, Kind::End, 3, b"").await;
    for _ in 0..100 {
        send(&mut link, Kind::Body, 3, b"after the end").await;
    }
    send(&mut link, Kind::Body, 4, b"well").await;
    send(&mut link, Kind::End, 4, b"").await;
    let mut rests = Vec::new();
    for stream in &mut streams {
        rests.push(rest(stream).await);
    }
    let reason = |i: usize| match &rests[i].1 {
        Event::Cancelled(cancelled) => Some(cancelled.reason),
        _ => None,
    };
    assert_eq!(reason(0), Some(CancelReason::ProtocolError));
    assert_eq!(
        (reason(1), rests[1].0.len()),
        (Some(CancelReason::ProtocolError), 64 * 1024)
    );
    assert!(rests[2].0.is_empty() && matches!(rests[2].1, Event::End(_)));
    assert!(rests[3].0 == b"well" && matches!(rests[3].1, Event::End(_)));
    // The session goes on.
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    ack(&mut link, 1).await;
}

#[tokio::test]
async fn a_flood_of_tiny_frames_keeps_nobody_else_waiting_and_loses_nothing() {
    const FRAMES: usize = 3_000;
    let server = Server::start().await;
    let (agent, mut link, mut stream) = asked(&server).await;
    send(&mut link, Kind::Headers, 1, &head()).await;
    for _ in 0..FRAMES {
        send(&mut link, Kind::Body, 1, b"x").await;
    }
    send(&mut link, Kind::End, 1, b"").await;
    // Nobody else waits for it.
    let other = server.agent("b").await;
    let mut others = other.connect().await.expect("connect");
    server.until_heard(&mut [(&other, &mut others)]).await;
    let (body, last) = rest(&mut stream).await;
    assert_eq!(body.len(), FRAMES);
    assert!(matches!(last, Event::End(_)), "{last:?}");
    server.until_heard(&mut [(&agent, &mut link)]).await;
}

#[tokio::test]
async fn a_node_that_gives_no_credit_for_a_request_keeps_nobody_from_the_others() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let free = server.app.relay_room.free();
    let (_, greedy) = ask(&server, &agent, vec![0; 1024 * 1024], 1);
    let (_, mut other) = ask(&server, &agent, "x", 1);
    let (mut bytes, mut is_asked, mut announced) = (0, false, 0);
    while !(is_asked && bytes == 64 * 1024) {
        let LinkEvent::Binary(frame) = link.receive(SOON).await.expect("a frame") else {
            continue;
        };
        let frame = RelayFrame::decode(&frame).expect("a frame");
        match (frame.kind, frame.stream_id) {
            (Kind::Open, 1) => {
                announced = OpenStream::decode(frame.payload)
                    .expect("a head")
                    .body_bytes;
            }
            (Kind::Body, 1) => bytes += frame.payload.len(),
            (Kind::End, 2) => is_asked = true,
            _ => {}
        }
    }
    assert_eq!(announced, 1024 * 1024);
    send(&mut link, Kind::Headers, 2, &head()).await;
    assert!(matches!(next(&mut other).await, Event::Head(_)));
    drop(greedy);
    loop {
        let LinkEvent::Binary(frame) = link.receive(SOON).await.expect("a frame") else {
            continue;
        };
        let frame = RelayFrame::decode(&frame).expect("a frame");
        // Nothing more of its body has come.
        assert_eq!((frame.kind, frame.stream_id), (Kind::Cancel, 1));
        break;
    }
    drop(other);
    assert_eq!(server.app.relay_room.free(), free);
}
