//! Sign-in and sessions, over real HTTP.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::{Browser, PASSWORD, Server};
use dgon_control_plane::accounts::{Origin, Role};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// The cookie that outlasts a session: the password was right in this browser.
const BROWSER: &str = "dgon_browser";
const ME: &str = "/api/v1/users/me";

#[tokio::test]
async fn the_first_admin_is_made_once_by_the_printed_link() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    assert_eq!(
        browser.get("/api/v1/auth/state").await.json["setup_needed"],
        true
    );
    let link = server.state.accounts.setup_link().await.expect("link");
    assert!(link.at("http://x").starts_with("http://x/setup#token="));
    let setup = |token: &str, password: &str| json!({ "token": token, "email": "Ada@Example.com", "password": password });
    let wrong = browser
        .post("/api/v1/auth/setup", setup("made-up", PASSWORD))
        .await;
    assert_eq!(
        (wrong.status, wrong.error()),
        (StatusCode::UNAUTHORIZED, "invalid_token")
    );
    let short = browser
        .post("/api/v1/auth/setup", setup(link.token(), "short"))
        .await;
    assert_eq!(
        (short.status, short.error()),
        (StatusCode::BAD_REQUEST, "invalid_request")
    );
    assert_eq!(short.json["error"]["details"]["field"], "password");
    let made = browser
        .post("/api/v1/auth/setup", setup(link.token(), PASSWORD))
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    assert_eq!(made.json["email"], "ada@example.com");
    assert_eq!(made.json["roles"], json!(["admin", "operator"]));
    let again = Browser::new(&server)
        .post("/api/v1/auth/setup", setup(link.token(), PASSWORD))
        .await;
    assert_eq!(again.error(), "invalid_token");
    assert_eq!(
        browser.get("/api/v1/auth/state").await.json["setup_needed"],
        false
    );
    assert_eq!(browser.get(ME).await.json, made.json);
    let late = server.state.accounts.setup_link().await.expect("link");
    let refused = Browser::new(&server)
        .post("/api/v1/auth/setup", setup(late.token(), PASSWORD))
        .await;
    assert_eq!(refused.error(), "invalid_token");
}

#[tokio::test]
async fn a_sign_in_link_works_once() {
    let server = Server::start().await;
    server.user("a@example.com", &[Role::Admin]).await;
    let link = server
        .state
        .accounts
        .sign_in_link(None)
        .await
        .expect("link");
    let body = json!({ "token": link.token() });
    let mut browser = Browser::new(&server);
    assert_eq!(
        browser
            .post("/api/v1/auth/redeem", body.clone())
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(browser.get(ME).await.json["email"], "a@example.com");
    assert_eq!(
        Browser::new(&server)
            .post("/api/v1/auth/redeem", body)
            .await
            .error(),
        "invalid_token"
    );
    let old = server
        .state
        .accounts
        .sign_in_link(None)
        .await
        .expect("link");
    server.clock.advance(3_600_001);
    let late = Browser::new(&server)
        .post("/api/v1/auth/redeem", json!({ "token": old.token() }))
        .await;
    assert_eq!(late.error(), "invalid_token");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_people_look_alike() {
    let server = Server::start().await;
    server.user("a@example.com", &[Role::Viewer]).await;
    let mut answers = Vec::new();
    for email in ["a@example.com", "nobody@example.com", "not an address"] {
        let answer = Browser::new(&server)
            .post(
                "/api/v1/auth/login",
                json!({ "email": email, "password": "wrong password" }),
            )
            .await;
        assert_eq!(
            (answer.status, answer.error()),
            (StatusCode::UNAUTHORIZED, "unauthorized")
        );
        answers.push(answer.json["error"]["message"].clone());
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
}

#[tokio::test]
async fn cookies_are_hidden_from_scripts_and_secure_over_https() {
    let server = Server::start().await;
    server.user("a@example.com", &[Role::Viewer]).await;
    let body = json!({ "email": "a@example.com", "password": PASSWORD });
    let answer = Browser::new(&server)
        .post("/api/v1/auth/login", body.clone())
        .await;
    let set: Vec<_> = answer
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|v| v.to_str().expect("text"))
        .collect();
    assert_eq!(set.len(), 3);
    for cookie in set {
        assert!(cookie.starts_with("dgon_"), "{cookie}");
        assert!(
            cookie.contains("; Path=/;")
                && cookie.contains("; HttpOnly")
                && cookie.contains("; SameSite=Lax")
        );
        assert!(!cookie.contains("Secure"), "{cookie}");
    }
    let settings = dgon_control_plane::app::Settings {
        public_url: Some("https://dgon.example".into()),
        ..Default::default()
    };
    let server = Server::start_with(settings, Default::default()).await;
    server.user("a@example.com", &[Role::Viewer]).await;
    let answer = Browser::new(&server).post("/api/v1/auth/login", body).await;
    let set = answer.headers.get_all("set-cookie").iter();
    let set: Vec<_> = set.map(|cookie| cookie.to_str().expect("text")).collect();
    assert_eq!(set.len(), 3);
    for cookie in set {
        assert!(
            cookie.starts_with("__Host-dgon_")
                && cookie.contains("; Path=/;")
                && cookie.contains("; HttpOnly; SameSite=Lax")
                && cookie.ends_with("; Secure"),
            "{cookie}"
        );
    }
    // What they hold is nowhere else in the answer, where a script could read it.
    for (name, value) in answer.cookies() {
        assert!(!answer.text.contains(&value), "{name}");
    }
}

#[tokio::test]
async fn an_access_token_runs_out_and_is_refreshed() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let csrf = browser.csrf.clone();
    server.clock.advance(600_001);
    // Not anonymous: the console must know that it has to refresh.
    let ended = browser.get(ME).await;
    assert_eq!(
        (ended.status, ended.error()),
        (StatusCode::UNAUTHORIZED, "unauthorized")
    );
    let before = browser.cookies.clone();
    let fresh = browser.post("/api/v1/auth/refresh", json!({})).await;
    assert_eq!(fresh.status, StatusCode::OK, "{}", fresh.text);
    assert_ne!(browser.cookies, before);
    assert_eq!(browser.csrf, csrf);
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_lost_refresh_answer_does_no_harm_but_a_stolen_token_ends_the_session() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let mut thief = browser.clone();
    let mut twin = browser.clone();
    assert_eq!(
        browser.post("/api/v1/auth/refresh", json!({})).await.status,
        StatusCode::OK
    );
    server.clock.advance(10_000);
    assert_eq!(
        twin.post("/api/v1/auth/refresh", json!({})).await.status,
        StatusCode::OK
    );
    assert_eq!(twin.cookies, browser.cookies);
    server.clock.advance(1);
    let reused = thief.post("/api/v1/auth/refresh", json!({})).await;
    assert_eq!(
        (reused.status, reused.error()),
        (StatusCode::UNAUTHORIZED, "unauthorized")
    );
    assert!(
        thief.cookies.iter().all(|(name, _)| name == BROWSER),
        "the refused cookies are taken away"
    );
    assert_eq!(browser.get(ME).await.status, StatusCode::UNAUTHORIZED);
    let refused = browser.post("/api/v1/auth/refresh", json!({})).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let trail = server
        .state
        .app
        .store
        .inspect()
        .audit_latest(None, 50)
        .await
        .expect("audit");
    assert!(trail.iter().any(|row| row.action == "session.reuse"));
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let kept = browser.clone();
    let out = browser.post("/api/v1/auth/logout", json!({})).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(browser.cookies.iter().all(|(name, _)| name == BROWSER));
    assert_eq!(kept.clone().get(ME).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        kept.clone()
            .post("/api/v1/auth/refresh", json!({}))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    // Signed out already: nothing to do, no error.
    assert_eq!(
        browser.post("/api/v1/auth/logout", json!({})).await.status,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn signing_out_works_with_the_refresh_cookie_alone() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let kept = browser.clone();
    browser.cookies.retain(|(name, _)| name == "dgon_refresh");
    browser.csrf = None;
    assert_eq!(
        browser.post("/api/v1/auth/logout", json!({})).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(kept.clone().get(ME).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn changes_need_the_csrf_token_and_the_own_origin() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Admin]).await;
    let path = "/api/v1/enrolment-tokens";
    let right = browser.csrf.clone();
    for csrf in [None, Some("guess".to_owned())] {
        browser.csrf = csrf;
        let refused = browser.post(path, json!({})).await;
        assert_eq!(
            (refused.status, refused.error()),
            (StatusCode::FORBIDDEN, "invalid_csrf")
        );
    }
    browser.csrf = right;
    let cross = browser.request(Method::POST, path).json(&json!({}));
    let mut cross = cross.build().expect("request");
    cross
        .headers_mut()
        .insert("sec-fetch-site", "cross-site".parse().expect("value"));
    let refused = crate::support::client()
        .execute(cross)
        .await
        .expect("response");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let foreign = crate::support::client()
        .post(format!("{}/api/v1/auth/login", server.base))
        .header("origin", "http://evil.example")
        .json(&json!({ "email": "a@example.com", "password": PASSWORD }))
        .send()
        .await
        .expect("response");
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        browser.post(path, json!({})).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn failed_sign_ins_are_limited_per_address_and_good_ones_are_not() {
    let http = dgon_control_plane::http::HttpSettings {
        sign_ins_per_minute: 3,
        ..Default::default()
    };
    let server = Server::start_with(Default::default(), http).await;
    server.user("a@example.com", &[Role::Viewer]).await;
    let login = |password: &str| json!({ "email": "a@example.com", "password": password });
    for _ in 0..5 {
        let good = Browser::new(&server)
            .post("/api/v1/auth/login", login(PASSWORD))
            .await;
        assert_eq!(good.status, StatusCode::OK);
    }
    for _ in 0..3 {
        let bad = Browser::new(&server)
            .post("/api/v1/auth/login", login("wrong password"))
            .await;
        assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
    }
    let limited = Browser::new(&server)
        .post("/api/v1/auth/login", login(PASSWORD))
        .await;
    assert_eq!(
        (limited.status, limited.error()),
        (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
    );
    assert!(
        limited
            .header("retry-after")
            .parse::<u32>()
            .is_ok_and(|wait| wait >= 1)
    );
}

#[tokio::test]
async fn a_session_renews_itself_so_often_and_others_of_its_account_go_on() {
    let server = Server::start().await;
    let mut busy = server.signed_in("ada@example.com", &[Role::Viewer]).await;
    let renew = "/api/v1/auth/refresh";
    let stolen = busy.clone();
    for _ in 0..60 {
        let renewed = busy.post(renew, json!({})).await;
        assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.text);
    }
    let refused = busy.post(renew, json!({})).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.error(), "rate_limited");
    // One a minute comes back, which the tries before took a part of.
    let wait_s: u32 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait_s), "{wait_s}");
    // It is a session still, and the account signs in anew.
    assert_eq!(busy.get(ME).await.status, StatusCode::OK);
    let mut calm = Browser::new(&server);
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let signed_in = calm.post("/api/v1/auth/login", body).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.text);
    let renewed = calm.post(renew, json!({})).await;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.text);
    // Over its limit, too, a token that is used twice ends its session.
    let mut thief = stolen;
    server.clock.advance(10_001);
    let reused = thief.post(renew, json!({})).await;
    assert_eq!(reused.status, StatusCode::UNAUTHORIZED, "{}", reused.text);
    assert_eq!(busy.get(ME).await.status, StatusCode::UNAUTHORIZED);
    // The token of a session that has ended uses nothing up, and says what it is.
    let refresh = calm.cookies.clone();
    calm.post("/api/v1/auth/logout", json!({})).await;
    for _ in 0..61 {
        calm.cookies = refresh.clone();
        let ended = calm.post(renew, json!({})).await;
        assert_eq!(ended.status, StatusCode::UNAUTHORIZED, "{}", ended.text);
    }
}

#[tokio::test]
async fn a_token_that_was_not_used_in_time_uses_nothing_up() {
    let server = Server::start().await;
    let browser = server.signed_in("ada@example.com", &[Role::Viewer]).await;
    server.clock.advance(7 * 86_400_000);
    for _ in 0..61 {
        let late = browser
            .clone()
            .post("/api/v1/auth/refresh", json!({}))
            .await;
        assert_eq!(late.status, StatusCode::UNAUTHORIZED, "{}", late.text);
    }
}

#[tokio::test]
async fn an_account_signs_in_so_often_and_more_is_as_dear_as_a_wrong_password() {
    let http = dgon_control_plane::http::HttpSettings {
        sign_ins_per_minute: 3,
        ..Default::default()
    };
    let server = Server::start_with(Default::default(), http).await;
    let mut first = server.signed_in("ada@example.com", &[Role::Admin]).await;
    let login = async |email: &str| {
        server.clock.advance(1);
        let body = json!({ "email": email, "password": PASSWORD });
        Browser::new(&server).post("/api/v1/auth/login", body).await
    };
    // Each refusal uses up a try of the address, from which in the end nobody signs in. Times come back meanwhile.
    let (mut signed_in, mut of_account) = (1, 0);
    loop {
        let answer = login("ada@example.com").await;
        if answer.status == StatusCode::OK {
            signed_in += 1;
            continue;
        }
        assert_eq!(answer.error(), "rate_limited", "{}", answer.text);
        if answer.text.contains("from your address") {
            break;
        }
        of_account += 1;
        assert!(of_account < 50, "the address has tries without end");
    }
    assert!(
        signed_in >= 120 && of_account >= 3,
        "{signed_in}, {of_account}"
    );
    // Of so many sessions the last ones are open.
    assert_eq!(first.get(ME).await.status, StatusCode::UNAUTHORIZED);
    server.user("bob@example.com", &[Role::Viewer]).await;
    let other = login("bob@example.com").await;
    assert_eq!(other.status, StatusCode::TOO_MANY_REQUESTS);
    // A link has no password that could be tried, nor a limit of its account.
    let link = server.state.accounts.sign_in_link(None).await;
    let (link, origin) = (link.expect("link"), Origin::default());
    let by_link = server.state.accounts.redeem(link.token(), &origin).await;
    assert!(by_link.is_ok());
}

const SESSIONS: &str = "/api/v1/sessions";

/// A browser that calls itself so, signed in as `v@example.com`.
async fn on_a(device: &str, server: &Server) -> Browser {
    let mut browser = Browser::new(server);
    let body = json!({ "email": "v@example.com", "password": PASSWORD });
    let request = browser.request(Method::POST, "/api/v1/auth/login");
    let request = request.header("user-agent", device).json(&body);
    assert_eq!(browser.send(request).await.status, StatusCode::OK);
    browser
}

/// The names of a person's devices, as the list has them, and their sessions.
async fn devices(browser: &mut Browser) -> Vec<(String, Value)> {
    let list = browser.get(SESSIONS).await;
    assert_eq!(list.status, StatusCode::OK, "{}", list.text);
    let items = list.json["items"].as_array().expect("items").iter();
    let named = |one: &Value| one["user_agent"].as_str().expect("a device").to_owned();
    items.map(|one| (named(one), one.clone())).collect()
}

#[tokio::test]
async fn a_person_sees_where_they_are_signed_in_and_ends_it() {
    let server = Server::start().await;
    server.user("v@example.com", &[Role::Viewer]).await;
    let (mut desk, mut lost) = (on_a("desk", &server).await, on_a("lost", &server).await);
    server.clock.advance(60_000);
    desk.post("/api/v1/auth/refresh", json!({})).await;
    let mut other = server.signed_in("w@example.com", &[Role::Viewer]).await;

    let list = devices(&mut desk).await;
    let names: Vec<&str> = list.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["desk", "lost"], "the one renewed last first");
    assert_eq!(
        (&list[0].1["is_current"], &list[1].1["is_current"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&list[1].1["method"], &list[1].1["ip"]),
        (&json!("password"), &json!("127.0.0.1"))
    );
    let of_lost = format!("{SESSIONS}/{}", list[1].1["id"].as_str().expect("an id"));
    assert_eq!(other.delete(&of_lost).await.error(), "not_found");
    assert_eq!(lost.get(SESSIONS).await.status, StatusCode::OK);
    assert_eq!(desk.delete(&of_lost).await.status, StatusCode::NO_CONTENT);
    assert_eq!(desk.delete(&of_lost).await.error(), "not_found");
    assert_eq!(lost.get(SESSIONS).await.error(), "unauthorized");

    let (mut one, mut two) = (on_a("one", &server).await, on_a("two", &server).await);
    let ended = desk.delete(SESSIONS).await;
    assert_eq!(ended.json["ended"], 2);
    for gone in [&mut one, &mut two] {
        assert_eq!(gone.get(SESSIONS).await.error(), "unauthorized");
    }
    assert_eq!(devices(&mut desk).await.len(), 1);
    assert_eq!(other.get(SESSIONS).await.status, StatusCode::OK);
    let trail = server
        .state
        .app
        .store
        .inspect()
        .audit_latest(None, 50)
        .await;
    let trail = trail.expect("audit");
    let revoked = trail.iter().filter(|row| row.action == "session.revoke");
    assert_eq!(revoked.count(), 3);
}
