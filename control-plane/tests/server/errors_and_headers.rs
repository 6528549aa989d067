//! What holds for every answer: one error shape, a request id, security headers, limits.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::{Browser, Server};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::Settings;
use dgon_control_plane::http::HttpSettings;
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn every_error_has_the_one_shape_and_the_id_of_its_request() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    let missing = browser.get("/api/v1/no/such/thing").await;
    assert_eq!(
        (missing.status, missing.error()),
        (StatusCode::NOT_FOUND, "not_found")
    );
    let method = browser.delete("/api/v1/summary").await;
    assert_eq!(
        (method.status, method.error()),
        (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
    );
    assert!(
        method.header("allow").contains("GET"),
        "{:?}",
        method.headers
    );
    let request = browser.request(Method::POST, "/api/v1/auth/login");
    let torn = browser
        .send(request.header("content-type", "application/json").body("{"))
        .await;
    assert_eq!(
        (torn.status, torn.error()),
        (StatusCode::BAD_REQUEST, "invalid_request")
    );
    let request = browser
        .request(Method::POST, "/api/v1/auth/login")
        .body("email=a");
    assert_eq!(browser.send(request).await.error(), "invalid_request");
    let unknown = browser
        .post(
            "/api/v1/auth/login",
            json!({ "email": "a", "password": "b", "admin": true }),
        )
        .await;
    assert_eq!(unknown.error(), "invalid_request");
    assert!(
        unknown.json["error"]["message"]
            .as_str()
            .expect("text")
            .contains("admin")
    );
    let large = browser
        .post(
            "/api/v1/auth/login",
            json!({ "email": "a".repeat(70_000), "password": "b" }),
        )
        .await;
    assert_eq!(
        (large.status, large.error()),
        (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
    );
    let stranger = browser.get("/api/v1/users/me").await;
    assert_eq!(
        (stranger.status, stranger.error()),
        (StatusCode::UNAUTHORIZED, "unauthorized")
    );
}

#[tokio::test]
async fn a_body_is_an_object_and_no_list_of_its_fields() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    for body in [
        json!(["a@example.org", "b"]),
        json!([]),
        json!("a"),
        json!(null),
    ] {
        let answer = browser.post("/api/v1/auth/login", body.clone()).await;
        assert_eq!(
            (answer.status, answer.error()),
            (StatusCode::BAD_REQUEST, "invalid_request"),
            "{body}"
        );
        let message = answer.json["error"]["message"].as_str().expect("text");
        assert!(message.contains("an object"), "{message}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_taken_is_said_before_its_parameters_are_judged() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    for path in [
        "/api/v1/summary?limit=1",
        "/api/v1/nodes?sort=p95",
        "/api/v1/live",
        "/healthz?x=1",
    ] {
        let request = browser.request(Method::TRACE, path);
        let answer = browser.send(request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.error(), "method_not_allowed", "{path}");
    }
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_a_strange_one_replaced() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    let request = browser
        .request(Method::GET, "/healthz")
        .header("x-request-id", "my-id:1");
    assert_eq!(
        browser.send(request).await.header("x-request-id"),
        "my-id:1"
    );
    let strange = "x".repeat(65);
    for sent in ["", "a b", "é", strange.as_str()] {
        let request = browser
            .request(Method::GET, "/healthz")
            .header("x-request-id", sent);
        let given = browser
            .send(request)
            .await
            .header("x-request-id")
            .to_owned();
        assert!(!given.is_empty() && given != sent, "{given:?}");
    }
}

/// What browsers are told with every answer, letter by letter: a test that asked the server's own list would pass any.
const SECURITY_HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];
const YEAR_OF_TLS: &str = "max-age=31536000";

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let tls = Settings {
        public_url: Some("https://dgon.example".to_owned()),
        ..Settings::default()
    };
    for (settings, transport) in [(Settings::default(), ""), (tls, YEAR_OF_TLS)] {
        let server = Server::start_with(settings, HttpSettings::default()).await;
        let mut browser = Browser::new(&server);
        let mut answers = Vec::new();
        for path in [
            "/",
            "/nodes",
            "/assets/none.js",
            "/healthz",
            "/metrics",
            "/api/v1/auth/state",
            "/api/v1/users/me",
            "/api/v1/nothing",
            "/api/v1/live",
        ] {
            answers.push((path, browser.get(path).await));
        }
        // Of a wrong method, a body that is too large, and of another site.
        answers.push(("DELETE", browser.delete("/api/v1/summary").await));
        let large = json!({ "email": "a".repeat(70_000), "password": "b" });
        answers.push(("large", browser.post("/api/v1/auth/login", large).await));
        let foreign = browser.request(Method::POST, "/api/v1/auth/login");
        let foreign = foreign.header("sec-fetch-site", "cross-site");
        answers.push(("foreign", browser.send(foreign.json(&json!({}))).await));
        for (what, answer) in &answers {
            for (name, value) in SECURITY_HEADERS {
                assert_eq!(answer.header(name), value, "{what}: {name}");
                assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{what}");
            }
            let told = answer.header("strict-transport-security");
            assert_eq!(told, transport, "{what}");
        }
    }
}

#[tokio::test]
async fn no_cache_keeps_what_the_api_says() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    for path in [
        "/",
        "/nodes",
        "/assets/none.js",
        "/healthz",
        "/api/v1/users/me",
        "/api/v1/nothing",
    ] {
        let answer = browser.get(path).await;
        let is_api = path.starts_with("/api/");
        assert_eq!(
            answer.header("cache-control") == "no-store",
            is_api || answer.text.contains("no console"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn pages_are_asked_for_anew_and_missing_files_are_missing() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    let page = browser.get("/receipts/r_1").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-type").starts_with("text/html"));
    assert_eq!(
        browser.get("/assets/index-0000.js").await.status,
        StatusCode::NOT_FOUND
    );
    let etag = page.header("etag").to_owned();
    if !etag.is_empty() {
        assert_eq!(page.header("cache-control"), "no-cache");
        let request = browser
            .request(Method::GET, "/")
            .header("if-none-match", etag);
        assert_eq!(browser.send(request).await.status, StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn health_and_metrics_answer() {
    let settings = Settings {
        ready_fresh: Duration::ZERO,
        ..Settings::default()
    };
    let server = Server::start_with(settings, HttpSettings::default()).await;
    let mut browser = Browser::new(&server);
    assert_eq!(browser.get("/healthz").await.json["status"], "ok");
    assert_eq!(browser.get("/readyz").await.status, StatusCode::OK);
    let metrics = browser.get("/metrics").await.text;
    for name in [
        "api_http_request_duration_seconds_bucket{route=\"/readyz\",code=\"200\"",
        "summary_active_nodes 0",
        "summary_models_cached 0",
        "summary_requests_24h 0",
    ] {
        assert!(metrics.contains(name), "{name} is not in:\n{metrics}");
    }
    server.state.app.store.close().await;
    let broken = browser.get("/readyz").await;
    assert_eq!(broken.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        broken.json["failing"],
        json!(["database_read", "database_write"])
    );
    assert_eq!(browser.get("/healthz").await.status, StatusCode::OK);
    // What was known is told for a minute; then it is not known, which is not what it was.
    for (passed_ms, told) in [(1_000, "0"), (59_000, "NaN")] {
        server.state.app.clock.advance(passed_ms);
        let metrics = browser.get("/metrics").await;
        assert_eq!(metrics.status, StatusCode::OK);
        let figure = format!("summary_active_nodes {told}\n");
        assert!(metrics.text.contains(&figure), "{}", metrics.text);
    }
}

#[tokio::test]
async fn no_answer_lets_another_site_read_it() {
    let server = Server::start().await;
    let mut person = server.signed_in("a@example.com", &[Role::Admin]).await;
    for method in [Method::GET, Method::OPTIONS, Method::POST] {
        for path in [
            "/",
            "/api/v1/users/me",
            "/api/v1/auth/state",
            "/api/v1/none",
        ] {
            let request = person.request(method.clone(), path);
            let request = request
                .header("origin", "https://evil.example")
                .header("access-control-request-method", "GET");
            let answer = person.send(request).await;
            let mut names = answer.headers.keys().map(|name| name.as_str());
            let allows = names.any(|name| name.starts_with("access-control-"));
            assert!(!allows, "{method} {path}: {:?}", answer.headers);
        }
    }
}
