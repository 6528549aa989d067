//! `docs/console.md` names everything that the lists and figures have, and only tests that there are.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use dgon_control_plane::accounts::FLAGS;
use dgon_control_plane::http::openapi::document;
use serde_json::Value;
use std::path::{Path, PathBuf};

const TABLE: &str = include_str!("../../../docs/console.md");

fn names(schema: &Value) -> Vec<String> {
    let own = schema["properties"].as_object().into_iter();
    let parts = schema["allOf"].as_array().into_iter().flatten();
    let parts = parts.filter_map(|part| part["properties"].as_object());
    let all = own.chain(parts).flat_map(serde_json::Map::keys);
    all.cloned().collect()
}

#[test]
fn every_parameter_column_figure_and_flag_has_a_row() {
    let api = serde_json::to_value(document()).expect("document");
    let mut wanted: Vec<String> = FLAGS.iter().map(|flag| flag.name.to_owned()).collect();
    for schema in [
        "Summary",
        "NodeRow",
        "NodeDetail",
        "ReceiptRow",
        "ReceiptAggregate",
    ] {
        let found = names(&api["components"]["schemas"][schema]);
        assert!(found.len() > 5, "{schema}: {found:?}");
        wanted.extend(found);
    }
    for path in [
        "/nodes",
        "/receipts",
        "/receipts/aggregate",
        "/nodes/agent.yaml",
    ] {
        let get = &api["paths"][format!("/api/v1{path}")]["get"]["parameters"];
        let parameters = get.as_array().expect("parameters").iter();
        wanted.extend(parameters.map(|one| one["name"].as_str().expect("a name").to_owned()));
    }
    for name in wanted {
        assert!(
            TABLE.contains(&format!("`{name}`")),
            "{name} has no row in docs/console.md"
        );
    }
}

/// All files of tests, as one text.
fn tests() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open: Vec<PathBuf> = [
        "control-plane/tests",
        "control-plane/store/tests",
        "testkit/tests",
        "web/test",
    ]
    .map(|folder| root.join(folder))
    .into();
    let mut all = String::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .expect("folder")
                    .map(|entry| entry.expect("entry").path()),
            );
        } else if path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "ts")
        {
            all.push_str(&std::fs::read_to_string(&path).expect("file"));
        }
    }
    all
}

#[test]
fn every_test_that_is_named_is_there() {
    let all = tests();
    let mut seen = 0;
    for name in TABLE
        .lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
    {
        let is_rust = name.split('_').count() > 4;
        let is_sentence = name.split(' ').count() > 3;
        if !is_rust && !is_sentence {
            continue;
        }
        seen += 1;
        let there = [format!("fn {name}("), format!("'{name}'")];
        assert!(
            there.iter().any(|text| all.contains(text)),
            "there is no test {name:?}"
        );
    }
    assert!(seen > 40, "{seen}");
}
