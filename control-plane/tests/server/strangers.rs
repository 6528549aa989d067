//! Strangers from thousands of addresses who guess, try and ask: they run out, and who is known goes on. How soon others are
//! answered meanwhile is measured by `dgon-bench`, not tested.

#![allow(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{Answer, Browser, PASSWORD, Server};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::http::HttpSettings;
use dgon_testkit::fleet::{Enrol, SimAgent};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const LOGIN: &str = "/api/v1/auth/login";
const HOME: &str = "203.0.113.7";
/// Wrong passwords of one account that all strangers may try in an hour.
const GUESSES: u32 = 50;
/// Wrong passwords of one browser that is known in an hour.
const MISTYPED: u32 = 10;
/// Nodes that there are not, of one network in a minute.
const STRANGERS: u32 = 120;

/// A server behind a proxy of this machine.
async fn behind_a_proxy(anonymous_per_minute: u32) -> Server {
    Server::start_with(Settings::default(), proxied(anonymous_per_minute)).await
}

fn proxied(anonymous_per_minute: u32) -> HttpSettings {
    HttpSettings {
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("block")],
        anonymous_reads_per_minute: anonymous_per_minute,
        ..HttpSettings::default()
    }
}

/// Another address for each number.
fn address(number: u32) -> String {
    format!("198.18.{}.{}", number / 250, number % 250 + 1)
}

async fn post(browser: &mut Browser, from: &str, path: &str, body: &Value) -> Answer {
    let request = browser.request(Method::POST, path).json(body);
    browser.send(request.header("x-forwarded-for", from)).await
}

async fn sign_in(server: &Server, from: &str, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    post(&mut Browser::new(server), from, LOGIN, &body).await
}

/// A browser in which an account was signed in to, and is no more.
async fn known(server: &Server, email: &str) -> Browser {
    let mut browser = Browser::new(server);
    let body = json!({ "email": email, "password": PASSWORD });
    let answer = post(&mut browser, HOME, LOGIN, &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    forget_session(&mut browser);
    browser
}

/// What outlasts a session stays.
fn forget_session(browser: &mut Browser) {
    browser.cookies.retain(|(name, _)| name == "dgon_browser");
    assert_eq!(browser.cookies.len(), 1);
}

/// From where the log says that a browser signed in which says all that a proxy could say.
async fn said_to_be_from(http: HttpSettings) -> String {
    let server = Server::start_with(Settings::default(), http).await;
    server.user("ada@example.com", &[Role::Viewer]).await;
    let mut browser = Browser::new(&server);
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let mut request = browser.request(Method::POST, LOGIN).json(&body);
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1, 203.0.113.7"),
        ("x-real-ip", "192.0.2.2"),
        ("forwarded", "for=192.0.2.3"),
        ("cf-connecting-ip", "192.0.2.4"),
        ("true-client-ip", "192.0.2.5"),
        ("x-client-ip", "192.0.2.6"),
    ] {
        request = request.header(name, value);
    }
    let signed_in = browser.send(request).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.text);
    let rows = server.state.app.store.inspect().audit_latest(None, 1).await;
    let facts = rows.expect("audit")[0].read_facts().expect("facts");
    facts.expect("some").ip.expect("an address")
}

#[tokio::test]
async fn only_a_proxy_that_is_trusted_says_where_somebody_comes_from() {
    assert_eq!(said_to_be_from(HttpSettings::default()).await, "127.0.0.1");
    // Of what it passes on, its own word is the last; what was said before it is its client's.
    assert_eq!(said_to_be_from(proxied(1_200)).await, HOME);
}

#[tokio::test]
async fn all_strangers_together_guess_one_password_so_often_and_its_owner_is_let_in_at_home() {
    let server = behind_a_proxy(1_200).await;
    server.user("ada@example.com", &[Role::Viewer]).await;
    let mut home = known(&server, "ada@example.com").await;
    // Whether there is an account is not told by when the tries run out.
    for (first, email) in [(0, "ada@example.com"), (1_000, "nobody@example.com")] {
        for number in first..first + GUESSES {
            let wrong = sign_in(&server, &address(number), email, "a wrong guess").await;
            assert_eq!(wrong.status, StatusCode::UNAUTHORIZED, "{}", wrong.text);
        }
        let limited = sign_in(&server, &address(first + GUESSES), email, "a wrong guess").await;
        assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS, "{email}");
        assert_eq!(limited.error(), "rate_limited");
        assert!(limited.header("retry-after").parse::<u32>().is_ok());
    }
    // The right one is not tried out there any more either, nor by a neighbour, nor in a browser that is known to somebody else.
    let elsewhere = sign_in(&server, &address(9_000), "ada@example.com", PASSWORD).await;
    assert_eq!(elsewhere.status, StatusCode::TOO_MANY_REQUESTS);
    let neighbour = sign_in(&server, HOME, "ada@example.com", PASSWORD).await;
    assert_eq!(neighbour.status, StatusCode::TOO_MANY_REQUESTS);
    server.user("eve@example.com", &[Role::Viewer]).await;
    let mut eve = known(&server, "eve@example.com").await;
    let as_ada = json!({ "email": "ada@example.com", "password": PASSWORD });
    let refused = post(&mut eve, HOME, LOGIN, &as_ada).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    // In the owner's browser it is, wherever it is, and mistyped it can be, too.
    let wrong = json!({ "email": "ada@example.com", "password": "a wrong guess" });
    let mistyped = post(&mut home, &address(9_003), LOGIN, &wrong).await;
    assert_eq!(mistyped.status, StatusCode::UNAUTHORIZED);
    let mut stolen = home.clone();
    let in_again = post(&mut home, &address(9_003), LOGIN, &as_ada).await;
    assert_eq!(in_again.status, StatusCode::OK, "{}", in_again.text);
    // Whoever took what that browser keeps guesses a few times more.
    for number in 0..MISTYPED {
        let wrong = post(&mut stolen, &address(10_000 + number), LOGIN, &wrong).await;
        let limited = number == MISTYPED - 1;
        let status = match limited {
            true => StatusCode::TOO_MANY_REQUESTS,
            false => StatusCode::UNAUTHORIZED,
        };
        assert_eq!(wrong.status, status, "{number}");
    }
    // Others are not touched.
    server.user("bob@example.com", &[Role::Viewer]).await;
    let other = sign_in(&server, &address(9_001), "bob@example.com", PASSWORD).await;
    assert_eq!(other.status, StatusCode::OK, "{}", other.text);
    // In an hour they may try as often again.
    server.clock.advance(3_600_000);
    let later = sign_in(&server, &address(9_002), "ada@example.com", PASSWORD).await;
    assert_eq!(later.status, StatusCode::OK, "{}", later.text);
}

#[tokio::test]
async fn a_crowd_that_guesses_many_passwords_is_turned_away_and_who_is_known_signs_in() {
    let server = behind_a_proxy(1_200).await;
    server.user("ada@example.com", &[Role::Viewer]).await;
    let mut home = known(&server, "ada@example.com").await;
    let right = json!({ "email": "ada@example.com", "password": PASSWORD });
    let guesses = (0..60).map(|number| {
        let (server, from) = (&server, address(number));
        async move {
            sign_in(
                server,
                &from,
                &format!("p{number}@example.com"),
                "a guess of one",
            )
            .await
        }
    });
    let crowd = futures_util::future::join_all(guesses);
    let known = async {
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(post(&mut home, HOME, LOGIN, &right).await);
            forget_session(&mut home);
        }
        answers
    };
    let (crowd, known) = tokio::join!(crowd, known);
    for answer in &known {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    let turned_away = |answer: &&Answer| answer.status == StatusCode::SERVICE_UNAVAILABLE;
    assert!(crowd.iter().filter(turned_away).count() > 0);
    let is_refused = |answer: &Answer| !answer.status.is_success();
    assert!(crowd.iter().all(is_refused));
}

#[tokio::test]
async fn whatever_strangers_ask_is_limited_by_address() {
    let server = behind_a_proxy(3).await;
    let mut person = server.signed_in("ada@example.com", &[Role::Viewer]).await;
    let paths = [
        "/api/v1/auth/nonce",
        "/api/v1/auth/oidc/none/start",
        "/api/v1/auth/refresh",
        "/api/v1/auth/second-factor",
        "/api/v1/auth/redeem",
        "/api/v1/auth/register",
        "/api/v1/auth/login",
        "/api/v1/nodes/register/nonce",
        "/api/v1/users",
    ];
    for (number, path) in (0..).zip(paths) {
        // With the cookie of a session that there is not, they are as strange as without.
        for cookie in [None, Some("made-up-by-a-stranger")] {
            let from = address(number * 2 + u32::from(cookie.is_some()));
            let mut stranger = Browser::new(&server);
            let set = cookie.map(|value| ("dgon_refresh".to_owned(), value.to_owned()));
            for _ in 0..3 {
                stranger.cookies = set.clone().into_iter().collect();
                let asked = post(&mut stranger, &from, path, &json!({})).await;
                assert_ne!(asked.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
            }
            stranger.cookies = set.into_iter().collect();
            let limited = post(&mut stranger, &from, path, &json!({})).await;
            assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
            assert_eq!(limited.error(), "rate_limited");
            // Who is signed in there goes on.
            let me = person.request(Method::GET, "/api/v1/users/me");
            let me = person.send(me.header("x-forwarded-for", &from)).await;
            assert_eq!(me.status, StatusCode::OK, "{}", me.text);
        }
    }
}

#[tokio::test]
async fn nodes_and_tokens_that_nobody_knows_are_limited_by_network_and_known_nodes_go_on() {
    let http = proxied(10_000);
    // Nodes sign what time it is.
    let clock = Clock::manual(Clock::system().now_ms());
    let server = Server::start_at(Settings::default(), http, clock).await;
    let mut maker = server.signed_in("ada@example.com", &[Role::Admin]).await;
    let token = maker.post("/api/v1/enrolment-tokens", json!({})).await;
    let token = token.json["token"].as_str().expect("a token").to_owned();
    let http = crate::support::client();
    let agent = SimAgent::enrol(&http, &server.base, &token, Enrol::default()).await;
    let agent = agent.expect("a node");
    let from = address(1);
    let own = async || {
        let path = "/api/v1/nodes/self";
        let mut request = http.get(format!("{}{path}", server.base));
        for (name, value) in agent.headers("GET", path, b"").expect("headers") {
            request = request.header(name, value);
        }
        let response = request.header("x-forwarded-for", &from).send().await;
        response.expect("an answer").status()
    };
    let forged = async |node: &str, from: &str| {
        let headers = agent.headers("POST", "/api/v1/nodes/heartbeat", b"{}");
        let mut request = http.post(format!("{}/api/v1/nodes/heartbeat", server.base));
        for (name, value) in headers.expect("headers") {
            let named = match name.to_ascii_lowercase().as_str() {
                "x-node-id" => node.to_owned(),
                "x-node-auth" => format!("{}0000", &value[..value.len() - 4]),
                _ => value,
            };
            request = request.header(name, named);
        }
        let response = request
            .header("x-forwarded-for", from)
            .body("{}")
            .send()
            .await;
        response.expect("an answer").status()
    };
    let stranger = async |number: u32, from: &str| forged(&format!("none-{number}"), from).await;
    for number in 0..STRANGERS {
        assert_eq!(stranger(number, &from).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        stranger(STRANGERS, &from).await,
        StatusCode::TOO_MANY_REQUESTS
    );
    // A token is as much of a question.
    let enrolment = http.post(format!("{}/api/v1/nodes/register", server.base));
    let enrolment = enrolment.header("x-forwarded-for", &from).json(&json!({}));
    let enrolment = enrolment.send().await.expect("an answer");
    assert_eq!(enrolment.status(), StatusCode::TOO_MANY_REQUESTS);
    // Elsewhere there is room, and junk takes it up like everything else.
    let junk = async || {
        let enrolment = http.post(format!("{}/api/v1/nodes/register", server.base));
        let enrolment = enrolment.header("x-forwarded-for", address(3)).body("[");
        enrolment.send().await.expect("an answer").status()
    };
    for _ in 0..STRANGERS {
        assert_eq!(junk().await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(junk().await, StatusCode::TOO_MANY_REQUESTS);
    // Of a node that there is a stranger is told the same: its name says nothing.
    let named = agent.node_id.as_str();
    assert_eq!(forged(named, &address(4)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(forged(named, &from).await, StatusCode::TOO_MANY_REQUESTS);
    // The node beside them proves itself, though it was not heard of since it was enrolled.
    assert_eq!(own().await, StatusCode::OK);
    assert_eq!(stranger(1, &address(2)).await, StatusCode::UNAUTHORIZED);
}
