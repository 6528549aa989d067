//! The OpenAPI document: committed as generated, complete, and true about who may do what.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::{Browser, Server};
use dgon_control_plane::accounts::{Email, Role};
use dgon_control_plane::app::Settings;
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane::http::openapi::{document, document_text};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const COMMITTED: &str = include_str!("../../openapi.json");
const ACCESS: &str = include_str!("../golden/access.txt");

#[test]
fn the_committed_document_is_the_generated_one() {
    let generated = document_text().expect("document");
    assert!(
        generated == COMMITTED,
        "control-plane/openapi.json is not what the handlers say; run: cargo xtask openapi"
    );
}

#[test]
fn operations_have_names_summaries_and_the_error_body() {
    let api = serde_json::to_value(document()).expect("document");
    assert_eq!(api["openapi"], "3.1.0");
    let mut names = BTreeSet::new();
    for (path, method, operation) in operations(&api) {
        let name = operation["operationId"].as_str().unwrap_or_default();
        assert!(
            names.insert(name.to_owned()),
            "{method} {path}: {name:?} is not unique"
        );
        assert!(
            operation["summary"].is_string(),
            "{method} {path} has no summary"
        );
        assert!(operation["tags"].is_array(), "{method} {path} has no tag");
        let error = &operation["responses"]["default"]["content"]["application/json"]["schema"];
        assert_eq!(
            error["$ref"], "#/components/schemas/ErrorBody",
            "{method} {path}"
        );
    }
}

#[test]
fn every_route_of_the_source_is_in_the_document() {
    let api = serde_json::to_value(document()).expect("document");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut routes = BTreeSet::new();
    let mut open = vec![root];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let text = std::fs::read_to_string(&path).expect("file");
                let after = text.split(".route(").skip(1);
                routes.extend(after.filter_map(|rest| {
                    rest.trim_start()
                        .strip_prefix('"')?
                        .split('"')
                        .next()
                        .map(str::to_owned)
                }));
            }
        }
    }
    assert!(routes.len() > 15, "{routes:?}");
    for route in routes {
        assert!(
            api["paths"][&route].is_object(),
            "{route} is not in the document"
        );
    }
}

fn operations(api: &Value) -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("path item") {
            found.push((path.clone(), method.to_uppercase(), operation.clone()));
        }
    }
    found
}

/// A body that each route takes, so that what refuses the call is who calls.
fn body(path: &str) -> Value {
    match path {
        "/api/v1/auth/login" => json!({ "email": "a@example.com", "password": "wrong password" }),
        "/api/v1/auth/setup" => {
            json!({ "token": "x", "email": "a@example.com", "password": "long enough" })
        }
        "/api/v1/auth/redeem" => json!({ "token": "x" }),
        "/api/v1/flags/{name}" => json!({ "enabled": true }),
        "/api/v1/nodes/{node_id}/actions" => json!({ "action": "quarantine", "reason": "a test" }),
        _ => json!({}),
    }
}

/// One status per kind of caller, for every route of the document. What changes here changes who may do what.
#[tokio::test]
async fn every_route_answers_each_role_as_agreed() {
    let http = HttpSettings {
        sign_ins_per_minute: 10_000,
        ..HttpSettings::default()
    };
    let server = Server::start_with(Settings::default(), http).await;
    let roles = [Role::Viewer, Role::Consumer, Role::Operator, Role::Admin];
    for role in roles {
        server.user(&address(role), &[role]).await;
    }
    let api = serde_json::to_value(document()).expect("document");
    let mut lines = Vec::new();
    for (path, method, _) in operations(&api) {
        let mut line = format!(
            "{method} {path}: anonymous {}",
            call(&server, None, &method, &path).await
        );
        for role in roles {
            let status = call(&server, Some(role), &method, &path).await;
            line.push_str(&format!(", {} {status}", role.as_str()));
        }
        lines.push(line);
    }
    let actual = lines.join("\n") + "\n";
    assert!(
        actual == ACCESS,
        "tests/golden/access.txt says otherwise; now it is:\n{actual}"
    );
}

fn address(role: Role) -> String {
    format!("{}@example.com", role.as_str())
}

async fn call(server: &Server, role: Option<Role>, method: &str, path: &str) -> u16 {
    let mut browser = Browser::new(server);
    if let Some(role) = role {
        let email = Email::parse(&address(role)).expect("email");
        let link = server
            .state
            .accounts
            .sign_in_link(Some(&email))
            .await
            .expect("link");
        let signed_in = browser
            .post("/api/v1/auth/redeem", json!({ "token": link.token() }))
            .await;
        assert_eq!(signed_in.status, 200, "{}", signed_in.text);
    }
    let address: Vec<&str> = path
        .split('/')
        .map(|part| match part {
            "{name}" => "open_registration",
            part if part.starts_with('{') => "none",
            part => part,
        })
        .collect();
    let verb = Method::from_bytes(method.as_bytes()).expect("method");
    let mut request = browser.request(verb.clone(), &address.join("/"));
    if verb != Method::GET {
        request = request.json(&body(path));
    }
    browser.send(request).await.status.as_u16()
}
