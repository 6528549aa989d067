//! The live socket over a real connection.

use crate::agents;
use crate::server::{NOW_MS, Server, Who};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Asker, Turn};
use dgon_control_plane::bus::{CommittedReceipt, Event};
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane::http::openapi::document;
use dgon_control_plane_store::Connected;
use dgon_protocol::id::NodeId;
use dgon_testkit::seed::Seeded;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Method, Request, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What the OpenAPI document says of frames to a browser. Every frame of every test here is held against it.
static FRAMES: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let api = serde_json::to_value(document()).expect("document");
    let whole = json!({
        "$ref": "#/components/schemas/live.ToBrowser",
        "components": api["components"],
    });
    jsonschema::draft202012::new(&whole).expect("a schema")
});

pub(crate) struct Page {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    seq: u64,
}

pub(crate) async fn start() -> (Server, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let url = format!("sqlite:{}", dir.path().join("dgon.db").display());
    (Server::start(&url, 4, 3).await, dir)
}

pub(crate) fn upgrade(server: &Server, who: &Who, origin: &str) -> Request<()> {
    let url = format!("ws://{}/api/v1/live", server.address);
    let mut request = url.into_client_request().expect("a request");
    let mut set = |name, value: &str| {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_str(value).expect("a header"));
    };
    set(http::header::ORIGIN, origin);
    if let Some(cookie) = &who.0 {
        set(http::header::COOKIE, cookie);
    }
    request
}

impl Page {
    /// Opens the socket; nothing is read yet.
    pub(crate) async fn enter(server: &Server, who: &Who) -> Self {
        let origin = format!("http://{}", server.address);
        let (socket, _) = connect_async(upgrade(server, who, &origin))
            .await
            .expect("connect");
        Self::of(socket)
    }

    pub(crate) fn of(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self { socket, seq: 0 }
    }

    /// Opens the socket and reads the greeting.
    async fn open(server: &Server, who: &Who, role: &str) -> Self {
        let mut page = Self::enter(server, who).await;
        let hello = page.next().await;
        assert_eq!(
            (&hello["type"], &hello["data"]["role"]),
            (&json!("hello"), &json!(role))
        );
        let snapshot = page.next().await;
        assert_eq!(snapshot["type"], "snapshot");
        assert_eq!(snapshot["data"]["summary"]["requests_24h"], 12);
        page
    }

    /// The next frame; its number must follow the one before.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message.expect("in time").expect("open").expect("a message") {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).expect("JSON");
                    assert_eq!(frame["seq"], self.seq + 1, "{text}");
                    let errors: Vec<String> = FRAMES
                        .iter_errors(&frame)
                        .map(|error| error.to_string())
                        .collect();
                    assert!(errors.is_empty(), "not as documented: {errors:?}: {text}");
                    self.seq += 1;
                    return frame;
                }
                Message::Close(close) => panic!("closed: {close:?}"),
                _ => {}
            }
        }
    }

    /// The next frame of a type, passing over others.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame["data"].clone();
            }
        }
    }

    /// Passes over frames until the socket is closed; with which code.
    async fn closed(&mut self) -> Option<u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message.expect("in time") {
                Some(Ok(Message::Close(close))) => return close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                ended => panic!("not closed: {ended:?}"),
            }
        }
    }

    async fn say(&mut self, what: &str) {
        self.socket.send(Message::text(what)).await.expect("send");
    }

    /// Subscribes, and waits until that has taken effect.
    pub(crate) async fn subscribe(&mut self, message: Value) {
        self.say(&message.to_string()).await;
        let answer = self.next_of("subscribed").await;
        assert_eq!(answer["topics"], message["topics"]);
    }
}

pub(crate) fn all_topics() -> Value {
    json!({ "type": "sub", "topics": ["summary", "nodes", "receipts"] })
}

/// Tells the bus what ingest tells it after a commit.
pub(crate) fn commit(server: &Server, receipts: &[&Seeded]) {
    let committed: Vec<CommittedReceipt> = receipts
        .iter()
        .map(|receipt| CommittedReceipt {
            fields: receipt.fields.clone(),
            region: receipt.fields.region.clone().unwrap_or_default(),
            org_id: receipt.org_id.clone(),
            received_at_ms: receipt.received_at_ms,
        })
        .collect();
    server.app.bus.send(Event::Receipts(Arc::from(committed)));
}

pub(crate) fn of_node<'s>(server: &'s Server, node: &str) -> &'s Seeded {
    let found = server
        .receipts
        .iter()
        .find(|r| r.fields.node_id.as_str() == node);
    found.expect("seeded")
}

/// A node loses its models, which changes everybody's summary.
pub(crate) async fn change_the_summary(server: &Server, node_id: &NodeId) {
    let bare = Connected {
        node_id,
        agent_version: "1",
        os: "linux",
        arch: "x86_64",
        inventory: &Default::default(),
        allow_list: "[]",
    };
    let store = &server.app.store;
    let connected = [(NOW_MS, bare)];
    let connected = store.nodes_connected(agents::SERVER, &connected).await;
    connected.expect("connected");
    server.app.clock.advance(5_000);
    let node_id = node_id.clone();
    server.app.bus.send(Event::Node { node_id });
}

#[tokio::test]
async fn a_committed_receipt_reaches_those_who_may_see_it() {
    let (server, _dir) = start().await;
    let (admin, operator) = (
        server.sign_in(Role::Admin).await,
        server.sign_in(Role::Operator).await,
    );
    let mut sees_all = Page::open(&server, &admin, "admin").await;
    let mut sees_own = Page::open(&server, &operator, "operator").await;
    let mut sees_numbers = Page::open(&server, &Who::default(), "anonymous").await;
    for page in [&mut sees_all, &mut sees_own, &mut sees_numbers] {
        page.subscribe(all_topics()).await;
    }
    let (foreign, own) = (
        of_node(&server, "node-00001"),
        of_node(&server, "node-00000"),
    );
    commit(&server, &[foreign, own]);
    let row = sees_all.next_of("receipt").await;
    assert_eq!(row["request_id"], foreign.fields.request_id.as_str());
    let path = format!("/receipts/{}", foreign.fields.request_id);
    assert_eq!(
        row,
        server.read(&admin, &path).await["receipt"],
        "one shape in both"
    );
    let row = sees_all.next_of("receipt").await;
    assert_eq!(row["request_id"], own.fields.request_id.as_str());
    let row = sees_own.next_of("receipt").await;
    assert_eq!(row["request_id"], own.fields.request_id.as_str());

    // The stranger was told of neither: what comes next is the changed summary.
    change_the_summary(&server, &own.fields.node_id).await;
    let row = sees_all.next_of("node").await;
    assert_eq!(
        (&row["node_id"], &row["status"]),
        (&json!("node-00000"), &json!("active"))
    );
    loop {
        let frame = sees_numbers.next().await;
        assert!(
            ["summary", "ping"].contains(&frame["type"].as_str().expect("a type")),
            "{frame}"
        );
        if frame["data"]["models_cached"] == 4 {
            break;
        }
    }
}

#[tokio::test]
async fn a_page_that_was_away_is_shown_what_it_missed() {
    let (server, _dir) = start().await;
    let admin = server.sign_in(Role::Admin).await;
    let mut page = Page::open(&server, &admin, "admin").await;
    let resume = |since: i64| json!({ "type": "sub", "topics": ["receipts"], "since": since });
    page.say(&resume(NOW_MS - 3_000_000).to_string()).await;
    let row = page.next_of("receipt").await;
    assert_eq!(
        row["request_id"],
        server.receipts[0].fields.request_id.as_str()
    );

    let mut page = Page::open(&server, &admin, "admin").await;
    page.say(&resume(NOW_MS - 4_000_000).to_string()).await;
    assert_eq!(
        page.next_of("missed").await,
        json!({ "topic": "receipts", "count": null })
    );
}

#[tokio::test]
async fn a_summary_that_cannot_be_made_takes_nothing_else_with_it() {
    let (server, _dir) = start().await;
    let change = async |statement: &'static str| {
        let inspect = server.app.store.inspect();
        inspect.execute(statement).await.expect("changed");
        // Nobody is told what was known before.
        server.app.clock.advance(60_000);
    };
    // What is told then is what was told before.
    let mut earlier = Page::open(&server, &Who::default(), "anonymous").await;
    let told = earlier.next_of("summary").await;
    change("ALTER TABLE rollups RENAME TO rollups_before").await;
    let admin = server.sign_in(Role::Admin).await;
    let mut page = Page::enter(&server, &admin).await;
    assert_eq!(page.next_of("snapshot").await, json!({ "summary": null }));
    page.subscribe(all_topics()).await;
    let own = of_node(&server, "node-00000").clone();
    commit(&server, &[&own]);
    page.next_of("receipt").await;
    change("ALTER TABLE rollups_before RENAME TO rollups").await;
    let made = page.next_of("summary").await;
    assert_eq!(made["requests_24h"], told["requests_24h"]);
}

#[tokio::test]
async fn lost_events_show_as_a_gap() {
    let (server, _dir) = start().await;
    let mut page = Page::open(&server, &Who::default(), "anonymous").await;
    let own = of_node(&server, "node-00000").clone();
    // More than the bus holds, before anybody can read it: the runtime of a test has one thread.
    for _ in 0..3_000 {
        commit(&server, &[&own]);
    }
    let gap = async {
        while let Some(message) = page.socket.next().await {
            let Message::Text(text) = message.expect("a message") else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            let seq = frame["seq"].as_u64().expect("a number");
            if seq == page.seq + 2 {
                return;
            }
            assert_eq!(seq, page.seq + 1, "{text}");
            page.seq = seq;
        }
        panic!("closed");
    };
    tokio::time::timeout(PATIENCE, gap).await.expect("a gap");
}

#[tokio::test]
async fn other_sites_and_nonsense_are_refused() {
    let (server, _dir) = start().await;
    let admin = server.sign_in(Role::Admin).await;
    let address = &server.address;
    let (host, _) = address.split_once(':').expect("a port");
    for origin in [
        "https://evil.example",
        "null",
        "",
        &format!("http://{host}"),
        &format!("http://{host}:1"),
        &format!("http://{address}.evil.example"),
        &format!("http://evil.example/{address}"),
        &format!("http://{address}@evil.example"),
        address,
    ] {
        let refused = connect_async(upgrade(&server, &admin, origin)).await;
        let Err(Error::Http(response)) = refused else {
            panic!("{origin} is not refused: {refused:?}")
        };
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    let plain = server.get(&admin, "/live").await;
    assert_eq!(plain.json()["error"]["type"], "invalid_request");

    let mut page = Page::open(&server, &admin, "admin").await;
    page.say(r#"{"type":"a newer word"}"#).await;
    page.subscribe(all_topics()).await;
    page.say("nonsense").await;
    assert_eq!(page.next_of("error").await["type"], "unavailable");
    let closed = tokio::time::timeout(PATIENCE, page.socket.next())
        .await
        .expect("in time");
    let Some(Ok(Message::Close(Some(close)))) = closed else {
        panic!("not closed: {closed:?}")
    };
    assert_eq!(u16::from(close.code), 1007);
}

/// A client may send its first frames without waiting for the answer to its handshake.
#[tokio::test]
async fn what_comes_with_the_handshake_is_heard() {
    let (server, _dir) = start().await;
    let mut stream = TcpStream::connect(&server.address).await.expect("connect");
    let text = json!({"type": "sub", "topics": ["summary"]}).to_string();
    let mut sent = format!(
        "GET /api/v1/live HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    )
    .into_bytes();
    // A text frame under a mask of zeros.
    sent.extend([
        0x81,
        0x80 | u8::try_from(text.len()).expect("short"),
        0,
        0,
        0,
        0,
    ]);
    sent.extend(text.as_bytes());
    stream.write_all(&sent).await.expect("send");
    let mut heard = Vec::new();
    let until_subscribed = async {
        while !String::from_utf8_lossy(&heard).contains("\"subscribed\"") {
            assert_ne!(stream.read_buf(&mut heard).await.expect("read"), 0);
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, until_subscribed).await;
    assert!(in_time.is_ok(), "{}", String::from_utf8_lossy(&heard));
}

#[tokio::test]
async fn whoever_sends_too_much_is_sent_away_with_pings_too() {
    let (server, _dir) = start().await;
    let unknown = Message::text(json!({"type": "unheard-of"}).to_string());
    for message in [unknown, Message::Ping(Vec::new().into())] {
        let mut page = Page::enter(&server, &Who(None)).await;
        // No more than what is read before the end: the last word must not be lost with what is not.
        for _ in 0..31 {
            page.socket.send(message.clone()).await.expect("send");
        }
        assert_eq!(page.closed().await, Some(1008), "{message:?}");
    }
}

/// The turns of one person: while they are held, none of their questions is answered.
async fn all_turns(server: &Server, who: &Who) -> [Turn; 2] {
    let me = server.read(who, "/users/me").await;
    let asker = Asker::Person(me["user_id"].as_str().expect("an id").to_owned());
    let turns = &server.app.turns;
    [turns.take(asker.clone()).await, turns.take(asker).await]
}

#[tokio::test]
async fn what_a_page_missed_is_asked_for_in_its_own_turn() {
    let (server, _dir) = start().await;
    let admin = server.sign_in(Role::Admin).await;
    let turns = all_turns(&server, &admin).await;
    let mut page = Page::open(&server, &admin, "admin").await;
    let resume = json!({ "type": "sub", "topics": ["receipts"], "since": NOW_MS - 3_000_000 });
    page.subscribe(resume).await;
    let waits = tokio::time::timeout(Duration::from_millis(300), page.next_of("receipt")).await;
    assert!(waits.is_err(), "{waits:?}");
    drop(turns);
    page.next_of("receipt").await;
}

#[tokio::test]
async fn what_cannot_be_looked_for_in_time_is_said_to_be_missed() {
    let (server, _dir) = start().await;
    let hasty = HttpSettings {
        page_within: Duration::from_millis(50),
        ..HttpSettings::default()
    };
    let admin = server.sign_in(Role::Admin).await;
    let _turns = all_turns(&server, &admin).await;
    let hasty = Server::over_with(Arc::clone(&server.app), hasty).await;
    let mut page = Page::open(&hasty, &admin, "admin").await;
    let resume = json!({ "type": "sub", "topics": ["receipts"], "since": NOW_MS - 3_000_000 });
    page.subscribe(resume).await;
    assert_eq!(
        page.next_of("missed").await,
        json!({ "topic": "receipts", "count": null })
    );
}

#[tokio::test]
async fn one_asker_has_so_many_sockets_and_others_have_theirs() {
    let (server, _dir) = start().await;
    let admin = server.sign_in(Role::Admin).await;
    let mut pages = Vec::new();
    for _ in 0..256 {
        pages.push(Page::enter(&server, &admin).await);
    }
    let origin = format!("http://{}", server.address);
    let refused = connect_async(upgrade(&server, &admin, &origin)).await;
    let Err(Error::Http(response)) = refused else {
        panic!("not refused: {refused:?}")
    };
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    Page::open(&server, &Who::default(), "anonymous").await;
}

#[tokio::test]
async fn the_close_of_a_page_is_answered_with_a_close() {
    let (server, _dir) = start().await;
    let mut page = Page::open(&server, &Who::default(), "anonymous").await;
    page.socket.close(None).await.expect("closed");
    let answer = async {
        loop {
            match page.socket.next().await {
                Some(Ok(Message::Close(_))) => return,
                Some(Ok(Message::Text(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .expect("in time");
}

#[tokio::test]
async fn signing_out_ends_the_sockets_of_that_session_at_once() {
    let (server, _dir) = start().await;
    let one = server.sign_in(Role::Viewer).await;
    let other = server.sign_in_again(Role::Viewer).await;
    let mut ended = Page::open(&server, &one, "viewer").await;
    let mut stays = Page::open(&server, &other, "viewer").await;
    // Long before anybody looks again by the clock.
    server
        .change(Method::POST, &one, "/auth/logout", &Value::Null)
        .await;
    assert_eq!(ended.closed().await, Some(4401));
    stays.subscribe(all_topics()).await;
}

#[tokio::test]
async fn the_next_sign_in_of_a_browser_ends_the_sockets_of_the_one_before() {
    let (server, _dir) = start().await;
    let one = server.sign_in(Role::Viewer).await;
    let other = server.sign_in_again(Role::Viewer).await;
    let mut ended = Page::open(&server, &one, "viewer").await;
    let mut stays = Page::open(&server, &other, "viewer").await;
    let next = server.log_in_after(&one, Role::Viewer.as_str()).await;
    assert_eq!(ended.closed().await, Some(4401));
    stays.subscribe(all_topics()).await;
    Page::open(&server, &next, "viewer").await;
}

#[tokio::test]
async fn what_the_log_says_of_a_session_ends_its_sockets() {
    let (server, _dir) = start().await;
    let who = server.sign_in(Role::Viewer).await;
    let mut page = Page::open(&server, &who, "viewer").await;
    // As another process does it, which tells this one nothing.
    let ended = "UPDATE session_families SET revoked_at_ms = 1; INSERT INTO audit (at_ms, actor, action, object) \
                 SELECT MAX(created_at_ms), 'cli', 'session.revoke', 'session:' || MAX(family_id) FROM session_families";
    server
        .app
        .store
        .inspect()
        .execute(ended)
        .await
        .expect("rows");
    while server.app.audit_seal().await.expect("seal").0 {}
    assert_eq!(page.closed().await, Some(4401));
}

#[tokio::test]
async fn a_role_that_is_taken_away_ends_the_sockets_of_its_person() {
    let (server, _dir) = start().await;
    let admin = server.sign_in(Role::Admin).await;
    let viewer = server.sign_in(Role::Viewer).await;
    let mut ended = Page::open(&server, &viewer, "viewer").await;
    let mut stays = Page::open(&server, &admin, "admin").await;
    let me = server.get(&viewer, "/users/me").await.json();
    let path = format!(
        "/users/{}/memberships/main",
        me["user_id"].as_str().expect("an id")
    );
    let roles = json!({ "roles": ["consumer"] });
    server.change(Method::PUT, &admin, &path, &roles).await;
    assert_eq!(ended.closed().await, Some(4401));
    // The sign-in lasts: it is another who looks.
    let mut page = Page::open(&server, &viewer, "consumer").await;
    server
        .change(Method::DELETE, &admin, &path, &Value::Null)
        .await;
    assert_eq!(page.closed().await, Some(4401));
    Page::open(&server, &viewer, "none").await;
    stays.subscribe(all_topics()).await;
}
