//! Every example exchange is used: a file that no test names proves nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};

/// Where tests that read exchanges are.
const TESTS: [&str; 3] = ["agent/core/tests", "agent/tests", "testkit/tests"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(dir: &Path, all: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_exchange_is_used_by_a_test() {
    let mut tests = String::new();
    for dir in TESTS {
        sources(&root().join(dir), &mut tests);
    }
    let mut unused = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("testkit/exchanges")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // The folder of odd exchanges is played as a whole.
        if name == "README.md" || name == "odd" {
            continue;
        }
        files += 1;
        if !tests.contains(&format!("\"{name}\"")) {
            unused.push(name);
        }
    }
    assert_eq!(unused, Vec::<String>::new());
    assert!(files >= 132, "{files} exchanges are left");
}
