//! What anybody reads: so often per address, from memory for a moment, and never for who is signed in.

#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{Answer, Browser, Server};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::Settings;
use dgon_control_plane::http::HttpSettings;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

/// A server behind a proxy of this machine.
async fn behind_a_proxy(reads_per_minute: u32) -> Server {
    let http = HttpSettings {
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("block")],
        anonymous_reads_per_minute: reads_per_minute,
        anonymous_fresh: Duration::from_secs(3_600),
        ..HttpSettings::default()
    };
    Server::start_with(Settings::default(), http).await
}

async fn read(browser: &mut Browser, from: &str, path: &str) -> Answer {
    let request = browser.request(Method::GET, path);
    let request = request.header("x-forwarded-for", from);
    browser.send(request).await
}

#[tokio::test]
async fn each_address_reads_so_often_without_signing_in() {
    let server = behind_a_proxy(3).await;
    let mut anybody = Browser::new(&server);
    let paths = [
        "/api/v1/summary",
        "/api/v1/nodes?limit=1",
        "/api/v1/auth/state",
    ];
    for path in paths {
        let answer = read(&mut anybody, "192.0.2.1", path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    // What is remembered, what is not there and what is refused count as well.
    for path in [paths[0], "/api/v1/nodes/none", "/api/v1/receipts"] {
        let limited = read(&mut anybody, "192.0.2.1", path).await;
        assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert_eq!(limited.error(), "rate_limited");
        assert!(
            limited
                .header("retry-after")
                .parse::<u32>()
                .expect("seconds")
                >= 1
        );
    }
    let other = read(&mut anybody, "192.0.2.2", paths[0]).await;
    assert_eq!(other.status, StatusCode::OK);
    let mut person = server.signed_in("a@example.com", &[Role::Viewer]).await;
    for _ in 0..5 {
        let answer = read(&mut person, "192.0.2.1", paths[0]).await;
        assert_eq!(answer.status, StatusCode::OK);
        let here = anybody.get(paths[0]).await;
        assert_eq!(here.status, StatusCode::OK);
    }
}

/// How many nodes there are, as this caller is told.
async fn nodes(browser: &mut Browser, from: Option<&str>) -> serde_json::Value {
    let path = "/api/v1/nodes";
    let answer = match from {
        Some(from) => read(browser, from, path).await,
        None => browser.get(path).await,
    };
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json["total"].clone()
}

#[tokio::test]
async fn strangers_share_an_answer_and_flags_act_at_once() {
    let server = behind_a_proxy(100).await;
    let mut admin = server.signed_in("a@example.com", &[Role::Admin]).await;
    let mut anybody = Browser::new(&server);
    assert_eq!(nodes(&mut anybody, Some("192.0.2.1")).await, 0);
    let insert = "INSERT INTO nodes (node_id, region, state, state_reason, state_since_ms, enrolled_at_ms, agent_version, \
                  os, arch) VALUES ('n', 'x', 'active', 'enrolled', 1, 1, '', '', '')";
    let execute = server.state.app.store.inspect();
    execute.execute(insert).await.expect("a node");
    assert_eq!(nodes(&mut anybody, Some("192.0.2.1")).await, 0);
    assert_eq!(nodes(&mut anybody, Some("192.0.2.2")).await, 0);
    // This machine and people ask the database.
    assert_eq!(nodes(&mut anybody, None).await, 1);
    assert_eq!(nodes(&mut admin, Some("192.0.2.1")).await, 1);
    // What a person was told is not what strangers are told later.
    assert_eq!(nodes(&mut anybody, Some("192.0.2.3")).await, 0);
    for (enabled, status) in [(false, StatusCode::UNAUTHORIZED), (true, StatusCode::OK)] {
        let request = admin.request(Method::PUT, "/api/v1/flags/allow_anonymous_overview");
        let set = admin
            .send(request.json(&json!({ "enabled": enabled })))
            .await;
        assert_eq!(set.status, StatusCode::OK, "{}", set.text);
        let answer = read(&mut anybody, "192.0.2.1", "/api/v1/regions").await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    // A cookie that no longer works is not answered as a stranger.
    let mut ended = Browser::new(&server);
    ended.cookies.push(("dgon_access".into(), "gone".into()));
    let answer = read(&mut ended, "192.0.2.1", "/api/v1/regions").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
