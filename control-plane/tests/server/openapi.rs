//! The OpenAPI document: committed as generated, and complete. Who may do what is `tests/console/network/access`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use dgon_control_plane::http::openapi::{document, document_text};
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
