//! Pages that count for ever harm who asked for them and nobody else.

#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{NOW_MS, PASSWORD, Server};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane_store::ReadLimits;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

/// From here on a question for nodes of one runtime counts for ever, as a huge table's would.
const ENDLESS: &str = "ALTER TABLE node_models RENAME TO node_models_before;
    CREATE VIEW node_models AS
    WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT (x + 1) % 1000 FROM n)
    SELECT 'n' AS node_id, 'r' AS runtime, 'm' AS model_id FROM n WHERE x < 0;
    INSERT INTO nodes (node_id, region, state, state_reason, state_since_ms, agent_version, os, arch, enrolled_at_ms)
    VALUES ('n', 'r', 'active', 'probe_passed', 1, '1', 'linux', 'x86_64', 1)";

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_endless_pages_waits_alone_and_is_told() {
    let limits = ReadLimits {
        page_within: Duration::from_secs(1),
        ..ReadLimits::default()
    };
    let server = Server::start_reading(
        limits,
        Settings::default(),
        HttpSettings::default(),
        Clock::manual(NOW_MS),
    )
    .await;
    let greedy = server
        .signed_in("greedy@example.com", &[Role::Viewer])
        .await;
    let mut other = server.signed_in("other@example.com", &[Role::Viewer]).await;
    let store = &server.state.app.store;
    store.inspect().execute(ENDLESS).await.expect("view");
    let mut pages = JoinSet::new();
    for number in 0..12 {
        let mut greedy = greedy.clone();
        pages.spawn(async move {
            let path = format!("/api/v1/nodes?runtime=r&limit={}", number + 1);
            greedy.get(&path).await
        });
    }
    // An account may sign in so often in an hour; a fast machine gets there while the pages wait.
    let mut sign_ins = 0..50;
    while !pages.is_empty() {
        let nodes = other.get("/api/v1/nodes").await;
        assert_eq!(nodes.status, StatusCode::OK, "{}", nodes.text);
        let ready = other.send(other.request(Method::GET, "/readyz")).await;
        assert_eq!(ready.status, StatusCode::OK, "{}", ready.text);
        if sign_ins.next().is_some() {
            let body = json!({ "email": "other@example.com", "password": PASSWORD });
            let signed_in = other.post("/api/v1/auth/login", body).await;
            assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.text);
        }
        while let Some(page) = pages.try_join_next() {
            let page = page.expect("page");
            assert_eq!(
                page.status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{}",
                page.text
            );
            assert_eq!(page.error(), "unavailable");
            assert_eq!(page.header("retry-after"), "5");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_one_question_reads_has_one_time() {
    let limits = ReadLimits {
        page_within: Duration::from_secs(3_600),
        ..ReadLimits::default()
    };
    let http = HttpSettings {
        page_within: Duration::from_secs(1),
        ..HttpSettings::default()
    };
    let server =
        Server::start_reading(limits, Settings::default(), http, Clock::manual(NOW_MS)).await;
    let mut viewer = server
        .signed_in("viewer@example.com", &[Role::Viewer])
        .await;
    let store = &server.state.app.store;
    store.inspect().execute(ENDLESS).await.expect("view");
    // More than there are connections for pages: each is free again when its question was given up.
    for number in 0..6 {
        let path = format!("/api/v1/nodes?runtime=r&limit={}", number + 1);
        let page = viewer.get(&path).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(page.header("retry-after"), "5");
    }
    let page = viewer.get("/api/v1/nodes").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
}

#[tokio::test]
async fn one_person_changes_so_much_in_a_minute_and_others_go_on() {
    let http = HttpSettings {
        writes_per_minute: 3,
        ..HttpSettings::default()
    };
    let server = Server::start_with(Settings::default(), http).await;
    let mut busy = server.signed_in("busy@example.com", &[Role::Admin]).await;
    let mut calm = server.signed_in("calm@example.com", &[Role::Admin]).await;
    let wish = || json!({ "label": "t", "uses": 1 });
    for _ in 0..3 {
        let made = busy.post("/api/v1/enrolment-tokens", wish()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    }
    let refused = busy.post("/api/v1/enrolment-tokens", wish()).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.error(), "rate_limited");
    assert_eq!(refused.header("retry-after"), "20");
    let read = busy.get("/api/v1/enrolment-tokens").await;
    assert_eq!(read.json["items"].as_array().map(Vec::len), Some(3));
    let made = calm.post("/api/v1/enrolment-tokens", wish()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let out = busy.post("/api/v1/auth/logout", json!({})).await;
    assert!(out.status.is_success(), "{}", out.text);
}
