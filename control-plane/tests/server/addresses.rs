//! Addresses: which parameters they take, who answers where nothing is, and which words no node may be called.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::{Answer, Browser, SECRET_FIELDS, Server, client};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::http::node::reserved;
use dgon_control_plane::http::openapi::document;
use dgon_protocol::frame::LINK_PATH;
use dgon_testkit::fleet::{Enrol, SimAgent};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Every operation of the document: method, path with its parts filled in, names of its query parameters.
fn operations() -> Vec<(Method, String, Vec<String>)> {
    let api = serde_json::to_value(document()).expect("document");
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        let path: Vec<&str> = path
            .split('/')
            .map(|part| if part.starts_with('{') { "none" } else { part })
            .collect();
        for (method, operation) in item.as_object().expect("path item") {
            let names = operation["parameters"].as_array().into_iter().flatten();
            let names = names
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().expect("a name").to_owned());
            let verb = Method::from_bytes(method.to_uppercase().as_bytes()).expect("method");
            found.push((verb, path.join("/"), names.collect()));
        }
    }
    found
}

fn assert_refused(answer: &Answer, parameter: &str, told: &str, call: &str) {
    assert_eq!(
        answer.status,
        StatusCode::BAD_REQUEST,
        "{call}: {}",
        answer.text
    );
    assert_eq!(answer.error(), "invalid_request", "{call}");
    assert_eq!(
        answer.json["error"]["details"]["parameter"], parameter,
        "{call}"
    );
    let message = answer.json["error"]["message"].as_str().expect("text");
    assert!(message.contains(told), "{call}: {message}");
}

#[tokio::test]
async fn every_address_refuses_the_parameters_that_it_does_not_take() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    let mut with_a_limit = 0;
    for (method, path, names) in operations() {
        // What an issuer says beside its answer is not read (RFC 6749, 4.1.2).
        if path.ends_with("/callback") {
            continue;
        }
        let call = format!("{method} {path}?colour=red");
        let request = browser.request(method.clone(), &format!("{path}?colour=red"));
        let told = match names.is_empty() {
            true => "takes none".to_owned(),
            false => names.join(", "),
        };
        assert_refused(&browser.send(request).await, "colour", &told, &call);
        if let Some(name) = names.first() {
            let twice = format!("{path}?{name}=1&{name}=1");
            assert_refused(&browser.get(&twice).await, name, "more than once", &twice);
        }
        if names.iter().any(|name| name == "limit") {
            with_a_limit += 1;
            for limit in ["0", "201", "-1", "x", "", "1.5"] {
                let path = format!("{path}?limit={limit}");
                assert_refused(&browser.get(&path).await, "limit", "from 1 to 200", &path);
            }
        }
    }
    let lists = "nodes, receipts, enrolment tokens, audit, users, orgs, API keys, assignments, pools, order keys";
    assert_eq!(with_a_limit, 10, "{lists}");
}

/// Parts of the database's files: what is written changes them, and what is read does not.
async fn written(server: &Server) -> [Vec<u8>; 2] {
    let inspect = server.state.app.store.inspect();
    let file = inspect.texts("SELECT file FROM pragma_database_list WHERE name = 'main'");
    let file = file.await.expect("file").remove(0).expect("a path");
    let log = std::fs::read(format!("{file}-wal")).expect("what was written last");
    [std::fs::read(file).expect("the database"), log]
}

/// Ids of what there is, for the parts of paths.
async fn objects(server: &Server, admin: &mut Browser) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let token = admin.post("/api/v1/enrolment-tokens", json!({})).await;
    let secret = text(&token.json["token"]);
    let http = client();
    let enrol = SimAgent::enrol(&http, &server.base, &secret, Enrol::default());
    let node_id = enrol.await.expect("a node").node_id.to_string();
    let on = json!({ "enabled": true });
    let set = admin.put("/api/v1/flags/enable_private_pools", on).await;
    assert!(set.status.is_success(), "{}", set.text);
    let wish = json!({ "org_id": "main", "name": "a-pool" });
    let pool = admin.post("/api/v1/pools", wish).await;
    assert_eq!(pool.status, StatusCode::CREATED, "{}", pool.text);
    let me = admin.get("/api/v1/users/me").await;
    vec![
        ("{node_id}", node_id),
        ("{pool_id}", text(&pool.json["pool_id"])),
        ("{user_id}", text(&me.json["user_id"])),
        ("{org_id}", "main".to_owned()),
    ]
}

#[tokio::test]
async fn whatever_is_asked_by_a_safe_method_changes_nothing() {
    let server = Server::start().await;
    let mut admin = server.signed_in("a@example.com", &[Role::Admin]).await;
    let objects = objects(&server, &mut admin).await;
    let before = written(&server).await;
    let api = serde_json::to_value(document()).expect("document");
    let mut found = 0;
    // Whether the database can be written, that one finds out by writing.
    let paths = api["paths"].as_object().expect("paths").keys();
    for path in paths.filter(|path| *path != "/readyz") {
        let mut path = path.clone();
        for (part, id) in &objects {
            path = path.replace(part, id);
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            let asked = admin.send(admin.request(method.clone(), &path)).await;
            assert!(!asked.status.is_server_error(), "{method} {path}");
            found += u32::from(method == Method::GET && asked.status.is_success());
            assert!(written(&server).await == before, "{method} {path} wrote");
        }
    }
    assert!(found >= 25, "{found} were read");
    // What changes something shows here.
    let body = json!({ "enabled": true });
    let set = admin.put("/api/v1/flags/public_receipts", body).await;
    assert!(set.status.is_success(), "{}", set.text);
    assert!(written(&server).await != before);
}

/// What the address of a request has as parameters, with its path.
fn parameters() -> Vec<(String, String)> {
    let api = serde_json::to_value(document()).expect("document");
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for operation in item.as_object().expect("path item").values() {
            let all = operation["parameters"].as_array().into_iter().flatten();
            let in_address = all.filter(|one| one["in"] == "query" || one["in"] == "path");
            let names = in_address.map(|one| one["name"].as_str().expect("a name").to_owned());
            found.extend(names.map(|name| (path.clone(), name)));
        }
    }
    found
}

#[test]
fn no_address_takes_a_secret() {
    let all = parameters();
    assert!(all.len() > 60, "{}", all.len());
    let secret = all
        .iter()
        .filter(|(_, name)| SECRET_FIELDS.contains(&name.as_str()));
    let secret: Vec<_> = secret.collect();
    // An issuer's answer, as its protocol has it: good once, in one browser.
    let [(path, name)] = secret.as_slice() else {
        panic!("{secret:?}")
    };
    assert!(
        path.ends_with("/callback") && name == "code",
        "{path} {name}"
    );
}

#[tokio::test]
#[should_panic(expected = "an address has a secret")]
async fn a_test_that_sends_a_secret_in_an_address_fails() {
    let server = Server::start().await;
    let mut browser = server.signed_in("a@example.com", &[Role::Viewer]).await;
    let token = browser.csrf.clone().expect("a token");
    browser.get(&format!("/api/v1/users/me?x={token}")).await;
}

#[tokio::test]
async fn a_name_that_is_nearly_right_is_told() {
    let server = Server::start().await;
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    for (path, like) in [
        ("/api/v1/receipts?node=a", "node_id"),
        ("/api/v1/receipts?model=a", "model_id"),
        ("/api/v1/receipts/aggregate?regoin=a", "region"),
        ("/api/v1/nodes?statsu=active", "status"),
    ] {
        let answer = admin.get(path).await;
        assert_eq!(answer.json["error"]["details"]["nearest"], like, "{path}");
    }
    // The sums have no pages: a limit that changed nothing would be a lie.
    let sums = admin.get("/api/v1/receipts/aggregate?limit=5").await;
    assert_refused(&sums, "limit", "takes q, request_id", "aggregate");
    for path in [
        "/api/v1/nodes?limit=200",
        "/api/v1/nodes?limit=1&q=&status=",
    ] {
        assert_eq!(admin.get(path).await.status, StatusCode::OK, "{path}");
    }
    // Pages of the console have queries of their own.
    assert_eq!(admin.get("/nodes?colour=red").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_the_network_does_not_know_yet_is_said_and_not_left_out() {
    let server = Server::start().await;
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    for name in ["reputation_min", "reputation_max", "green"] {
        let path = format!("/api/v1/nodes?{name}=1");
        let told = "this network does not know";
        assert_refused(&admin.get(&path).await, name, told, &path);
    }
    let sort = admin.get("/api/v1/nodes?sort=reputation").await;
    assert_refused(&sort, "sort", "one of id, status", "sort");
}

#[tokio::test]
async fn programs_that_call_nothing_get_no_page() {
    let server = Server::start().await;
    let mut browser = Browser::new(&server);
    for path in ["/v1", "/v1/", "/v1/models", "/v1/chat/completions?x=1"] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = browser.send(browser.request(method, path)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            let error = answer.json["error"].as_object().expect(path);
            let names: Vec<&str> = error.keys().map(String::as_str).collect();
            assert_eq!(names, ["code", "message", "param", "type"], "{path}");
            assert_eq!(error["type"], "invalid_request_error", "{path}");
            assert!(!answer.header("x-request-id").is_empty(), "{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
    }
    for path in [
        "/log",
        "/log/checkpoint",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v2/nodes",
        "/api/v1/nodes/a/b/c",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = browser.send(browser.request(method, path)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(answer.error(), "not_found", "{path}");
        }
    }
    let page = browser.get("/v1x").await;
    assert!(page.header("content-type").starts_with("text/html"));
}

#[test]
fn every_fixed_word_beside_node_ids_is_reserved() {
    let api: Value = serde_json::to_value(document()).expect("document");
    let paths = api["paths"].as_object().expect("paths");
    let words: BTreeSet<&str> = paths
        .keys()
        .map(String::as_str)
        .chain([LINK_PATH])
        .filter_map(|path| path.strip_prefix("/api/v1/nodes/")?.split('/').next())
        .filter(|word| !word.starts_with('{'))
        .collect();
    assert!(words.len() >= 6, "{words:?}");
    for word in words {
        assert!(
            reserved::WORDS.contains(&word),
            "{word} is an address under /api/v1/nodes/ and not in reserved::WORDS"
        );
    }
}

#[tokio::test]
async fn a_file_for_a_machine_with_a_reserved_name_is_refused() {
    let server = Server::start().await;
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    let path = "/api/v1/nodes/agent.yaml?node_id=Self";
    assert_refused(
        &admin.get(path).await,
        "node_id",
        "choose another name",
        path,
    );
}
