//! The OpenAPI document: committed as generated, and complete. Who may do what is `tests/console/network/access`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use dgon_control_plane::http::openapi::{document, document_text};
use dgon_protocol::error::ErrorType;
use serde_json::Value;
use std::collections::BTreeSet;

const COMMITTED: &str = include_str!("../../openapi.json");

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
    }
}

/// Readiness says in its own shape what fails, and is refused in that of all.
const OWN_ERROR: (&str, &str) = ("/readyz", "503");

#[test]
fn every_error_is_written_down_with_its_body() {
    let api = serde_json::to_value(document()).expect("document");
    for (path, method, operation) in operations(&api) {
        let responses = operation["responses"].as_object().expect("responses");
        assert!(!responses.contains_key("default"), "{method} {path}");
        let is_api = path.starts_with("/api/");
        let is_change = method != "GET";
        for (status, is_wanted) in [
            ("400", true),
            ("401", is_api),
            ("403", is_api),
            ("404", path.contains('{')),
            ("413", operation["requestBody"].is_object()),
            ("429", is_api),
            ("503", true),
        ] {
            let is_there = responses.contains_key(status);
            assert!(
                is_there || !is_wanted,
                "{method} {path} does not tell of {status}"
            );
        }
        let forbidden = responses
            .get("403")
            .map(|told| told["description"].to_string());
        if is_api && is_change {
            let told = forbidden.unwrap_or_default();
            assert!(told.contains("invalid_csrf"), "{method} {path}: {told}");
        }
        for (status, response) in responses {
            if status.as_str() < "400" {
                continue;
            }
            let mut schema = &response["content"]["application/json"]["schema"];
            if (path.as_str(), status.as_str()) == OWN_ERROR {
                schema = &schema["oneOf"][1];
            }
            assert_eq!(
                schema["$ref"], "#/components/schemas/ErrorBody",
                "{method} {path} {status}"
            );
        }
    }
}

#[test]
fn every_word_that_a_handler_quotes_of_its_errors_is_a_type_that_its_statuses_tell() {
    let api = serde_json::to_value(document()).expect("document");
    let mut seen = 0;
    for (path, method, operation) in operations(&api) {
        let description = operation["description"].as_str().unwrap_or_default();
        let Some((_, errors)) = description.split_once("# Errors") else {
            continue;
        };
        let responses = operation["responses"].as_object().expect("responses");
        let told = |status: &str| {
            responses
                .get(status)
                .map(|of| of["description"].to_string())
        };
        for quoted in errors.split('`').skip(1).step_by(2) {
            let known = ErrorType::ALL.iter().find(|kind| kind.as_str() == quoted);
            assert!(
                known.is_some(),
                "{method} {path}: `{quoted}` under `# Errors` is no type of error"
            );
            if known == Some(&ErrorType::Internal) {
                continue;
            }
            let statuses = responses.keys().filter(|status| status.as_str() >= "400");
            let telling = statuses.filter_map(|status| told(status));
            let tells = |text: String| text.contains(&format!("`{quoted}`"));
            assert!(
                telling.into_iter().any(tells),
                "{method} {path}: no status tells of `{quoted}`"
            );
            seen += 1;
        }
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn nodes_are_not_told_of_sessions() {
    let api = serde_json::to_value(document()).expect("document");
    let mut seen = 0;
    for (path, method, operation) in operations(&api) {
        if operation["tags"][0] != "node" {
            continue;
        }
        seen += 1;
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let told = response["description"].as_str().expect("a description");
            assert!(
                !told.contains("session"),
                "{method} {path} {status}: {told}"
            );
        }
        let is_enrolment = path.starts_with("/api/v1/nodes/register");
        let refused = operation["responses"]["401"]["description"].to_string();
        assert_eq!(
            !is_enrolment,
            refused.contains("headers of the node"),
            "{method} {path}: {refused}"
        );
    }
    assert_eq!(seen, 8);
}

/// What is any JSON because it is: facts of errors and of the audit log, settings and work that the protocol leaves open,
/// and the document itself.
const FREE: [&str; 8] = [
    "/schemas/ErrorDetail/properties/details",
    "/schemas/OpenApiDocument/",
    "/schemas/AuditEntryView/",
    "/schemas/link.Issue/properties/params",
    "/schemas/link.Welcome/properties/flags",
    "/schemas/link.Control/",
    "/schemas/link.Job/properties/spec",
    "/schemas/link.JobResult/properties/output",
];

#[test]
fn every_body_has_a_type() {
    let api = serde_json::to_value(document()).expect("document");
    let mut open = vec![(String::new(), &api["paths"])];
    open.push(("/schemas".to_owned(), &api["components"]["schemas"]));
    let mut bare = Vec::new();
    while let Some((at, value)) = open.pop() {
        if let Some(object) = value.as_object() {
            let is_object = value["type"] == "object"
                || value["type"]
                    .as_array()
                    .is_some_and(|types| types.contains(&"object".into()));
            let says_more = ["properties", "allOf", "oneOf", "$ref"]
                .iter()
                .any(|word| object.contains_key(*word))
                // A map, whose values have a type.
                || value["additionalProperties"]["type"].is_string();
            let is_schema =
                at.ends_with("/schema") || at.ends_with("/items") || at.contains("/properties/");
            if (is_object && !says_more) || (is_schema && object.is_empty()) {
                bare.push(at.clone());
            }
            open.extend(
                object
                    .iter()
                    .map(|(name, inner)| (format!("{at}/{name}"), inner)),
            );
        } else if let Some(items) = value.as_array() {
            let items = items.iter().enumerate();
            open.extend(items.map(|(n, inner)| (format!("{at}/{n}"), inner)));
        }
    }
    bare.retain(|at| !FREE.iter().any(|free| at.contains(free)));
    assert!(bare.is_empty(), "{bare:#?}");
    for (path, method, operation) in operations(&api) {
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let is_empty = ["101", "204", "303"].contains(&status.as_str());
            let content = response["content"].as_object();
            assert_eq!(content.is_none(), is_empty, "{method} {path} {status}");
            for (kind, content) in content.into_iter().flatten() {
                assert!(
                    content["schema"].is_object(),
                    "{method} {path} {status} {kind}"
                );
            }
        }
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
