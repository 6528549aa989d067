//! Callers who have not proved who they are: what of theirs is read, and what they may hold up.

use crate::support::{SERVER, Server, error_type, quick};
use dgon_control_plane::accounts::{Accounts, PasswordHasher};
use dgon_control_plane::app::{Clock, Settings};
use dgon_protocol::error::ErrorType;
use dgon_testkit::fleet::{Enrol, SimAgent};
use reqwest::header::COOKIE;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const HEARTBEAT: &str = "/api/v1/nodes/heartbeat";

/// A connection on which the head of a post has been sent, and the first `sent` bytes of a body of `announced`.
async fn unfinished(server: &Server, agent: &SimAgent, announced: usize, sent: usize) -> TcpStream {
    let host = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await.expect("connect");
    let mut head =
        format!("POST {HEARTBEAT} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {announced}\r\n");
    for (name, value) in agent.headers("POST", HEARTBEAT, b"").expect("headers") {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.expect("head");
    stream.write_all(&vec![b' '; sent]).await.expect("body");
    stream
}

async fn status_line(mut stream: TcpStream) -> String {
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.expect("an answer");
    String::from_utf8_lossy(&start).into_owned()
}

#[tokio::test]
async fn a_body_that_is_held_back_does_not_tell_whether_there_is_such_a_node() {
    let settings = Settings {
        body_within: Duration::from_millis(100),
        ..quick()
    };
    let server = Server::start_with(settings, Clock::system()).await;
    let known = server.agent("a").await;
    let mut nobody = server.agent("b").await;
    nobody.node_id = "nobody".parse().expect("id");
    for agent in [&known, &nobody] {
        let stream = unfinished(&server, agent, 60_000, 0).await;
        assert_eq!(status_line(stream).await, "HTTP/1.1 400");
        // One that is too large by its own word is not waited for.
        let stream = unfinished(&server, agent, 70_000, 0).await;
        assert_eq!(status_line(stream).await, "HTTP/1.1 413");
        // Once it is there, neither headers nor node hold.
        let stream = unfinished(&server, agent, 10, 10).await;
        assert_eq!(status_line(stream).await, "HTTP/1.1 401");
    }
}

fn heartbeat(agent: &SimAgent) -> String {
    let ts = dgon_testkit::fleet::unix_now().as_secs();
    json!({"node_id": agent.node_id, "metrics": {"uptime_s": 1, "gpu_util": 0.5}, "ts": ts})
        .to_string()
}

#[tokio::test]
async fn unproved_bodies_share_bounded_memory() {
    let settings = Settings {
        unproved_bodies_kib: 64,
        body_room_within: Duration::from_millis(20),
        ..quick()
    };
    let server = Server::start_with(settings, Clock::system()).await;
    let agent = server.agent("a").await;
    let bodies = &server.app.guard.bodies;
    // A quarter is for small bodies, of a KiB at most here; this one takes all of the rest.
    let hog = unfinished(&server, &agent, 48 * 1024, 48 * 1024 - 1).await;
    server.until(|| bodies.free_kib() == 16).await;
    let large = " ".repeat(2 * 1024) + &heartbeat(&agent);
    let refused = server.post(&agent, HEARTBEAT, large.as_bytes()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "2");
    assert_eq!(error_type(refused).await, ErrorType::Unavailable);
    // What people sign in with shares it, too.
    let login = json!({"email": "a@example.com", "password": "x".repeat(2 * 1024)});
    let login = request(&server, "/api/v1/auth/login").json(&login);
    let refused = login.send().await.expect("send").status();
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    // No large one keeps a small one out.
    let body = heartbeat(&agent);
    let taken = server.post(&agent, HEARTBEAT, body.as_bytes()).await;
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
    drop(hog);
    server.until(|| bodies.free_kib() == 64).await;
    let taken = server.post(&agent, HEARTBEAT, body.as_bytes()).await;
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
    assert_eq!(bodies.free_kib(), 64);
}

#[tokio::test]
async fn a_body_that_does_not_come_holds_its_room_for_a_while_only() {
    let settings = Settings {
        unproved_bodies_kib: 64,
        body_within: Duration::from_millis(100),
        ..quick()
    };
    let server = Server::start_with(settings, Clock::system()).await;
    let agent = server.agent("a").await;
    let hog = unfinished(&server, &agent, 48 * 1024, 48 * 1024 - 1).await;
    assert_eq!(status_line(hog).await, "HTTP/1.1 400");
    let bodies = &server.app.guard.bodies;
    server.until(|| bodies.free_kib() == 64).await;
}

fn request(server: &Server, path: &str) -> RequestBuilder {
    let post = server.http.post(format!("{}{path}", server.url));
    post.header("sec-fetch-site", "same-origin")
}

async fn junk_waits_for_no_writer(server: Server) {
    let token = server.token(1).await;
    let accounts = Accounts::new(&server.app, PasswordHasher::default());
    let link = accounts.setup_link().await.expect("link");
    let cookie = |request: RequestBuilder| request.header(COOKIE, "dgon_refresh=junk");
    let junk = [
        (
            cookie(request(&server, "/api/v1/auth/refresh")),
            StatusCode::UNAUTHORIZED,
        ),
        (
            cookie(request(&server, "/api/v1/auth/logout")),
            StatusCode::NO_CONTENT,
        ),
        (
            request(&server, "/api/v1/auth/redeem").json(&json!({"token": "junk"})),
            StatusCode::UNAUTHORIZED,
        ),
        (
            request(&server, "/api/v1/auth/setup").json(
                &json!({"token": "junk", "email": "a@example.com", "password": "a long password"}),
            ),
            StatusCode::UNAUTHORIZED,
        ),
    ];
    let writing = server.app.store.ingest_begin(SERVER).await.expect("begin");
    for (request, status) in junk {
        // Who waits for the lock gets a fault of the store in the end.
        let answer = request
            .send()
            .await
            .expect("an answer while another writes");
        assert_eq!(answer.status(), status, "{}", answer.url());
    }
    let enrol = async |token: &str| {
        SimAgent::enrol(&server.http, &server.url, token, Enrol::default()).await
    };
    let refused = enrol("junk").await.err().expect("refused").to_string();
    assert!(refused.contains("invalid_token"), "{refused}");
    drop(writing);
    // What is good still works, and once.
    let setup =
        json!({"token": link.token(), "email": "a@example.com", "password": "a long password"});
    for status in [StatusCode::OK, StatusCode::UNAUTHORIZED] {
        let setup = request(&server, "/api/v1/auth/setup").json(&setup).send();
        assert_eq!(setup.await.expect("send").status(), status);
    }
    let link = accounts.sign_in_link(None).await.expect("link");
    let redeem = json!({"token": link.token()});
    let redeem = request(&server, "/api/v1/auth/redeem")
        .json(&redeem)
        .send()
        .await
        .expect("send");
    assert_eq!(redeem.status(), StatusCode::OK);
    let cookies: Vec<_> = redeem.headers().get_all("set-cookie").iter().collect();
    let refresh = cookies
        .iter()
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .find(|cookie| cookie.contains("refresh"))
        .expect("a refresh cookie");
    for (path, status) in [
        ("/api/v1/auth/refresh", StatusCode::OK),
        ("/api/v1/auth/logout", StatusCode::NO_CONTENT),
        ("/api/v1/auth/refresh", StatusCode::UNAUTHORIZED),
    ] {
        let request = request(&server, path).header(COOKIE, refresh);
        assert_eq!(
            request.send().await.expect("send").status(),
            status,
            "{path}"
        );
    }
    assert!(enrol(&token).await.is_ok());
    let refused = enrol(&token).await.err().expect("the token is spent");
    assert!(refused.to_string().contains("invalid_token"), "{refused}");
}

#[tokio::test]
async fn junk_waits_for_no_writer_on_sqlite() {
    junk_waits_for_no_writer(Server::start().await).await;
}

#[tokio::test]
async fn junk_waits_for_no_writer_on_postgres() {
    junk_waits_for_no_writer(Server::start_on_postgres().await).await;
}
