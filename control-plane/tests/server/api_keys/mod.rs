//! API keys: made by people who may, used by programs for what their owner may, and dead at the next request once anything of
//! that is taken away. Which routes take which is `tests/console/network/access`.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

mod ended;
mod refused;

use crate::support::{Answer, Browser, NOW_MS, Server, client};
use dgon_control_plane::accounts::Role;
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
