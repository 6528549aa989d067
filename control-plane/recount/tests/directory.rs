//! What an operator is told of a directory that cannot be used: which file, what it means, what to do.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use dgon_control_plane_recount::{ModelRef, Route, limits, read};
use dgon_protocol::countersignature::CountLevel;
use std::error::Error;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const INDEX: &str = "tokenizers:\n  - name: one\n    level: exact\n    models: [m]\n";

fn data(path: &str) -> Vec<u8> {
    fs::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(path)).unwrap()
}

/// A directory that can be read, with one tokenizer.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("one")).unwrap();
    let write = |path: &str, bytes: Vec<u8>| fs::write(directory.path().join(path), bytes).unwrap();
    write("models.yaml", INDEX.into());
    write("one/tokenizer.json", data("chatml/tokenizer.json"));
    write(
        "one/tokenizer_config.json",
        data("chatml/tokenizer_config.json"),
    );
    write(
        "one/chat_template.jinja",
        data("chatml/chat_template.jinja"),
    );
    directory
}

/// What is said of a directory in which `path` is `bytes`, or nothing.
fn fault(path: &str, bytes: Option<&[u8]>) -> String {
    let directory = directory();
    let path = directory.path().join(path);
    match bytes {
        Some(bytes) => fs::write(&path, bytes).unwrap(),
        None => fs::remove_file(&path).unwrap(),
    }
    let fault = read(directory.path()).unwrap_err();
    let text = fault.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    let source = fault.source().map(|source| format!(" ({source})"));
    text + &source.unwrap_or_default()
}

fn level(directory: &TempDir) -> CountLevel {
    let body = br#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let model = ModelRef {
        digest: None,
        id: "m",
    };
    let counter = read(directory.path()).unwrap();
    counter.count_request(model, Route::Chat, body, 0).level
}

#[test]
fn every_fault_names_its_file_and_what_to_do() {
    let missing = fault("models.yaml", None);
    assert!(missing.contains("Put the file there"), "{missing}");
    let missing = fault("one/tokenizer.json", None);
    assert!(missing.contains("take its tokenizer out"), "{missing}");
    let index = fault(
        "models.yaml",
        Some(b"tokenizers: [{name: one, level: exact}]"),
    );
    assert!(index.contains("counts for no model"), "{index}");
    let large = vec![b' '; limits::INDEX_BYTES + 1];
    assert!(fault("models.yaml", Some(&large)).contains("more than 1048576 bytes"));
    let tokenizer = fault("one/tokenizer.json", Some(b"{\"version\":\"1.0\"}"));
    assert!(tokenizer.contains("cannot be used to count"), "{tokenizer}");
    assert!(fault("one/tokenizer_config.json", Some(b"{")).contains("not the configuration"));
    let template = fault("one/chat_template.jinja", Some(b"{% if %}"));
    assert!(template.contains("level: bounded"), "{template}");
    let template = fault("one/tokenizer_config.json", Some(b"{\"chat_template\":7}"));
    assert!(template.contains("not the configuration"), "{template}");
}

#[test]
fn a_tokenizer_that_counts_at_random_is_refused() {
    let mut tokenizer: serde_json::Value =
        serde_json::from_slice(&data("chatml/tokenizer.json")).unwrap();
    tokenizer["model"]["dropout"] = 0.5.into();
    let fault = fault("one/tokenizer.json", Some(tokenizer.to_string().as_bytes()));
    assert!(fault.contains("at random"), "{fault}");
}

#[test]
fn without_a_template_chats_are_bounded() {
    let directory = directory();
    assert_eq!(level(&directory), CountLevel::Exact);
    fs::remove_file(directory.path().join("one/chat_template.jinja")).unwrap();
    assert_eq!(level(&directory), CountLevel::Bounded);
    fs::remove_file(directory.path().join("one/tokenizer_config.json")).unwrap();
    assert_eq!(level(&directory), CountLevel::Bounded);
}

#[test]
fn a_template_may_stand_in_the_configuration_alone_or_by_name() {
    let directory = directory();
    fs::remove_file(directory.path().join("one/chat_template.jinja")).unwrap();
    let config = directory.path().join("one/tokenizer_config.json");
    fs::write(
        &config,
        r#"{"chat_template":"{{ bos_token }}","bos_token":{"content":"<s>","lstrip":false}}"#,
    )
    .unwrap();
    assert_eq!(level(&directory), CountLevel::Exact);
    let named = r#"{"chat_template":[{"name":"tool_use","template":"{% if %}"},{"name":"default","template":"x"}]}"#;
    fs::write(&config, named).unwrap();
    assert_eq!(level(&directory), CountLevel::Exact);
    fs::write(
        &config,
        r#"{"chat_template":[{"name":"tool_use","template":"x"}]}"#,
    )
    .unwrap();
    assert_eq!(level(&directory), CountLevel::Bounded);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_waited_for() {
    let directory = directory();
    let path = directory.path().join("one/tokenizer.json");
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let fault = read(directory.path()).unwrap_err();
    assert!(fault.source().unwrap().to_string().contains("not a file"));
}
