//! Rules for the files themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::path::{Path, PathBuf};

/// Lines that a source file may have.
const MAX_LINES: usize = 800;
/// Built, downloaded or made at run time.
const SKIPPED: [&str; 6] = [
    "target",
    "node_modules",
    "dist",
    ".git",
    "__generated__",
    "data",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn files(extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    open.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|e| extensions.contains(&e.to_string_lossy().as_ref()))
            {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn source_files_stay_readable() {
    for path in files(&["rs", "ts", "tsx", "css"]) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines <= MAX_LINES,
            "{} has {lines} lines; split it by concept",
            path.display()
        );
    }
}

#[test]
fn every_rust_module_says_what_it_owns() {
    for path in files(&["rs"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("//!"),
            "{} does not open with //!",
            path.display()
        );
    }
}

#[test]
fn nothing_unfinished_is_left_behind() {
    // Spelled apart so that this file does not find itself.
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["todo", "!("].concat(),
        ["unimple", "mented!("].concat(),
        ["test", ".only"].concat(),
    ];
    for path in files(&["rs", "ts", "tsx"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for mark in &marks {
            assert!(
                !text.contains(mark.as_str()),
                "{} has {mark}",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_kept_alive_by_forgetting_it() {
    // What is forgotten is never dropped: a process that its handle should end outlives the tests. Spelled apart so
    // that this file does not find itself.
    let mark = ["mem::", "forget("].concat();
    for path in files(&["rs"]) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            !text.contains(mark.as_str()),
            "{} has {mark}): give it an owner that lives as long",
            path.display()
        );
    }
}

#[test]
fn lock_files_name_no_download_address() {
    // A new tree may have no lock file yet, so this looks for none.
    for path in files(&["json", "rs"]) {
        if path
            .file_name()
            .is_some_and(|name| name == "package-lock.json")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                !text.contains("\"resolved\""),
                "{} names download addresses; write it with omit-lockfile-registry-resolved",
                path.display()
            );
        }
    }
}
