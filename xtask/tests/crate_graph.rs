//! Who may import whom. A new arrow between crates is a change of this list, so it shows in review.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use cargo_metadata::{DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// What each crate may import of ours, outside its tests.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("dgon-protocol", &[]),
    ("dgon-agent-core", &["dgon-protocol"]),
    (
        "dgon-agent-dataplane",
        &["dgon-agent-core", "dgon-protocol"],
    ),
    (
        "dgon-agent",
        &["dgon-agent-core", "dgon-agent-dataplane", "dgon-protocol"],
    ),
    ("dgon-control-plane-model", &["dgon-protocol"]),
    ("dgon-control-plane-recount", &["dgon-protocol"]),
    (
        "dgon-control-plane-store",
        &["dgon-control-plane-model", "dgon-protocol"],
    ),
    (
        "dgon-control-plane",
        &[
            "dgon-control-plane-model",
            "dgon-control-plane-recount",
            "dgon-control-plane-store",
            "dgon-protocol",
        ],
    ),
    (
        "dgon-testkit",
        &[
            "dgon-agent",
            "dgon-agent-core",
            "dgon-control-plane",
            "dgon-control-plane-model",
            "dgon-control-plane-store",
            "dgon-protocol",
        ],
    ),
    ("dgon-fake-nvml", &[]),
    ("dgon-xtask", &[]),
];

/// Crates that do I/O or know time: never in the pure crates.
const IMPURE: [&str; 9] = [
    "axum",
    "hyper",
    "rand",
    "reqwest",
    "sqlx",
    "tokio",
    "tokio-tungstenite",
    "sysinfo",
    "jiff",
];
const PURE: [&str; 3] = [
    "dgon-protocol",
    "dgon-agent-core",
    "dgon-control-plane-model",
];

/// Normal and build dependencies of each crate of the workspace.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    metadata
        .packages
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|d| d.kind != DependencyKind::Development)
                .map(|d| d.name.clone());
            (package.name.to_string(), names.collect())
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let imports = imports();
    let ours: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        imports.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ours,
        "a crate is missing in the list, or gone"
    );
    for (name, allowed) in ALLOWED {
        for import in imports[name]
            .iter()
            .filter(|import| ours.contains(import.as_str()))
        {
            assert!(
                allowed.contains(&import.as_str()),
                "{name} imports {import}, which the architecture does not allow"
            );
        }
    }
}

#[test]
fn pure_crates_do_no_io() {
    let imports = imports();
    for name in PURE {
        for impure in IMPURE {
            assert!(
                !imports[name].contains(impure),
                "{name} is pure and imports {impure}"
            );
        }
    }
}

#[test]
fn sql_stays_in_the_store() {
    for (name, imports) in imports() {
        assert!(
            !imports.contains("sqlx") || name == "dgon-control-plane-store",
            "{name} imports sqlx"
        );
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    for package in &metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} does not take the workspace lints",
            package.name
        );
    }
}
