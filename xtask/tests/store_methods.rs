//! What the server may ask of the store.
//!
//! The store has nothing that only tests call: a table that no server writes looks well in every test. Every question
//! says on whose behalf it is asked, so that a check which somebody forgot does not compile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::path::{Path, PathBuf};

/// What the server uses of the store.
const TYPES: [&str; 2] = ["impl Store {", "impl IngestTx {"];

/// Methods that nobody asks anything by, so that they take no scope.
const NOBODY: [(&str, &str); 7] = [
    ("open", "opens the database"),
    ("migrate", "the schema, no rows"),
    ("is_migrated", "the schema, no rows"),
    ("ping", "no rows"),
    ("may_be_remembered", "which database it is"),
    ("close", "closes the database"),
    ("serve_lock", "no rows"),
];

/// Where the server may ask for itself, and why nobody's request gets there unchecked. Handlers (`http`) and what browsers
/// hear (`live`) are not among them, nor are `app/queries`, which answer people: they ask with the scope of who asks.
const OF_THE_SERVER: [(&str, &str); 16] = [
    ("tasks/", "what the server does by its clock"),
    ("ingest/", "receipts, after their signature was judged"),
    ("link/", "sessions of nodes, after the handshake"),
    (
        "cmd/",
        "the command line, for who may read the data directory",
    ),
    ("app/audit.rs", "the chain of the log, in which nobody is"),
    ("app/enrolment.rs", "nodes, whose token or key was judged"),
    (
        "app/key_uses.rs",
        "when API keys were used, each after it was judged",
    ),
    (
        "app/lifecycle.rs",
        "what the server itself decides of nodes",
    ),
    ("app/mod.rs", "what is loaded at the start"),
    ("app/nodes.rs", "nodes that prove who they are"),
    (
        "app/open_minutes.rs",
        "receipts that are not in the sums yet, and the day of each node; people ask with their scope",
    ),
    (
        "app/queries/summary.rs",
        "how many nodes the whole network has, which everybody is told",
    ),
    (
        "app/order_keys.rs",
        "keys of work orders, which are the process's own; the public halves are everybody's",
    ),
    ("app/readiness.rs", "whether the database can be written"),
    (
        "accounts/",
        "sign-in, where nobody is known yet, and an admin's scope",
    ),
    (
        "live/hub.rs",
        "reads once for all sessions; each is told what is in its scope",
    ),
];

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
    methods_of(source, &TYPES)
}

fn methods_of(source: &str, types: &[&str]) -> Vec<String> {
    let (mut names, mut inside) = (Vec::new(), false);
    for line in source.lines() {
        if line.starts_with("impl") {
            inside = types.contains(&line);
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

/// Name and parameters of the public methods of `Store`.
fn signatures(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in methods_of(source, &TYPES[..1]) {
        let after = source.split_once(&format!("fn {name}("));
        let parameters = after.and_then(|(_, rest)| rest.split_once(") "));
        found.push((
            name,
            parameters.map_or_else(String::new, |(text, _)| text.to_owned()),
        ));
    }
    found
}

#[test]
fn every_question_to_the_store_says_for_whom() {
    let mut seen = Vec::new();
    for (path, text) in sources("control-plane/store/src") {
        if path.ends_with("inspect.rs") {
            continue;
        }
        for (name, parameters) in signatures(&text) {
            let first = parameters
                .trim_start()
                .trim_start_matches("&self,")
                .trim_start();
            let says = ["scope: &Scope", "by: System", "_by: System"];
            let is_of_nobody = NOBODY.iter().any(|(nobody, _)| *nobody == name);
            assert!(
                says.iter().any(|says| first.starts_with(says)) != is_of_nobody,
                "`{name}` of {}: its first argument must be `scope: &Scope`, or `by: System` where only the server itself \
                 asks; what asks nothing for anybody is named in NOBODY, and nothing else is",
                path.display()
            );
            seen.push(name);
        }
    }
    assert!(
        seen.len() > 50,
        "the methods were not found: {}",
        seen.len()
    );
    for (name, why) in NOBODY {
        assert!(
            seen.iter().any(|seen| seen == name),
            "there is no `{name}` ({why})"
        );
    }
}

/// Whether a file gets hold of the proof that the server asks: makes it, under whatever name, or takes it out of a scope.
/// That a scope is everybody's may be looked at.
fn has_the_proof(source: &str) -> bool {
    let takes = source.replace("Scope::System(_)", "");
    source.contains("of_the_server") || takes.contains("Scope::System(")
}

#[test]
fn the_proof_is_noticed_under_every_name() {
    for source in [
        "let by = System::of_the_server();",
        "use store::System as Any; let by = Any::of_the_server();",
        "let by = <store::System>::of_the_server();",
        "let make = System::of_the_server;",
        "if let Scope::System(by) = scope {}",
    ] {
        assert!(has_the_proof(source), "{source}");
    }
    assert!(!has_the_proof(
        "match scope { Scope::System(_) | Scope::Stranger => {} }"
    ));
}

#[test]
fn only_the_server_itself_asks_as_the_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane/src");
    let root = root.canonicalize().unwrap();
    let mut unused: Vec<&str> = OF_THE_SERVER.iter().map(|(place, _)| *place).collect();
    for (path, text) in sources("control-plane/src") {
        if !has_the_proof(&text) {
            continue;
        }
        let path = path.canonicalize().unwrap();
        let path = path.strip_prefix(&root).unwrap().to_str().unwrap();
        let place = OF_THE_SERVER
            .iter()
            .find(|(place, _)| path.starts_with(place));
        let Some((place, _)) = place else {
            panic!(
                "{path} asks the store as the server itself: ask in the scope of who asks, such as `person.scope()`"
            );
        };
        unused.retain(|unused| unused != place);
    }
    assert!(
        unused.is_empty(),
        "nothing asks as the server in {unused:?}"
    );
}
