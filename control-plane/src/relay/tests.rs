//! Streams without a socket: every rule of the relay, and what is bounded.
use super::{Event, Fault, Lost, OpenError, Request, Room, Stream, Streams};
use bytes::Bytes;
use dgon_protocol::content::ContentKey;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::limits::{RELAY_BODY_BYTES, RELAY_CREDIT_MAX, RELAY_STREAMS};
use dgon_protocol::order::{OrderSigningKey, SignedOrder, WorkOrder};
use dgon_protocol::relay::{AnswerHead, CancelReason, Cancelled, Kind, OpenStream, RelayFrame};
use futures_util::FutureExt as _;
use std::sync::Arc;

const KIB: usize = 1024;
const WINDOW: usize = 64 * KIB;

fn key() -> ContentKey {
    ContentKey::from_bytes([8; 32])
}

fn order(body: &[u8]) -> SignedOrder {
    let order = WorkOrder {
        request_id: RequestId::parse("r_01J8KQ0000000000000000000A.1").expect("id"),
        node_id: NodeId::parse("n").expect("id"),
        lease_id: None,
        model_id: "m".to_owned(),
        model_hash: None,
        max_tokens: 1,
        temperature_micros: None,
        seed: None,
        request_hash: key().body_hash(body),
        body_hash: key().body_hash(body),
        content_key_hash: key().hash(),
        price_version: 0,
        start_by_ms: 1,
        finish_by_ms: 2,
        attempt: 1,
        parent: None,
        prefix_hash: None,
    };
    let signed = order.sign(&OrderSigningKey::from_seed(&[5; 32]));
    signed.expect("an order")
}

/// A session's streams, and what the node does to them.
struct Session {
    streams: Arc<Streams>,
    room: Room,
}

impl Session {
    fn new() -> Self {
        Self {
            streams: Arc::default(),
            room: Room::new(1 << 30),
        }
    }

    fn try_open(&self, body: impl Into<Bytes>) -> Result<Stream, OpenError> {
        let body = body.into();
        let request = Request {
            order: &order(b""),
            content_key: &key(),
            path: "/v1/chat/completions",
            content_type: "application/json",
            body,
        };
        self.streams.open(&request, &self.room)
    }

    fn open(&self, body: impl Into<Bytes>) -> Stream {
        self.try_open(body).expect("a stream")
    }

    /// One whose request was sent.
    fn asked(&self) -> Stream {
        let stream = self.open("");
        self.sent();
        stream
    }

    /// The next frame that is sent; `None` where nothing can be sent.
    fn next(&self) -> Option<(Kind, u32, Vec<u8>)> {
        let frame = self.streams.next().now_or_never()?;
        let frame = RelayFrame::decode(&frame).expect("a frame");
        Some((frame.kind, frame.stream_id, frame.payload.to_vec()))
    }

    /// All that can be sent now: kind, stream, bytes of its payload.
    fn sent(&self) -> Vec<(Kind, u32, usize)> {
        let all = std::iter::from_fn(|| self.next());
        all.map(|(kind, id, payload)| (kind, id, payload.len()))
            .collect()
    }

    fn try_hear(&self, kind: Kind, stream_id: u32, payload: &[u8]) -> Result<usize, Fault> {
        let frame = RelayFrame {
            kind,
            stream_id,
            payload,
        };
        self.streams.receive(&frame.encode().expect("a frame"))
    }

    fn hear(&self, kind: Kind, stream_id: u32, payload: &[u8]) {
        let open = self.try_hear(kind, stream_id, payload);
        open.expect("no fault of the session");
    }

    fn head(&self, stream_id: u32) {
        self.hear(Kind::Headers, stream_id, &head());
    }

    fn grant(&self, stream_id: u32, bytes: u32) {
        self.hear(Kind::Window, stream_id, &bytes.to_be_bytes());
    }

    /// Whether nothing is held of any stream.
    fn holds_nothing(&self) -> bool {
        !self.streams.holds_tables() && self.room.free() == 1 << 30
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

/// What is there to be read now.
fn read(stream: &mut Stream) -> Vec<Event> {
    std::iter::from_fn(|| stream.next().now_or_never().flatten()).collect()
}

fn body(stream: &mut Stream) -> Vec<u8> {
    let pieces = read(stream).into_iter().map(|event| match event {
        Event::Body(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    });
    pieces.collect::<Vec<_>>().concat()
}

/// The reason for which a stream was cancelled, and that the node was told the same.
fn broken(session: &Session, stream: &mut Stream, id: u32) -> String {
    let told = session.sent();
    assert!(
        matches!(told.as_slice(), [(Kind::Cancel, of, _)] if *of == id),
        "{told:?}"
    );
    match read(stream).pop() {
        Some(Event::Cancelled(Cancelled { reason, message })) => {
            assert_eq!(reason, CancelReason::ProtocolError);
            message.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_sent_as_far_as_there_is_credit_and_its_answer_is_read_to_its_end() {
    let session = Session::new();
    let mut stream = session.open(vec![b'x'; 100 * KIB]);
    let (kind, id, payload) = session.next().expect("a frame");
    assert_eq!((kind, id), (Kind::Open, 1));
    let open = OpenStream::decode(&payload).expect("a head");
    assert_eq!(open.order().expect("an order"), order(b""));
    assert_eq!(
        (open.body_bytes, &*open.path),
        (102_400, "/v1/chat/completions")
    );
    assert_eq!(session.sent(), [(Kind::Body, 1, 16 * KIB); 4]);
    session.grant(1, 20 * KIB as u32);
    let sent = [(Kind::Body, 1, 16 * KIB), (Kind::Body, 1, 4 * KIB)];
    assert_eq!(session.sent(), sent);
    session.grant(1, 1_000_000);
    let sent = [(Kind::Body, 1, 16 * KIB), (Kind::End, 1, 0)];
    assert_eq!(session.sent(), sent);
    session.head(1);
    session.hear(Kind::Body, 1, b"one ");
    session.hear(Kind::Body, 1, b"two");
    session.hear(Kind::End, 1, br#"{"receipt":{"a":1}}"#);
    let events = read(&mut stream);
    let [Event::Head(head), Event::Body(body), Event::End(end)] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((head.status, &body[..]), (200, &b"one two"[..]));
    let receipt = end.receipt.as_ref().expect("a receipt");
    assert_eq!(receipt.get(), r#"{"a":1}"#);
    assert!(stream.next().now_or_never().expect("over").is_none());
    drop(stream);
    assert_eq!(session.sent(), [], "the node knows that it is over");
    assert!(session.holds_nothing());
}

#[test]
fn what_steers_goes_before_bodies_and_bodies_go_in_turn() {
    let session = Session::new();
    let _first = session.open(vec![0; 40 * KIB]);
    let given_up = session.open(vec![0; 40 * KIB]);
    let order: Vec<_> = (0..4).filter_map(|_| session.next()).collect();
    let order: Vec<_> = order.iter().map(|(kind, id, _)| (*kind, *id)).collect();
    let expected = [
        (Kind::Open, 1),
        (Kind::Open, 2),
        (Kind::Body, 1),
        (Kind::Body, 2),
    ];
    assert_eq!(order, expected);
    given_up.cancel(CancelReason::Superseded, "another was first");
    let _third = session.open("");
    let sent = session.sent();
    let order: Vec<_> = sent.iter().map(|(kind, id, _)| (*kind, *id)).collect();
    let expected = [
        (Kind::Cancel, 2),
        (Kind::Open, 3),
        (Kind::Body, 1),
        (Kind::End, 3),
        (Kind::Body, 1),
        (Kind::End, 1),
    ];
    assert_eq!(order, expected);
}

#[test]
fn who_does_not_read_stops_its_own_stream_and_holds_a_window() {
    let session = Session::new();
    let (mut slow, mut quick) = (session.asked(), session.asked());
    session.head(1);
    session.head(2);
    // In the smallest pieces that there are.
    for _ in 0..WINDOW {
        session.hear(Kind::Body, 1, b"x");
    }
    for _ in 0..8 {
        session.hear(Kind::Body, 2, &[b'y'; 32 * KIB]);
        let came = read(&mut quick);
        assert!(matches!(came.last(), Some(Event::Body(_))), "{came:?}");
    }
    assert_eq!(session.sent(), [(Kind::Window, 2, 4); 1], "told at once");
    assert!(matches!(
        slow.next().now_or_never(),
        Some(Some(Event::Head(_)))
    ));
    assert_eq!(session.sent(), [], "a head takes no credit");
    assert_eq!(body(&mut slow).len(), WINDOW);
    let (kind, id, credit) = session.next().expect("credit");
    assert_eq!(
        (kind, id, &credit[..]),
        (Kind::Window, 1, &65_536u32.to_be_bytes()[..])
    );
}

#[test]
fn what_breaks_a_rule_ends_its_stream_alone() {
    type Break = fn(&Session);
    let rules: [(&str, Break); 9] = [
        ("an answer has one head", |session| {
            session.head(1);
            session.head(1);
        }),
        ("the head of an answer comes before its body", |session| {
            session.hear(Kind::Body, 1, b"x");
        }),
        (
            "65537 bytes of body came, with credit for 65536",
            |session| {
                session.head(1);
                session.hear(Kind::Body, 1, &[0; WINDOW]);
                session.hear(Kind::Body, 1, b"");
                // What beyond says is the sum in one frame's place: nothing of it is kept.
                session.hear(Kind::Body, 1, &[0]);
            },
        ),
        ("a stream has at most 16777216 bytes of credit", |session| {
            session.grant(1, RELAY_CREDIT_MAX);
        }),
        ("an answer that did not fail has a head", |session| {
            session.hear(Kind::End, 1, b"{}");
        }),
        ("the payload of a headers frame is malformed", |session| {
            session.hear(Kind::Headers, 1, br#"{"status":99}"#);
        }),
        ("the payload of a headers frame is malformed", |session| {
            let split = br#"{"status":200,"content_type":"a\r\nset-cookie: b"}"#;
            session.hear(Kind::Headers, 1, split);
        }),
        ("the payload of an end frame is malformed", |session| {
            session.head(1);
            session.hear(Kind::End, 1, b"[");
        }),
        ("an answer begins after the whole request", |session| {
            // The second stream's request waits for credit.
            session.head(3);
        }),
    ];
    for (rule, breaks) in rules {
        let session = Session::new();
        let (mut stream, mut other) = (session.asked(), session.asked());
        let mut half = session.open(vec![0; 100 * KIB]);
        session.sent();
        breaks(&session);
        let is_half = rule.contains("whole request");
        let (of, id) = if is_half {
            (&mut half, 3)
        } else {
            (&mut stream, 1)
        };
        let told = broken(&session, of, id);
        let is_beyond = rule.starts_with("65537");
        let expected = if is_beyond {
            "1 bytes of body came, with credit for 0"
        } else {
            rule
        };
        assert_eq!(told, expected);
        session.head(2);
        session.hear(Kind::Body, 2, b"goes on");
        assert!(matches!(
            read(&mut other).as_slice(),
            [Event::Head(_), Event::Body(_)]
        ));
    }
}

#[test]
fn frames_for_a_stream_that_is_over_are_late_and_those_for_none_are_a_fault() {
    let session = Session::new();
    let (mut ended, given_up) = (session.asked(), session.asked());
    session.head(1);
    session.hear(Kind::End, 1, b"");
    for kind in [Kind::Body, Kind::Headers, Kind::End, Kind::Cancel] {
        session.hear(kind, 1, b"late");
    }
    session.grant(1, u32::MAX);
    assert!(matches!(
        read(&mut ended).as_slice(),
        [Event::Head(_), Event::End(_)]
    ));
    drop(given_up);
    session.hear(Kind::Body, 2, b"late");
    assert_eq!(session.sent().len(), 1, "the cancel alone");
    // One that the node has not been told of is not there for it.
    let _queued = session.open("");
    for id in [0, 3, 4, u32::MAX] {
        let fault = session.try_hear(Kind::Body, id, b"x");
        assert_eq!(fault, Err(Fault::NeverOpened(id)));
    }
    session.sent();
    assert_eq!(session.try_hear(Kind::Open, 3, b""), Err(Fault::Opens));
    for bytes in [&b""[..], b"\x03", b"\x07\0\0\0\x03", b"\x06\0\0\0\x03\0"] {
        let fault = session.streams.receive(bytes);
        assert!(matches!(fault, Err(Fault::Frame(_))), "{bytes:?}");
    }
    let large = [&[3, 0, 0, 0, 3][..], &[0; WINDOW + 1]].concat();
    assert!(session.streams.receive(&large).is_err());
}

#[test]
fn a_node_that_refuses_says_why_and_the_rest_of_the_request_is_not_sent() {
    let session = Session::new();
    let mut stream = session.open(vec![0; 100 * KIB]);
    session.sent();
    let why = Cancelled::new(CancelReason::Busy, "no place");
    session.hear(Kind::Cancel, 1, &why.encode().expect("a payload"));
    assert!(matches!(read(&mut stream).as_slice(), [Event::Cancelled(told)] if *told == why));
    assert!(matches!(session.sent().as_slice(), [(Kind::Cancel, 1, _)]));
    // Junk cancels as well.
    let mut stream = session.asked();
    session.hear(Kind::Cancel, 2, b"\xff");
    let unknown = |told: &Cancelled| told.reason == CancelReason::Unknown;
    assert!(matches!(read(&mut stream).as_slice(), [Event::Cancelled(told)] if unknown(told)));
    assert_eq!(session.sent(), [], "both have ended it");
    // What failed before it began.
    let mut stream = session.asked();
    session.hear(Kind::End, 3, br#"{"failure":"runtime_failed"}"#);
    assert!(matches!(read(&mut stream).as_slice(), [Event::End(_)]));
}

#[test]
fn a_stream_that_was_given_up_before_it_was_sent_leaves_nothing() {
    let session = Session::new();
    // A socket that takes nothing, and somebody who asks again and again.
    for _ in 0..10_000 {
        drop(session.open(vec![0; KIB]));
    }
    assert!(session.holds_nothing());
    assert_eq!(session.sent(), []);
    let _stream = session.asked();
    assert!(session.try_hear(Kind::Body, 10_001, b"x").is_ok());
    assert_eq!(
        session.try_hear(Kind::Body, 10_002, b"x"),
        Err(Fault::NeverOpened(10_002))
    );
}

#[test]
fn a_node_that_gives_no_credit_holds_a_body_until_it_is_given_up() {
    let session = Session::new();
    let stream = session.open(vec![0; 1000 * KIB]);
    assert_eq!(session.sent().len(), 5);
    assert_eq!(session.sent(), []);
    let held = (1 << 30) - session.room.free();
    assert_eq!(held, (1000 + 80) * KIB);
    // Others are asked as before.
    assert!(session.asked().next().now_or_never().is_none());
    drop(stream);
    assert!(matches!(session.sent().last(), Some((Kind::Cancel, _, _))));
    assert!(session.holds_nothing());
}

#[test]
fn a_body_that_was_sent_has_its_room_back() {
    let session = Session::new();
    let _stream = session.open(vec![0; 60 * KIB]);
    assert_eq!((1 << 30) - session.room.free(), 140 * KIB);
    session.sent();
    assert_eq!((1 << 30) - session.room.free(), 80 * KIB);
}

#[test]
fn a_session_has_so_many_streams_and_the_process_so_much_room() {
    let mut session = Session::new();
    let mut streams: Vec<Stream> = (0..RELAY_STREAMS).map(|_| session.open("")).collect();
    assert!(matches!(session.try_open(""), Err(OpenError::Full)));
    assert_eq!(session.sent().len(), 2 * RELAY_STREAMS);
    assert!(matches!(session.try_open(""), Err(OpenError::Full)));
    streams.pop();
    let _one = session.open("");
    // The node hears of the end before the beginning.
    let sent = session.sent();
    assert!(
        matches!(
            sent.as_slice(),
            [
                (Kind::Cancel, 512, _),
                (Kind::Open, 513, _),
                (Kind::End, 513, 0)
            ]
        ),
        "{sent:?}"
    );
    drop(streams);
    let too_large = vec![0; RELAY_BODY_BYTES as usize + 1];
    assert!(matches!(
        session.try_open(too_large),
        Err(OpenError::TooLarge)
    ));
    session.room = Room::new(200 * KIB);
    let _first = session.open("");
    assert!(matches!(
        session.try_open(vec![0; 41 * KIB]),
        Err(OpenError::NoRoom)
    ));
    assert_eq!(
        session.room.free(),
        120 * KIB,
        "what was not opened holds nothing"
    );
    let _second = session.open(vec![0; 40 * KIB]);
}

#[test]
fn streams_are_lost_with_their_session_at_once_after_what_had_come() {
    let session = Session::new();
    let (mut told, mut queued) = (session.asked(), session.open("x"));
    session.head(1);
    session.hear(Kind::Body, 1, b"half");
    session.streams.lose(Lost::Replaced);
    session.streams.lose(Lost::Ended);
    let events = read(&mut told);
    assert!(
        matches!(
            events.as_slice(),
            [Event::Head(_), Event::Body(_), Event::Lost(Lost::Replaced)]
        ),
        "{events:?}"
    );
    assert!(matches!(
        read(&mut queued).as_slice(),
        [Event::Lost(Lost::Replaced)]
    ));
    assert!(matches!(session.try_open(""), Err(OpenError::NoSession)));
    assert_eq!(session.sent(), []);
    drop((told, queued));
    assert!(session.holds_nothing());
}

#[tokio::test]
async fn whoever_waits_is_woken_by_what_comes() {
    let session = Session::new();
    let streams = Arc::clone(&session.streams);
    let mut writer = Box::pin(streams.next());
    assert!((&mut writer).now_or_never().is_none());
    let mut stream = session.open("");
    writer.await;
    session.sent();
    {
        let mut reading = Box::pin(stream.next());
        assert!((&mut reading).now_or_never().is_none());
        session.head(1);
        assert!(matches!(reading.await, Some(Event::Head(_))));
    }
    let mut reading = Box::pin(stream.next());
    assert!((&mut reading).now_or_never().is_none());
    session.streams.lose(Lost::Ended);
    assert!(matches!(reading.await, Some(Event::Lost(Lost::Ended))));
}
