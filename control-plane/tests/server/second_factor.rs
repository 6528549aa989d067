//! The code of an authenticator app: asked for whichever way somebody signs in, good once, and not to be guessed.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{ALL, Answer, Browser, PASSWORD, Server};
use dgon_control_plane::accounts::{Email, Role};
use dgon_control_plane::app::Settings;
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane_model::totp::{STEP_S, TotpSecret};
use reqwest::StatusCode;
use serde_json::{Value, json};

const ME: &str = "/api/v1/users/me";
const LOGIN: &str = "/api/v1/auth/login";
const CODE: &str = "/api/v1/auth/second-factor";
const FACTOR: &str = "/api/v1/users/me/second-factor";
const OFFER: &str = "/api/v1/users/me/second-factor/offer";
const CODES: &str = "/api/v1/users/me/second-factor/recovery-codes";
const REMOVE: &str = "/api/v1/users/me/second-factor/remove";

/// An app that has the secret.
pub(crate) struct Authenticator(TotpSecret);

impl Authenticator {
    /// Adds what was offered.
    pub(crate) fn scan(offer: &Answer) -> Self {
        let secret = offer.json["secret"].as_str().expect("a secret");
        let uri = offer.json["uri"].as_str().expect("an address");
        assert!(
            uri.contains(secret),
            "the picture and the text say the same"
        );
        Self(TotpSecret::from_bytes(base32(secret)))
    }

    /// What it shows now.
    pub(crate) fn code(&self, server: &Server) -> String {
        let unix_s = u64::try_from(server.clock.now_ms() / 1_000).expect("after 1970");
        self.0.code(unix_s / STEP_S).to_string()
    }

    /// What an app shows whose clock is so far ahead.
    fn code_ahead(&self, server: &Server, ms: i64) -> String {
        let unix_s = u64::try_from((server.clock.now_ms() + ms) / 1_000).expect("after 1970");
        self.0.code(unix_s / STEP_S).to_string()
    }

    /// What it shows after the present one.
    pub(crate) fn next_code(&self, server: &Server) -> String {
        server.clock.advance(STEP_S.cast_signed() * 1_000);
        self.code(server)
    }
}

/// RFC 4648 section 6, by another way than the server's.
fn base32(text: &str) -> [u8; 20] {
    let of = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: String = text
        .bytes()
        .map(|byte| of.iter().position(|of| *of == byte).expect("base32"))
        .map(|five| format!("{five:05b}"))
        .collect();
    let bytes = bits.as_bytes().chunks(8).map(|eight| {
        let eight = std::str::from_utf8(eight).expect("digits");
        u8::from_str_radix(eight, 2).expect("a byte")
    });
    bytes.collect::<Vec<_>>().try_into().expect("20 bytes")
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) browser: Browser,
    pub(crate) app: Authenticator,
    codes: Vec<String>,
}

fn shown(answer: &Answer) -> Vec<String> {
    let codes = answer.json["recovery_codes"].as_array().expect("codes");
    let codes = codes
        .iter()
        .map(|code| code.as_str().expect("text").to_owned());
    codes.collect()
}

/// Somebody who has set it up.
pub(crate) async fn with_factor(roles: &[Role]) -> World {
    // What an address may try is another test's.
    let http = HttpSettings {
        sign_ins_per_minute: 1_000,
        ..HttpSettings::default()
    };
    let server = Server::start_with(Settings::default(), http).await;
    let mut browser = server.signed_in("a@example.com", roles).await;
    let offer = browser.post(OFFER, Value::Null).await;
    assert_eq!(offer.status, StatusCode::OK, "{}", offer.text);
    let app = Authenticator::scan(&offer);
    let body =
        json!({ "sealed": offer.json["sealed"], "code": app.code(&server), "current": PASSWORD });
    let set = browser.put(FACTOR, body).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    World {
        codes: shown(&set),
        server,
        browser,
        app,
    }
}

/// The first step alone.
async fn password(server: &Server) -> (Browser, Answer) {
    let mut browser = Browser::new(server);
    let body = json!({ "email": "a@example.com", "password": PASSWORD });
    let answer = browser.post(LOGIN, body).await;
    (browser, answer)
}

pub(crate) async fn enter(browser: &mut Browser, code: &str) -> Answer {
    browser.post(CODE, json!({ "code": code })).await
}

#[tokio::test]
async fn a_password_alone_signs_nobody_in() {
    let World { server, app, .. } = with_factor(&[Role::Viewer]).await;
    let (mut browser, asked) = password(&server).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    assert_eq!(asked.error(), "second_factor_needed");
    let names: Vec<String> = asked.cookies().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dgon_pending"], "no token of a session");
    assert_eq!(browser.get(ME).await.error(), "unauthorized");
    // What the browser keeps tells it nothing, and is of no use without a code.
    let sealed = &asked.cookies()[0].1;
    assert!(!sealed.contains("argon2"), "{sealed}");

    let me = enter(&mut browser, &app.next_code(&server)).await;
    assert_eq!(me.json["email"], "a@example.com", "{}", me.text);
    assert_eq!(me.json["second_factor"]["recovery_codes_left"], 10);
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_code_is_good_once_also_when_many_come_at_once() {
    let World { server, app, .. } = with_factor(&[Role::Viewer]).await;
    // That of the set-up is used up.
    let (mut browser, _) = password(&server).await;
    let used = enter(&mut browser, &app.code(&server)).await;
    assert_eq!(used.error(), "invalid_request", "{}", used.text);
    assert_eq!(used.json["error"]["details"]["field"], "code");

    let code = app.next_code(&server);
    let (browser, _) = password(&server).await;
    let tries = (0..8).map(|_| {
        let (mut browser, code) = (browser.clone(), code.clone());
        tokio::spawn(async move { enter(&mut browser, &code).await.status })
    });
    let mut signed_in = 0;
    for tried in tries.collect::<Vec<_>>() {
        signed_in += u32::from(tried.await.expect("an answer") == StatusCode::OK);
    }
    assert_eq!(signed_in, 1);
}

#[tokio::test]
async fn a_code_is_judged_by_the_clock_of_the_server() {
    const AHEAD_MS: i64 = 240_000;
    let World { server, app, .. } = with_factor(&[Role::Viewer]).await;
    let code = app.code_ahead(&server, AHEAD_MS);
    let (mut browser, _) = password(&server).await;
    // Whatever the browser says of the time.
    let request = browser.request(reqwest::Method::POST, CODE);
    let request = request.header("date", "Sat, 21 Nov 2026 03:04:00 GMT");
    let early = browser.send(request.json(&json!({ "code": code }))).await;
    assert_eq!(early.error(), "invalid_request", "{}", early.text);
    server.clock.advance(AHEAD_MS);
    let me = enter(&mut browser, &code).await;
    assert_eq!(me.status, StatusCode::OK, "{}", me.text);
}

#[tokio::test]
async fn a_recovery_code_signs_in_once_however_it_is_typed() {
    let World {
        server, codes, app, ..
    } = with_factor(&[Role::Viewer]).await;
    assert_eq!(codes.len(), 10);
    let (mut browser, _) = password(&server).await;
    let typed = codes[0].to_uppercase().replace('-', " ");
    let me = enter(&mut browser, &typed).await;
    assert_eq!(
        me.json["second_factor"]["recovery_codes_left"], 9,
        "{}",
        me.text
    );
    for bad in [&codes[0], "aaaaa-aaaaa"] {
        let (mut browser, _) = password(&server).await;
        let again = enter(&mut browser, bad).await;
        assert_eq!(again.error(), "invalid_request", "{}", again.text);
    }
    // Others in their place: the old ones are no good.
    let renewed = browser
        .post(CODES, json!({ "code": app.next_code(&server) }))
        .await;
    let new = shown(&renewed);
    assert!(new.iter().all(|code| !codes.contains(code)));
    let (mut browser, _) = password(&server).await;
    assert_eq!(
        enter(&mut browser, &codes[1]).await.error(),
        "invalid_request"
    );
    let me = enter(&mut browser, &new[0]).await;
    assert_eq!(me.status, StatusCode::OK, "{}", me.text);
}

#[tokio::test]
async fn codes_are_not_guessed_and_a_guesser_does_not_lock_the_owner_out() {
    let World {
        server, codes, app, ..
    } = with_factor(&[Role::Viewer]).await;
    let (mut thief, _) = password(&server).await;
    // Recovery codes that are none use up nothing of the app's.
    for _ in 0..12 {
        let refused = enter(&mut thief, "aaaaa-aaaaa").await;
        assert_eq!(refused.error(), "invalid_request", "{}", refused.text);
    }
    let wrong = if app.next_code(&server) == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..10 {
        let refused = enter(&mut thief, wrong).await;
        assert_eq!(refused.error(), "invalid_request", "{}", refused.text);
    }
    // Also the right one is not looked at any more.
    let (mut browser, _) = password(&server).await;
    let refused = enter(&mut browser, &app.code(&server)).await;
    assert_eq!(refused.error(), "rate_limited", "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
    let me = enter(&mut browser, &codes[0]).await;
    assert_eq!(me.status, StatusCode::OK, "{}", me.text);
    let failed = server.state.app.store.inspect();
    let failed = failed.texts("SELECT action FROM audit WHERE action = 'second_factor.failed'");
    // Ten of each: more say no more.
    assert_eq!(failed.await.expect("rows").len(), 20);
}

#[tokio::test]
async fn what_was_proven_first_is_good_for_five_minutes_in_its_browser_and_while_it_is_so() {
    let World {
        server,
        app,
        browser: mut owner,
        ..
    } = with_factor(&[Role::Viewer]).await;
    let code = app.next_code(&server);
    let elsewhere = enter(&mut Browser::new(&server), &code).await;
    assert_eq!(elsewhere.error(), "invalid_token", "{}", elsewhere.text);
    for forged in ["x", &"x".repeat(3_500), "AAAA", ""] {
        let mut forger = Browser::new(&server);
        forger.cookies = vec![("dgon_pending".to_owned(), forged.to_owned())];
        assert_eq!(enter(&mut forger, &code).await.error(), "invalid_token");
    }
    // What one made for another use opens nothing.
    let offered = owner
        .post(REMOVE, json!({ "code": app.next_code(&server) }))
        .await;
    assert_eq!(offered.status, StatusCode::NO_CONTENT, "{}", offered.text);
    let offer = owner.post(OFFER, Value::Null).await;
    let app = Authenticator::scan(&offer);
    let mut mixed = Browser::new(&server);
    let sealed = offer.json["sealed"].as_str().expect("text").to_owned();
    mixed.cookies = vec![("dgon_pending".to_owned(), sealed)];
    let refused = enter(&mut mixed, &app.code(&server)).await;
    assert_eq!(refused.error(), "invalid_token");
    let body =
        json!({ "sealed": offer.json["sealed"], "code": app.code(&server), "current": PASSWORD });
    assert_eq!(owner.put(FACTOR, body).await.status, StatusCode::OK);

    // A password that is another meanwhile.
    let (mut browser, _) = password(&server).await;
    let body = json!({ "current": PASSWORD, "password": "another horse battery" });
    let changed = owner.put("/api/v1/users/me/password", body).await;
    assert_eq!(changed.status, StatusCode::NO_CONTENT, "{}", changed.text);
    let refused = enter(&mut browser, &app.next_code(&server)).await;
    assert_eq!(refused.error(), "invalid_token", "{}", refused.text);

    let mut late = Browser::new(&server);
    let body = json!({ "email": "a@example.com", "password": "another horse battery" });
    assert_eq!(late.post(LOGIN, body).await.error(), "second_factor_needed");
    server.clock.advance(300_001);
    let refused = enter(&mut late, &app.code(&server)).await;
    assert_eq!(refused.error(), "invalid_token", "{}", refused.text);
}

#[tokio::test]
async fn a_link_asks_for_the_code_and_is_not_used_up_before_it() {
    let World { server, app, .. } = with_factor(&[Role::Viewer]).await;
    let link = server.state.accounts.sign_in_link(None);
    assert!(link.await.is_err(), "there is no admin");
    let email = Email::parse("a@example.com").expect("email");
    let link = server
        .state
        .accounts
        .sign_in_link(Some(&email))
        .await
        .expect("link");
    let redeem = async |browser: &mut Browser| {
        let body = json!({ "token": link.token() });
        browser.post("/api/v1/auth/redeem", body).await
    };
    let mut browser = Browser::new(&server);
    for _ in 0..2 {
        let asked = redeem(&mut browser).await;
        assert_eq!(asked.error(), "second_factor_needed", "{}", asked.text);
    }
    let mut copied = browser.clone();
    let me = enter(&mut browser, &app.next_code(&server)).await;
    assert_eq!(me.status, StatusCode::OK, "{}", me.text);
    let again = enter(&mut copied, &app.next_code(&server)).await;
    assert_eq!(again.error(), "invalid_token", "{}", again.text);
    assert_eq!(
        redeem(&mut Browser::new(&server)).await.error(),
        "invalid_token"
    );
}

#[tokio::test]
async fn it_is_set_up_soon_after_signing_in_and_ends_other_sign_ins() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let mut other = server.sign_in("a@example.com").await;
    let offer = browser.post(OFFER, Value::Null).await;
    let app = Authenticator::scan(&offer);
    for (code, current, field) in [
        ("12345", PASSWORD, "code"),
        (&*app.code(&server), "not the password", "current"),
    ] {
        let wrong = json!({ "sealed": offer.json["sealed"], "code": code, "current": current });
        let refused = browser.put(FACTOR, wrong).await;
        assert_eq!(refused.error(), "invalid_request", "{}", refused.text);
        assert_eq!(refused.json["error"]["details"]["field"], field);
    }
    let wrong = json!({ "sealed": offer.json["sealed"], "code": app.code(&server) });
    assert_eq!(browser.put(FACTOR, wrong).await.error(), "invalid_request");
    // What was offered to one is nobody else's.
    let mut stranger = server.signed_in("b@example.com", &[Role::Viewer]).await;
    let body =
        json!({ "sealed": offer.json["sealed"], "code": app.code(&server), "current": PASSWORD });
    assert_eq!(
        stranger.put(FACTOR, body.clone()).await.error(),
        "invalid_token"
    );
    assert_eq!(browser.get(ME).await.json["second_factor"], Value::Null);
    assert_eq!(
        browser.put(FACTOR, body.clone()).await.status,
        StatusCode::OK
    );
    assert_eq!(other.get(ME).await.error(), "unauthorized");
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
    for again in [
        browser.put(FACTOR, body).await,
        browser.post(OFFER, Value::Null).await,
    ] {
        assert_eq!(again.error(), "conflict", "{}", again.text);
    }
    // Who only holds a browser that was left signed in takes nothing away, also not with a code.
    server.clock.advance(14 * 60_000);
    browser.post("/api/v1/auth/refresh", Value::Null).await;
    server.clock.advance(2 * 60_000);
    let code = json!({ "code": app.code(&server) });
    for path in [REMOVE, CODES] {
        let refused = browser.post(path, code.clone()).await;
        assert_eq!(refused.error(), "forbidden", "{}", refused.text);
    }
    let refused = stranger.post("/api/v1/auth/refresh", Value::Null).await;
    assert_eq!(refused.status, StatusCode::OK, "{}", refused.text);
    assert_eq!(stranger.post(OFFER, Value::Null).await.error(), "forbidden");
}

#[tokio::test]
async fn it_is_taken_away_with_a_code_or_by_an_admin_who_says_why() {
    let World {
        server,
        mut browser,
        app,
        codes,
    } = with_factor(&[Role::Viewer]).await;
    let refused = browser
        .post(REMOVE, json!({ "code": app.code(&server) }))
        .await;
    assert_eq!(refused.error(), "invalid_request", "{}", refused.text);
    let gone = browser.post(REMOVE, json!({ "code": codes[3] })).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    assert_eq!(password(&server).await.1.status, StatusCode::OK);
    let none = browser
        .post(REMOVE, json!({ "code": app.next_code(&server) }))
        .await;
    assert_eq!(none.error(), "conflict", "{}", none.text);

    let offer = browser.post(OFFER, Value::Null).await;
    let app = Authenticator::scan(&offer);
    let body =
        json!({ "sealed": offer.json["sealed"], "code": app.code(&server), "current": PASSWORD });
    assert_eq!(browser.put(FACTOR, body).await.status, StatusCode::OK);
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    let user_id = browser.get(ME).await.json["user_id"]
        .as_str()
        .expect("id")
        .to_owned();
    let own_id = admin.get(ME).await.json["user_id"]
        .as_str()
        .expect("id")
        .to_owned();
    let reset = |user_id: &str| format!("/api/v1/users/{user_id}/reset-second-factor");
    let listed = admin.get("/api/v1/users?q=a@example").await;
    assert!(
        listed.text.contains("second_factor_since\":\"20"),
        "{}",
        listed.text
    );
    let why = json!({ "reason": "lost the phone; known by voice" });
    let none = json!({ "reason": " " });
    assert_eq!(
        admin.post(&reset(&user_id), none).await.error(),
        "invalid_request"
    );
    assert_eq!(
        admin.post(&reset(&own_id), why.clone()).await.error(),
        "forbidden"
    );
    assert_eq!(
        admin.post(&reset("u_nobody"), why.clone()).await.error(),
        "not_found"
    );
    assert_eq!(
        browser.post(&reset(&user_id), why.clone()).await.error(),
        "forbidden"
    );
    let done = admin.post(&reset(&user_id), why.clone()).await;
    assert_eq!(
        done.json["second_factor_since"],
        Value::Null,
        "{}",
        done.text
    );
    assert_eq!(admin.post(&reset(&user_id), why).await.error(), "conflict");
    let log = admin.get("/api/v1/audit?limit=1").await;
    let row = &log.json["items"][0];
    assert_eq!(row["action"], "second_factor.reset");
    assert_eq!(row["reason"], "lost the phone; known by voice");
    assert_eq!(password(&server).await.1.status, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_that_does_not_open_signs_nobody_in() {
    let World { server, app, .. } = with_factor(&[Role::Viewer]).await;
    let store = &server.state.app.store;
    let inspect = store.inspect();
    let broken = inspect.execute("UPDATE second_factors SET sealed_secret = x'00'");
    broken.await.expect("written");
    let (mut browser, asked) = password(&server).await;
    assert_eq!(asked.error(), "second_factor_needed");
    let failed = enter(&mut browser, &app.next_code(&server)).await;
    assert_eq!(failed.error(), "internal", "{}", failed.text);
    assert_eq!(browser.get(ME).await.error(), "unauthorized");
    let factors = store.second_factor(&ALL, "u_nobody").await.expect("read");
    assert!(factors.is_none());
}
