//! API keys: made by people who may, used by programs for what their owner may, and dead at the next request once anything of
//! that is taken away. Which routes take which is `tests/console/network/access`.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{Answer, Browser, NOW_MS, PASSWORD, Server, client};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::http::HttpSettings;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

const KEYS: &str = "/api/v1/api-keys";
const NODES: &str = "/api/v1/nodes";
const TOKENS: &str = "/api/v1/enrolment-tokens";
const ALL_SCOPES: [&str; 4] = [
    "receipts.read",
    "nodes.read",
    "nodes.control",
    "enrolment.write",
];
const DAY_MS: i64 = 86_400_000;

/// What has no browser.
#[derive(Clone)]
struct Program {
    base: String,
    key: String,
}

impl Program {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = client().request(method, format!("{}{path}", self.base));
        request.header("authorization", format!("Bearer {}", self.key))
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::of(request.send().await.expect("response")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }
}

fn wish(scopes: &[&str]) -> Value {
    json!({ "name": "a program", "scopes": scopes })
}

async fn make(server: &Server, browser: &mut Browser, wish: Value) -> (String, Program) {
    let made = browser.post(KEYS, wish).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let key = made.json["key"].as_str().expect("a key").to_owned();
    let id = made.json["id"].as_str().expect("an id").to_owned();
    let base = server.base.clone();
    (id, Program { base, key })
}

async fn with_key(scopes: &[&str]) -> (Server, Browser, String, Program) {
    let server = Server::start().await;
    let mut owner = server.signed_in("o@example.com", &[Role::Operator]).await;
    let (id, program) = make(&server, &mut owner, wish(scopes)).await;
    (server, owner, id, program)
}

async fn admin(server: &Server) -> Browser {
    server.signed_in("admin@example.com", &[Role::Admin]).await
}

fn at(id: &str) -> String {
    format!("{KEYS}/{id}")
}

/// The id of the account of a browser.
async fn user_id(browser: &mut Browser) -> String {
    let me = browser.get("/api/v1/users/me").await;
    me.json["user_id"].as_str().expect("an id").to_owned()
}

/// The rows of the log about an object, the newest first.
async fn audit(admin: &mut Browser, filter: &str) -> Vec<Value> {
    let log = admin.get(&format!("/api/v1/audit?{filter}")).await;
    log.json["items"].as_array().expect("items").clone()
}

#[tokio::test]
async fn a_key_is_shown_once_and_acts_for_its_owner() {
    let (server, mut owner, ..) = with_key(&["receipts.read"]).await;
    let wish = json!({
        "name": "  night job ", "scopes": ["nodes.read", "enrolment.write"], "models": ["b", "a"],
        "budget_nano_usd": "9223372036854775807", "days": 2,
    });
    server.clock.advance(1_000);
    let made = owner.post(KEYS, wish).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let mut expected = made.json.clone();
    let key = expected.as_object_mut().expect("a key").remove("key");
    let key = key.expect("a key").as_str().expect("text").to_owned();
    assert_eq!(key.len(), 75);
    assert!(key.starts_with(made.json["prefix"].as_str().expect("a prefix")));
    for (field, value) in [
        ("name", json!("night job")),
        ("org_id", json!("main")),
        ("scopes", json!(["nodes.read", "enrolment.write"])),
        ("models", json!(["a", "b"])),
        ("budget_nano_usd", json!("9223372036854775807")),
        ("state", json!("active")),
        ("last_used_at", Value::Null),
    ] {
        assert_eq!(expected[field], value, "{field}");
    }
    let listed = owner.get(KEYS).await;
    let items = listed.json["items"].as_array().expect("items");
    assert_eq!((items.len(), &items[0]), (2, &expected));
    assert!(
        !listed.text.contains(&key[26..]),
        "the secret is shown once"
    );
    let program = Program {
        base: server.base.clone(),
        key,
    };
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    let own = program.get("/api/v1/nodes?owner=self").await;
    assert_eq!(own.status, StatusCode::OK, "{}", own.text);
    let head = program.request(Method::HEAD, NODES).send().await;
    assert_eq!(head.expect("an answer").status(), StatusCode::OK);

    let lacks = program.get("/api/v1/receipts").await;
    assert_eq!(
        (lacks.status, lacks.error()),
        (StatusCode::FORBIDDEN, "forbidden")
    );
    assert_eq!(lacks.json["error"]["details"]["scope"], "receipts.read");
    for (method, path) in [
        (Method::GET, "/api/v1/users/me"),
        (Method::GET, KEYS),
        (Method::POST, KEYS),
        (Method::DELETE, "/api/v1/sessions"),
        (Method::POST, "/api/v1/auth/logout"),
        (Method::GET, "/api/v1/summary"),
        (Method::GET, "/api/v1/live"),
        (Method::DELETE, NODES),
    ] {
        let answer = program.send(program.request(method.clone(), path)).await;
        assert_eq!(
            answer.error(),
            "forbidden",
            "{method} {path}: {}",
            answer.text
        );
        let takes = &answer.json["error"]["details"]["takes"];
        assert_eq!(takes, "person", "{method} {path}");
    }
    assert_eq!(program.get("/api/v1/nowhere").await.error(), "not_found");
}

#[tokio::test]
async fn a_key_is_made_soon_after_signing_in_by_who_may_do_what_it_may() {
    let server = Server::start().await;
    let mut owner = server.signed_in("o@example.com", &[Role::Operator]).await;
    let with = |field: &str, value: Value| {
        let mut wish = wish(&["nodes.read"]);
        wish[field] = value;
        wish
    };
    let models: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    for (field, value) in [
        ("name", json!(" ")),
        ("name", json!("x".repeat(65))),
        ("name", json!("a\u{202e}b")),
        ("scopes", json!([])),
        ("scopes", json!(["nodes.paint"])),
        ("scopes", json!(["nodes.read", "nodes.read"])),
        ("models", json!([])),
        ("models", json!([""])),
        ("models", json!(models)),
        ("budget_nano_usd", json!("9223372036854775808")),
        ("budget_nano_usd", json!("-1")),
        ("budget_nano_usd", json!("1.5")),
        ("days", json!(0)),
        ("days", json!(367)),
    ] {
        let refused = owner.post(KEYS, with(field, value.clone())).await;
        assert_eq!(refused.error(), "invalid_request", "{field} {value}");
        let named = &refused.json["error"]["details"]["field"];
        assert_eq!(named, field, "{value}: {}", refused.text);
    }
    for wrong in [with("days", json!("2")), with("user_id", json!("u"))] {
        assert_eq!(owner.post(KEYS, wrong).await.error(), "invalid_request");
    }
    let refused = owner.post(KEYS, wish(&["nodes.read", "gateway"])).await;
    assert_eq!(refused.error(), "forbidden", "{}", refused.text);
    assert_eq!(refused.json["error"]["details"]["scope"], "gateway");
    assert!(
        refused.text.contains("the role consumer"),
        "{}",
        refused.text
    );
    let mut viewer = server.signed_in("v@example.com", &[Role::Viewer]).await;
    assert_eq!(
        viewer.post(KEYS, wish(&["receipts.read"])).await.error(),
        "forbidden"
    );

    let csrf = owner.csrf.take();
    assert_eq!(
        owner.post(KEYS, wish(&["nodes.read"])).await.error(),
        "invalid_csrf"
    );
    owner.csrf = csrf;
    server.clock.advance(15 * 60_000);
    // However often its tokens were renewed, the sign-in is as old as it is.
    let refreshed = owner.post("/api/v1/auth/refresh", Value::Null).await;
    assert_eq!(refreshed.status, StatusCode::OK);
    make(&server, &mut owner, wish(&["nodes.read"])).await;
    server.clock.advance(1);
    let stale = owner.post(KEYS, wish(&["nodes.read"])).await;
    assert_eq!(stale.error(), "forbidden", "{}", stale.text);
    assert_eq!(stale.json["error"]["details"]["sign_in"], "again");
    let listed = owner.get(KEYS).await;
    assert_eq!(listed.json["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_account_makes_so_many_keys_in_an_hour() {
    let (server, mut owner, ..) = with_key(&["nodes.read"]).await;
    for _ in 1..20 {
        make(&server, &mut owner, wish(&["nodes.read"])).await;
    }
    let refused = owner.post(KEYS, wish(&["nodes.read"])).await;
    assert_eq!(refused.error(), "rate_limited", "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
    let mut other = server.signed_in("p@example.com", &[Role::Operator]).await;
    make(&server, &mut other, wish(&["nodes.read"])).await;
}

#[tokio::test]
async fn a_list_of_keys_is_read_in_pages() {
    let (server, mut owner, first, _) = with_key(&["nodes.read"]).await;
    let mut made = vec![first];
    for _ in 0..4 {
        server.clock.advance(1);
        made.push(make(&server, &mut owner, wish(&["nodes.read"])).await.0);
    }
    made.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner.get(&format!("{KEYS}?limit=2&cursor={cursor}")).await;
        let items = page.json["items"].as_array().expect("items");
        seen.extend(
            items
                .iter()
                .map(|item| item["id"].as_str().expect("an id").to_owned()),
        );
        match page.json["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, made);
}

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
async fn a_key_is_dead_at_the_next_request_whatever_it_lost() {
    let server = Server::start().await;
    let mut admin = admin(&server).await;
    let org = admin.post("/api/v1/orgs", json!({ "name": "North" })).await;
    let org_id = org.json["org_id"].as_str().expect("an id").to_owned();
    for how in [
        "revoked",
        "revoked by an admin",
        "expired",
        "disabled",
        "taken out",
        "viewer",
        "closed",
    ] {
        let email = format!("{}@example.com", how.replace(' ', "."));
        let user_id = server.user_of(&org_id, &email, &[Role::Operator]).await;
        let mut owner = server.sign_in(&email).await;
        let (id, program) = make(&server, &mut owner, wish(&["nodes.read"])).await;
        assert_eq!(program.get(NODES).await.status, StatusCode::OK, "{how}");
        let user = format!("/api/v1/users/{user_id}");
        let membership = format!("{user}/memberships/{org_id}");
        let done = match how {
            "revoked" => owner.delete(&at(&id)).await,
            "revoked by an admin" => admin.delete(&at(&id)).await,
            "expired" => {
                server.clock.advance(30 * DAY_MS - 1);
                assert_eq!(program.get(NODES).await.status, StatusCode::OK);
                server.clock.advance(1);
                admin = server.sign_in("admin@example.com").await;
                admin.get("/api/v1/users/me").await
            }
            "disabled" => {
                admin
                    .patch(&user, json!({ "disabled": true, "reason": "test" }))
                    .await
            }
            "taken out" => admin.delete(&membership).await,
            "viewer" => admin.put(&membership, json!({ "roles": ["viewer"] })).await,
            _ => {
                let close = format!("/api/v1/orgs/{org_id}/close");
                admin.post(&close, json!({ "reason": "test" })).await
            }
        };
        assert!(done.status.is_success(), "{how}: {}", done.text);
        let answer = program.get(NODES).await;
        assert_eq!(answer.error(), "unauthorized", "{how}: {}", answer.text);
        // What was taken away does not come back with the rights.
        let back = match how {
            "disabled" => admin.patch(&user, json!({ "disabled": false })).await,
            "taken out" | "viewer" => {
                admin
                    .put(&membership, json!({ "roles": ["operator"] }))
                    .await
            }
            _ => continue,
        };
        assert!(back.status.is_success(), "{how}: {}", back.text);
        assert_eq!(program.get(NODES).await.error(), "unauthorized", "{how}");
        let listed = admin.get(&format!("{KEYS}?user_id={user_id}")).await;
        assert_eq!(listed.json["items"][0]["state"], "revoked", "{how}");
        let object = format!("object=user:{user_id}&limit=1");
        server.clock.advance(1);
        let _ = audit(&mut admin, &object).await;
    }
    let states = async |browser: &mut Browser| {
        let listed = browser.get(KEYS).await;
        listed.json["items"][0]["state"].clone()
    };
    for (email, state) in [
        ("revoked@example.com", "revoked"),
        ("expired@example.com", "expired"),
        ("closed@example.com", "closed"),
    ] {
        let mut owner = server.sign_in(email).await;
        assert_eq!(states(&mut owner).await, state, "{email}");
    }
}

#[tokio::test]
async fn a_key_keeps_what_its_owner_keeps() {
    let server = Server::start().await;
    let mut admin = admin(&server).await;
    let roles = [Role::Operator, Role::Consumer];
    let mut owner = server.signed_in("o@example.com", &roles).await;
    let user_id = user_id(&mut owner).await;
    let (_, program) = make(&server, &mut owner, wish(&["gateway", "nodes.read"])).await;
    let membership = format!("/api/v1/users/{user_id}/memberships/main");
    let set = admin
        .put(&membership, json!({ "roles": ["consumer"] }))
        .await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let lost = program.get(NODES).await;
    assert_eq!(
        (lost.status, lost.error()),
        (StatusCode::FORBIDDEN, "forbidden")
    );
    assert!(
        lost.text.contains("the owner of this API key"),
        "{}",
        lost.text
    );
    assert_eq!(owner.get(KEYS).await.json["items"][0]["state"], "active");
}

#[tokio::test]
async fn a_key_acts_for_the_organisation_that_it_was_made_for() {
    let server = Server::start().await;
    let mut admin = admin(&server).await;
    let org = admin.post("/api/v1/orgs", json!({ "name": "North" })).await;
    let org_id = org.json["org_id"].as_str().expect("an id").to_owned();
    let mut owner = server.signed_in("o@example.com", &[Role::Operator]).await;
    let user_id = user_id(&mut owner).await;
    let membership = format!("/api/v1/users/{user_id}/memberships/{org_id}");
    let set = admin
        .put(&membership, json!({ "roles": ["operator"] }))
        .await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let act = json!({ "org_id": org_id });
    assert_eq!(
        owner.post("/api/v1/auth/organisation", act).await.status,
        StatusCode::OK
    );
    let (_, north) = make(&server, &mut owner, wish(&["enrolment.write"])).await;
    // For which one the owner acts later is nothing to the key.
    let act = json!({ "org_id": "main" });
    assert_eq!(
        owner.post("/api/v1/auth/organisation", act).await.status,
        StatusCode::OK
    );
    let (_, main) = make(&server, &mut owner, wish(&["enrolment.write"])).await;
    // An admin's key is an operator's of one organisation.
    let (_, admins) = make(&server, &mut admin, wish(&ALL_SCOPES)).await;
    for (program, label) in [(&north, "north"), (&main, "main"), (&admins, "admins")] {
        let made = program.post(TOKENS, json!({ "label": label })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{label}: {}", made.text);
    }
    let labels = |listed: &Answer| {
        let items = listed.json["items"].as_array().expect("items").iter();
        let mut labels: Vec<String> = items
            .map(|item| item["label"].as_str().expect("a label").to_owned())
            .collect();
        labels.sort();
        labels
    };
    assert_eq!(labels(&owner.get(TOKENS).await), ["admins", "main"]);
    let act = json!({ "org_id": org_id });
    assert_eq!(
        owner.post("/api/v1/auth/organisation", act).await.status,
        StatusCode::OK
    );
    assert_eq!(labels(&owner.get(TOKENS).await), ["north"]);
    let keys = owner.get(KEYS).await;
    let names: Vec<&Value> = keys.json["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|key| &key["org_name"])
        .collect();
    assert!(
        names.contains(&&json!("North")) && names.contains(&&json!("main")),
        "{names:?}"
    );
}

#[tokio::test]
async fn what_a_key_makes_is_its_owners_and_ends_with_the_key() {
    let (server, mut owner, id, program) = with_key(&["enrolment.write"]).await;
    let mut admin = admin(&server).await;
    let user_id = user_id(&mut owner).await;
    let made = program.post(TOKENS, json!({ "label": "by a key" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let by_hand = owner.post(TOKENS, json!({ "label": "by hand" })).await;
    assert_eq!(by_hand.status, StatusCode::CREATED);
    let token_id = made.json["id"].as_str().expect("an id");
    assert_eq!(made.json["created_by"], format!("user:{user_id}"));
    let row = &audit(&mut admin, &format!("object=enrolment_token:{token_id}")).await[0];
    assert_eq!(row["actor"], format!("key:{id}"));
    assert_eq!(row["action"], "enrolment_token.create");
    let owner_of = &row["after"]["created_by"];
    assert_eq!(owner_of, &json!(format!("user:{user_id}")), "{row}");

    server.clock.advance(1);
    assert_eq!(owner.delete(&at(&id)).await.status, StatusCode::NO_CONTENT);
    // Twice is no fault, and one row.
    assert_eq!(owner.delete(&at(&id)).await.status, StatusCode::NO_CONTENT);
    let tokens = owner.get(TOKENS).await;
    for token in tokens.json["items"].as_array().expect("items") {
        let is_revoked = token["revoked_at"].is_string();
        assert_eq!(is_revoked, token["label"] == "by a key", "{token}");
    }
    let rows = audit(&mut admin, &format!("object=key:{id}")).await;
    let actions: Vec<&Value> = rows.iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["key.revoke", "key.create"]);
    assert_eq!(rows[0]["before"]["is_revoked"], false);
    assert_eq!(rows[0]["after"]["is_revoked"], true);
    assert_eq!(rows[0]["after"]["ended"]["enrolment_tokens"], 1);
    assert_eq!(rows[1]["after"]["scopes"], "enrolment.write");
    assert_eq!(rows[1]["actor"], format!("user:{user_id}"));
    let all = admin.get("/api/v1/audit?limit=200").await;
    assert!(
        !all.text.contains(&program.key[26..40]),
        "no secret in the log"
    );
}

#[tokio::test]
async fn an_admin_sees_and_revokes_anybodys_keys_and_nobody_else_does() {
    let (server, mut owner, id, program) = with_key(&["nodes.read"]).await;
    let user_id = user_id(&mut owner).await;
    let theirs = format!("{KEYS}?user_id={user_id}");
    let mut other = server.signed_in("p@example.com", &[Role::Operator]).await;
    assert_eq!(other.get(&theirs).await.error(), "forbidden");
    assert_eq!(other.get(KEYS).await.json["items"], json!([]));
    for unknown in [at(&id), at("unknown"), at("%20")] {
        assert_eq!(
            other.delete(&unknown).await.error(),
            "not_found",
            "{unknown}"
        );
    }
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    assert_eq!(owner.get(&theirs).await.json["items"][0]["id"], json!(id));
    let mut admin = admin(&server).await;
    assert_eq!(admin.get(KEYS).await.json["items"], json!([]));
    assert_eq!(admin.get(&theirs).await.json["items"][0]["id"], json!(id));
    assert_eq!(admin.delete(&at(&id)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(program.get(NODES).await.error(), "unauthorized");
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

#[tokio::test]
async fn it_is_noted_once_a_minute_when_a_key_was_used() {
    let (server, mut owner, _, program) = with_key(&["nodes.read"]).await;
    let start = dgon_control_plane::app::views::time(NOW_MS);
    assert_eq!(used(&server, &mut owner).await["last_used_at"], Value::Null);
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    let first = used(&server, &mut owner).await;
    assert_eq!(first["last_used_at"], json!(start));
    assert_eq!(first["last_used_ip"], "127.0.0.1");
    server.clock.advance(59_999);
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    assert_eq!(used(&server, &mut owner).await, first);
    server.clock.advance(1);
    // One that is refused for what it asks was used all the same.
    let refused = program.get("/api/v1/users/me").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let later = dgon_control_plane::app::views::time(NOW_MS + 60_000);
    let second = used(&server, &mut owner).await;
    assert_eq!(second["last_used_at"], json!(later));
}

/// The key, once its uses are written.
async fn used(server: &Server, owner: &mut Browser) -> Value {
    server.state.app.key_uses_write().await.expect("written");
    owner.get(KEYS).await.json["items"][0].clone()
}

#[tokio::test]
async fn a_key_outlasts_the_password_and_the_sign_in_that_made_it() {
    let (server, mut owner, _, program) = with_key(&["nodes.read"]).await;
    let changed = json!({ "current": PASSWORD, "password": "another long password" });
    let set = owner.put("/api/v1/users/me/password", changed).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{}", set.text);
    let out = owner.post("/api/v1/auth/logout", Value::Null).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    drop(server);
}
