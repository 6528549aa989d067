//! What is no key that works, and how much of anything a program may try.

use super::{NODES, Program, TOKENS, admin, at, make, wish, with_key};
use crate::support::{Browser, NOW_MS, Server, client};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::http::HttpSettings;
use reqwest::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn what_is_no_key_that_works_is_refused_and_never_taken_for_nobody() {
    let (server, mut owner, _, program) = with_key(&["nodes.read"]).await;
    let mut admin = admin(&server).await;
    let opened = admin
        .put(
            "/api/v1/flags/allow_anonymous_overview",
            json!({ "enabled": true }),
        )
        .await;
    assert_eq!(opened.status, StatusCode::OK);
    assert_eq!(
        Browser::new(&server).get(NODES).await.status,
        StatusCode::OK
    );
    let of = |key: &str| Program {
        base: server.base.clone(),
        key: key.to_owned(),
    };
    let (good, elsewhere) = (&program.key, with_key(&["nodes.read"]).await.3.key);
    let another = with_secret_of(good, &elsewhere);
    for (bad, told) in [
        ("", "begins with dgon_sk_live_"),
        ("x", "begins with dgon_sk_live_"),
        (&good[..74], "begins with dgon_sk_live_"),
        (
            &good.replacen("dgon", "DGON", 1),
            "begins with dgon_sk_live_",
        ),
        (&flipped(good), "mistyped"),
        (&elsewhere, "there is no such API key"),
        (&another, "there is no such API key"),
    ] {
        let answer = of(bad).get(NODES).await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{bad}: {}",
            answer.text
        );
        assert_eq!(answer.error(), "unauthorized");
        assert!(answer.text.contains(told), "{bad}: {}", answer.text);
        assert!(bad.len() < 20 || !answer.text.contains(&bad[20..]));
        // Nor does the cookie of a session help it.
        let header = format!("Bearer {bad}");
        let request = owner
            .request(Method::GET, NODES)
            .header("authorization", header);
        let answer = owner.send(request).await;
        assert!(answer.status.is_client_error(), "{bad}: {}", answer.text);
    }
    for header in [good.clone(), format!("Token {good}")] {
        let request = client().get(format!("{}{NODES}", server.base));
        let answer = program.send(request.header("authorization", header)).await;
        assert_eq!(answer.error(), "unauthorized");
    }
    // What a browser sends to a proxy is not for us.
    let request = owner
        .request(Method::GET, NODES)
        .header("authorization", "Basic YTpi");
    assert_eq!(owner.send(request).await.status, StatusCode::OK);
    // Who asks with both is nobody in particular.
    let header = format!("Bearer {good}");
    let request = owner
        .request(Method::GET, NODES)
        .header("authorization", header);
    let both = owner.send(request).await;
    assert_eq!(both.error(), "invalid_request", "{}", both.text);
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
}

/// The id of one that there is, with the secret of another, and a checksum that fits.
fn with_secret_of(key: &str, other: &str) -> String {
    let mut text = format!("{}{}", &key[..26], &other[26..69]);
    text.push_str(&checksum(&text));
    text
}

/// With another last character of the secret.
fn flipped(key: &str) -> String {
    let other = if key.as_bytes()[68] == b'0' { "1" } else { "0" };
    format!("{}{other}{}", &key[..68], &key[69..])
}

/// The checksum of a key, by the rule that is written down.
fn checksum(text: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    let mut rest = !crc;
    let mut digits = [0_u8; 6];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    String::from_utf8(digits.to_vec()).expect("text")
}

#[tokio::test]
async fn keys_that_do_not_work_are_limited_by_network_and_those_that_do_are_not() {
    let http = HttpSettings {
        key_failures_per_minute: 3,
        ..HttpSettings::default()
    };
    let clock = Clock::manual(NOW_MS);
    let server = Server::start_at(Settings::default(), http, clock).await;
    let mut owner = server.signed_in("o@example.com", &[Role::Operator]).await;
    let (id, program) = make(&server, &mut owner, wish(&["nodes.read"])).await;
    let (_, fresh) = make(&server, &mut owner, wish(&["nodes.read"])).await;
    let (revoked_id, revoked) = make(&server, &mut owner, wish(&["nodes.read"])).await;
    assert_eq!(
        owner.delete(&at(&revoked_id)).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    // What its checksum finds asks nobody anything.
    let mistyped = Program {
        key: flipped(&program.key),
        ..program.clone()
    };
    for _ in 0..100 {
        assert_eq!(mistyped.get(NODES).await.error(), "unauthorized");
    }
    for _ in 0..3 {
        assert_eq!(revoked.get(NODES).await.error(), "unauthorized");
    }
    let limited = revoked.get(NODES).await;
    assert_eq!(limited.error(), "rate_limited", "{}", limited.text);
    assert!(!limited.header("retry-after").is_empty());
    assert_eq!(fresh.get(NODES).await.error(), "rate_limited");
    // One that was good a moment ago goes on, and so does whoever has a session.
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    let another = Program {
        key: with_secret_of(&program.key, &revoked.key),
        ..program.clone()
    };
    assert_eq!(another.get(NODES).await.error(), "rate_limited");
    assert_eq!(owner.get(NODES).await.status, StatusCode::OK);
    assert_eq!(owner.delete(&at(&id)).await.status, StatusCode::NO_CONTENT);
    // It is told once why, and is one of those that do not work from then on.
    assert_eq!(program.get(NODES).await.error(), "unauthorized");
    assert_eq!(program.get(NODES).await.error(), "rate_limited");
}

#[tokio::test]
async fn a_program_that_changes_too_much_leaves_its_owner_room_to_stop_it() {
    let http = HttpSettings {
        writes_per_minute: 5,
        ..HttpSettings::default()
    };
    let clock = Clock::manual(NOW_MS);
    let server = Server::start_at(Settings::default(), http, clock).await;
    let mut owner = server.signed_in("o@example.com", &[Role::Operator]).await;
    let (id, program) = make(&server, &mut owner, wish(&["enrolment.write"])).await;
    let mut last = StatusCode::CREATED;
    for _ in 0..10 {
        last = program.post(TOKENS, json!({})).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(owner.delete(&at(&id)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(
        program.post(TOKENS, json!({})).await.error(),
        "unauthorized"
    );
}

#[tokio::test]
async fn another_site_cannot_use_a_key_in_a_browser() {
    let (_server, _owner, _, program) = with_key(&["enrolment.write"]).await;
    let request = program.request(Method::POST, TOKENS).json(&json!({}));
    let answer = program
        .send(request.header("sec-fetch-site", "cross-site"))
        .await;
    assert_eq!(answer.error(), "invalid_csrf");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let asked = program.request(Method::OPTIONS, TOKENS);
    let asked = program
        .send(asked.header("origin", "https://evil.example"))
        .await;
    assert_eq!(asked.header("access-control-allow-origin"), "");
    assert_eq!(
        program.post(TOKENS, json!({})).await.status,
        StatusCode::CREATED
    );
}
