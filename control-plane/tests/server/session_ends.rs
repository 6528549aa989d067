//! When a session ends that nobody ends: a week after it was used last, and after thirty days in any case.

use crate::support::{Answer, Browser, Server};
use dgon_control_plane::accounts::Role;
use reqwest::StatusCode;
use serde_json::Value;

const ME: &str = "/api/v1/users/me";
const DAY_MS: i64 = 86_400_000;

async fn renew(browser: &mut Browser) -> Answer {
    browser.post("/api/v1/auth/refresh", Value::Null).await
}

#[tokio::test]
async fn a_session_that_is_not_used_for_a_week_ends() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    server.clock.advance(7 * DAY_MS - 1);
    assert_eq!(renew(&mut browser).await.status, StatusCode::OK);
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
    // Of thirty days it has had seven; counted from its last use it is a week.
    let mut idle = browser.clone();
    server.clock.advance(7 * DAY_MS);
    assert_eq!(idle.get(ME).await.error(), "unauthorized");
    assert_eq!(renew(&mut idle).await.error(), "unauthorized");
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_however_much_it_is_used() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    for day in 1..30 {
        server.clock.advance(DAY_MS);
        assert_eq!(renew(&mut browser).await.status, StatusCode::OK, "{day}");
    }
    server.clock.advance(DAY_MS - 1);
    let renewed = renew(&mut browser).await;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.text);
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
    // Both tokens are a moment old, and go with the session.
    server.clock.advance(1);
    assert_eq!(browser.get(ME).await.error(), "unauthorized");
    assert_eq!(renew(&mut browser).await.error(), "unauthorized");
}
