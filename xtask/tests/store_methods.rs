//! The store has nothing that only tests call: a table that no server writes looks well in every test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::path::{Path, PathBuf};

/// What the server uses of the store.
const TYPES: [&str; 2] = ["impl Store {", "impl IngestTx {"];

fn sources(dir: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut found, mut open) = (Vec::new(), vec![root.join(dir)]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// Names of the public methods in the blocks of [`TYPES`].
fn methods(source: &str) -> Vec<String> {
    let (mut names, mut inside) = (Vec::new(), false);
    for line in source.lines() {
        if line.starts_with("impl") {
            inside = TYPES.contains(&line);
        } else if line == "}" {
            inside = false;
        }
        let signature = line
            .strip_prefix("    pub async fn ")
            .or_else(|| line.strip_prefix("    pub fn "));
        if let Some((name, _)) = signature
            .filter(|_| inside)
            .and_then(|rest| rest.split_once('('))
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn the_server_calls_every_public_method_of_the_store() {
    let server: String = sources("control-plane/src")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let mut count = 0;
    for (path, text) in sources("control-plane/store/src") {
        if path.ends_with("inspect.rs") {
            continue;
        }
        for name in methods(&text) {
            count += 1;
            assert!(
                server.contains(&format!(".{name}("))
                    || server.contains(&format!("Store::{name}(")),
                "no part of the control plane calls `{name}` of {}: call it, remove it, or move it to inspect.rs if \
                 only tests need it",
                path.display()
            );
        }
    }
    assert!(count > 50, "the methods were not found: {count}");
}

#[test]
fn the_server_does_not_look_behind_its_own_back() {
    for (path, text) in sources("control-plane/src") {
        assert!(
            !text.contains(".inspect()"),
            "{} is not a test",
            path.display()
        );
    }
}
