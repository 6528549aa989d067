//! A person's own password: set after an invitation, changed by who knows it, and found out by nobody.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{Browser, PASSWORD, Server};
use dgon_control_plane::accounts::{Email, Role};
use reqwest::StatusCode;
use serde_json::{Value, json};

const ME: &str = "/api/v1/users/me";
const OWN: &str = "/api/v1/users/me/password";
const NEW: &str = "another long password";

async fn sign_in(server: &Server, password: &str) -> StatusCode {
    let body = json!({ "email": "a@example.com", "password": password });
    let mut browser = Browser::new(server);
    browser.post("/api/v1/auth/login", body).await.status
}

/// A browser that was signed in by a link just now.
async fn by_link(server: &Server) -> Browser {
    let email = Email::parse("a@example.com").expect("email");
    let link = server.state.accounts.sign_in_link(Some(&email)).await;
    let body = json!({ "token": link.expect("link").token() });
    let mut browser = Browser::new(server);
    let answer = browser.post("/api/v1/auth/redeem", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    browser
}

#[tokio::test]
async fn whoever_knows_it_changes_it_and_is_signed_out_elsewhere() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let mut elsewhere = server.sign_in("a@example.com").await;
    for current in [Value::Null, json!("not the password")] {
        let wish = json!({ "current": current, "password": NEW });
        let refused = browser.put(OWN, wish).await;
        assert_eq!(
            refused.json["error"]["details"]["field"], "current",
            "{}",
            refused.text
        );
    }
    let short = browser
        .put(OWN, json!({ "current": PASSWORD, "password": "short" }))
        .await;
    assert_eq!(
        short.json["error"]["details"]["field"], "password",
        "{}",
        short.text
    );
    assert_eq!(elsewhere.get(ME).await.status, StatusCode::OK);

    let wish = json!({ "current": PASSWORD, "password": NEW });
    assert_eq!(browser.put(OWN, wish).await.status, StatusCode::NO_CONTENT);
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
    assert_eq!(elsewhere.get(ME).await.error(), "unauthorized");
    assert_eq!(sign_in(&server, PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(sign_in(&server, NEW).await, StatusCode::OK);
}

#[tokio::test]
async fn whoever_forgot_it_sets_another_by_a_link_and_links_are_spent() {
    let server = Server::start().await;
    server.user("a@example.com", &[Role::Admin]).await;
    let mut browser = by_link(&server).await;
    let other_link = server
        .state
        .accounts
        .sign_in_link(None)
        .await
        .expect("link");
    // Known, but forgotten: the link is proof enough, for a while.
    assert_eq!(
        browser.put(OWN, json!({ "password": NEW })).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(sign_in(&server, NEW).await, StatusCode::OK);
    let spent = Browser::new(&server)
        .post(
            "/api/v1/auth/redeem",
            json!({ "token": other_link.token() }),
        )
        .await;
    assert_eq!(spent.error(), "invalid_token");
    server.clock.advance(900_001);
    browser.post("/api/v1/auth/refresh", Value::Null).await;
    let late = browser.put(OWN, json!({ "password": PASSWORD })).await;
    assert_eq!(
        late.json["error"]["details"]["field"], "current",
        "{}",
        late.text
    );
}

#[tokio::test]
async fn a_browser_that_was_left_signed_in_finds_no_password_out() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    assert_eq!(browser.get(ME).await.json["has_password"], true);
    let wrong = json!({ "current": "a guess at it", "password": NEW });
    for _ in 0..10 {
        assert_eq!(
            browser.put(OWN, wrong.clone()).await.error(),
            "invalid_request"
        );
    }
    let right = json!({ "current": PASSWORD, "password": NEW });
    assert_eq!(browser.put(OWN, right).await.error(), "rate_limited");
    // The owner signs in as ever.
    assert_eq!(sign_in(&server, PASSWORD).await, StatusCode::OK);
}

#[tokio::test]
async fn whoever_was_invited_sets_one_soon_after_signing_in() {
    let server = Server::start().await;
    server.user("a@example.com", &[Role::Viewer]).await;
    let none = "UPDATE users SET password_hash = NULL";
    let inspect = server.state.app.store.inspect();
    inspect.execute(none).await.expect("rows");
    let mut late = by_link(&server).await;
    assert_eq!(late.get(ME).await.json["has_password"], false);
    server.clock.advance(900_001);
    late.post("/api/v1/auth/refresh", Value::Null).await;
    let refused = late.put(OWN, json!({ "password": NEW })).await;
    let details = &refused.json["error"]["details"];
    assert_eq!(details["sign_in"], "again", "{}", refused.text);
    let mut browser = by_link(&server).await;
    let set = browser.put(OWN, json!({ "password": NEW })).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{}", set.text);
    assert_eq!(sign_in(&server, NEW).await, StatusCode::OK);
}
