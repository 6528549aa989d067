//! A sign-in ends the session that its browser had, whichever way it goes and whoever it is, and no other. The sockets that go
//! with it are in `console/live.rs`, issuers in `oidc/one_browser.rs`.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::second_factor::{enter, with_factor};
use crate::support::{Browser, PASSWORD, Server};
use crate::wallets::{self, Wallet};
use dgon_control_plane::accounts::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

const ME: &str = "/api/v1/users/me";
const LOGIN: &str = "/api/v1/auth/login";

/// Nothing that a browser had before is good for anything any more.
pub(crate) async fn is_over(mut before: Browser) {
    assert_eq!(before.get(ME).await.error(), "unauthorized");
    let renewed = before.post("/api/v1/auth/refresh", Value::Null).await;
    assert_eq!(renewed.error(), "unauthorized");
}

/// What a browser had before still is.
pub(crate) async fn lasts(before: &Browser) {
    assert_eq!(before.clone().get(ME).await.status, StatusCode::OK);
}

async fn log_in(browser: &mut Browser, email: &str, password: &str) -> StatusCode {
    let body = json!({ "email": email, "password": password });
    browser.post(LOGIN, body).await.status
}

/// Who ended which session of its browser, the newest first.
async fn replaced(server: &Server) -> Vec<(String, String)> {
    let inspect = server.state.app.store.inspect();
    let trail = inspect.audit_latest(None, 50).await.expect("audit");
    let rows = trail
        .into_iter()
        .filter(|row| row.action == "session.replace");
    rows.map(|row| (row.actor, row.object)).collect()
}

async fn session_of(browser: &mut Browser) -> String {
    let listed = browser.get("/api/v1/sessions").await;
    let mut items = listed.json["items"].as_array().expect("items").iter();
    let current = items.find(|one| one["is_current"] == true);
    let id = current.expect("its own")["id"].as_str().expect("an id");
    format!("session:{id}")
}

#[tokio::test]
async fn a_sign_in_ends_the_session_that_its_browser_had_and_no_other() {
    let server = Server::start().await;
    let elsewhere = server.signed_in("a@example.com", &[Role::Admin]).await;
    let mut browser = server.sign_in("a@example.com").await;
    let (before, first) = (browser.clone(), session_of(&mut browser).await);
    // Who is not let in ends nothing.
    let wrong = log_in(&mut browser, "a@example.com", "not the password").await;
    assert_eq!(wrong, StatusCode::UNAUTHORIZED);
    lasts(&before).await;
    let again = log_in(&mut browser, "a@example.com", PASSWORD).await;
    assert_eq!(again, StatusCode::OK);
    is_over(before).await;
    lasts(&browser).await;

    // Its access token has run out, and it has the other one still: it is the same browser.
    server.clock.advance(600_001);
    let (before, second) = (browser.clone(), {
        let mut renewed = browser.clone();
        renewed.post("/api/v1/auth/refresh", Value::Null).await;
        session_of(&mut renewed).await
    });
    let other_id = server
        .user_of("main", "b@example.com", &[Role::Viewer])
        .await;
    let other = log_in(&mut browser, "b@example.com", PASSWORD).await;
    assert_eq!(other, StatusCode::OK);
    is_over(before).await;
    assert_eq!(browser.get(ME).await.json["email"], "b@example.com");

    let before = browser.clone();
    let link = server.state.accounts.sign_in_link(None).await;
    let body = json!({ "token": link.expect("link").token() });
    let by_link = browser.post("/api/v1/auth/redeem", body).await;
    assert_eq!(by_link.json["email"], "a@example.com", "{}", by_link.text);
    is_over(before).await;

    let ended = replaced(&server).await;
    assert_eq!(ended.len(), 3);
    let whose = browser.get(ME).await.json["user_id"].clone();
    let whose = format!("user:{}", whose.as_str().expect("an id"));
    assert_eq!(ended[2], (whose, first));
    assert_eq!(ended[1], (format!("user:{other_id}"), second));
    // The session elsewhere has not been asked since, and goes on.
    let mut elsewhere = elsewhere;
    let renewed = elsewhere.post("/api/v1/auth/refresh", Value::Null).await;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.text);
}

#[tokio::test]
async fn the_session_of_a_browser_lasts_until_the_code_of_the_next_one() {
    let world = with_factor(&[Role::Viewer]).await;
    let mut browser = world.browser;
    let before = browser.clone();
    let asked = log_in(&mut browser, "a@example.com", PASSWORD).await;
    assert_eq!(asked, StatusCode::UNAUTHORIZED);
    lasts(&before).await;
    let wrong = enter(&mut browser, "aaaaa-aaaaa").await;
    assert_eq!(wrong.error(), "invalid_request", "{}", wrong.text);
    lasts(&before).await;
    let code = world.app.next_code(&world.server);
    let entered = enter(&mut browser, &code).await;
    assert_eq!(entered.status, StatusCode::OK, "{}", entered.text);
    is_over(before).await;
    lasts(&browser).await;
}

#[tokio::test]
async fn a_sign_in_by_a_wallet_ends_the_session_that_its_browser_had() {
    let server = wallets::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let wallet = Wallet::evm(1);
    assert_eq!(wallet.link(&mut browser).await.status, StatusCode::OK);
    let before = browser.clone();
    let signed_in = wallet.sign_in(&mut browser).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.text);
    is_over(before).await;
    lasts(&browser).await;
}
