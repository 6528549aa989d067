//! Who may import whom inside the control plane, and which statement has one place. What a crate may import stands in
//! `crate_graph.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::path::{Path, PathBuf};

/// Parts of `control-plane/src`, and what none of their files may have.
const NEVER: [(&str, &[&str]); 9] = [
    ("socket", &["crate::"]),
    ("oidc", &["crate::"]),
    ("relay", &["crate::"]),
    ("gateway", &["crate::http", "crate::link", "crate::live"]),
    ("live", &["crate::http", "crate::link", "crate::ingest"]),
    (
        "ingest",
        &[
            "crate::http",
            "crate::link",
            "crate::live",
            "crate::accounts",
        ],
    ),
    ("app", &["crate::http", "crate::link", "crate::accounts"]),
    ("tasks", &["crate::http", "crate::link"]),
    ("accounts", &["crate::http", "crate::link", "crate::live"]),
];

/// Where tasks may begin on whatever thread they are begun from. Elsewhere it may be a socket's thread, which is for its
/// sockets: `App::runtime` is for what is everybody's.
const SPAWNING: [&str; 4] = ["cmd", "socket", "http/server.rs", "app/readiness.rs"];

fn source(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join(part)
}

/// All files under a place, with what stands in them before their tests.
fn files(place: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![place.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let inside = std::fs::read_dir(path).unwrap();
            open.extend(inside.map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests come last, in a module of their own.
            let tests = text
                .find("#[cfg(test)]\nmod ")
                .or_else(|| text.find("#[cfg(test)]\npub"));
            let text = text.get(..tests.unwrap_or(text.len())).unwrap_or_default();
            found.push((path, text.to_owned()));
        }
    }
    assert!(!found.is_empty(), "{} has no source", place.display());
    found
}

#[test]
fn modules_import_only_what_the_architecture_allows() {
    for (part, never) in NEVER {
        for (path, text) in files(&source("control-plane/src").join(part)) {
            for import in never {
                // Of several in braces nobody would see which.
                let of_it = |line: &&str| {
                    let is_code = !line.trim_start().starts_with("//");
                    is_code && (line.contains(import) || line.contains("crate::{"))
                };
                let line = text.lines().find(of_it);
                assert!(line.is_none(), "{}: {line:?}", path.display());
            }
        }
    }
}

#[test]
fn tasks_begin_where_no_socket_waits_for_them() {
    let root = source("control-plane/src");
    for (path, text) in files(&root) {
        let inside = path.strip_prefix(&root).unwrap();
        if SPAWNING.iter().any(|place| inside.starts_with(place)) {
            continue;
        }
        // What is spawned on a pool or a runtime with a name goes there.
        for begins in [
            "tokio::spawn",
            "task::spawn(",
            "task::spawn_local",
            "JoinSet",
            "current().spawn(",
        ] {
            assert!(
                !text.contains(begins),
                "{} begins a task on the thread that it is called on: {begins}",
                path.display()
            );
        }
    }
}

#[test]
fn receipts_go_by_retention_alone() {
    // It keeps the ends of chains that the last receipts say (view `chain_heads`).
    for (path, text) in files(&source("control-plane/store/src")) {
        let is_retention = path.ends_with("retention.rs");
        let deletes = text.contains("DELETE FROM receipts") || text.contains("\"DELETE FROM \"");
        assert!(
            is_retention || !deletes,
            "{} deletes receipts",
            path.display()
        );
    }
}
