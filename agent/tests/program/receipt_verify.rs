//! `receipt verify` through the real binary: every verdict, every exit code, no network.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    public_key: String,
    receipt_b64: String,
    verdict: String,
    entry_sha256: Option<String>,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/tests/data/receipts.jsonl");
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

fn bytes(case: &Case) -> Vec<u8> {
    STANDARD.decode(&case.receipt_b64).unwrap()
}

/// The binary with a state directory of its own and an environment that names nothing.
fn agent(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dgon-agent"));
    command
        .env_clear()
        .env("DGON_STATE_DIR", dir.join("state"))
        .current_dir(dir)
        .args(["receipt", "verify"])
        .args(arguments);
    command
}

fn verify(dir: &Path, arguments: &[&str]) -> Output {
    agent(dir, arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_vector_reaches_its_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let cases = cases();
    assert!(cases.len() >= 90, "the vector file is cut");
    for case in cases {
        std::fs::write(dir.path().join("receipt.json"), bytes(&case)).unwrap();
        let output = verify(
            dir.path(),
            &["--public-key", &case.public_key, "--json", "receipt.json"],
        );
        let said = json(&output);
        assert_eq!(
            said["verdict"],
            case.verdict.as_str(),
            "{}: {said}",
            case.name
        );
        let exit = i32::from(case.verdict != "valid");
        assert_eq!(output.status.code(), Some(exit), "{}", case.name);
        if let Some(hash) = case.entry_sha256 {
            assert_eq!(said["entry_sha256"], hash.as_str(), "{}", case.name);
        }
    }
}

#[test]
fn a_verifier_needs_no_home_and_no_state() {
    let dir = tempfile::tempdir().unwrap();
    let good = case("plain-0");
    std::fs::write(dir.path().join("good.json"), bytes(&good)).unwrap();
    let output = agent(dir.path(), &["--public-key", &good.public_key, "good.json"])
        .env_remove("DGON_STATE_DIR")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn standard_input_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let case = case("v1.1-0");
    let mut child = agent(
        dir.path(),
        &["--json", "--public-key", &case.public_key, "-"],
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&bytes(&case))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(json(&output)["file"], "-");
}

#[test]
fn several_files_are_an_array_and_the_worst_code_wins() {
    let dir = tempfile::tempdir().unwrap();
    let good = case("plain-0");
    std::fs::write(dir.path().join("good.json"), bytes(&good)).unwrap();
    std::fs::write(dir.path().join("bad.json"), b"{}").unwrap();
    let key = good.public_key.as_str();
    let run = |files: &[&str]| {
        verify(
            dir.path(),
            &[&["--json", "--public-key", key], files].concat(),
        )
    };
    let verdicts = |output: &Output| -> Vec<String> {
        let all = json(output);
        let said = all.as_array().unwrap().iter();
        said.map(|one| one["verdict"].as_str().unwrap().to_owned())
            .collect()
    };
    let two = run(&["good.json", "bad.json"]);
    assert_eq!(two.status.code(), Some(1));
    assert_eq!(verdicts(&two), ["valid", "invalid_receipt"]);
    let three = run(&["missing.json", "good.json", "bad.json"]);
    assert_eq!(three.status.code(), Some(2));
    assert_eq!(verdicts(&three), ["unreadable", "valid", "invalid_receipt"]);
    let directory = run(&["."]);
    assert_eq!(directory.status.code(), Some(2));
    assert_eq!(json(&directory)["verdict"], "unreadable");
}

#[test]
fn a_malformed_key_is_a_usage_error_and_a_useless_one_an_invalid_signature() {
    let dir = tempfile::tempdir().unwrap();
    let good = case("plain-0");
    std::fs::write(dir.path().join("good.json"), bytes(&good)).unwrap();
    let bare = good.public_key.trim_start_matches("ed25519:").to_owned();
    let short = format!("ed25519:{}", STANDARD.encode([1; 31]));
    for key in [bare.as_str(), short.as_str(), "ed25519:%%%", ""] {
        let output = verify(dir.path(), &["--json", "--public-key", key, "good.json"]);
        assert_eq!(output.status.code(), Some(64), "{key:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("--public-key"), "{message}");
    }
    // 32 bytes that encode no point of the curve.
    let mut no_point = [0; 32];
    no_point[0] = 2;
    let no_point = format!("ed25519:{}", STANDARD.encode(no_point));
    let output = verify(
        dir.path(),
        &["--json", "--public-key", &no_point, "good.json"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["verdict"], "invalid_signature");
}

#[test]
fn without_a_key_the_nodes_own_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let good = case("plain-0");
    std::fs::write(dir.path().join("good.json"), bytes(&good)).unwrap();
    let none = verify(dir.path(), &["good.json"]);
    assert_eq!(none.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&none.stderr).contains("--public-key"));

    let state = dgon_agent::config::StateDir::new(dir.path().join("state"));
    let own = dgon_agent::identity::create_key(&state).unwrap().public();
    let output = verify(dir.path(), &["--json", "good.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["public_key"], own.to_string());
}

#[test]
fn people_are_told_what_was_checked_and_what_is_not_proven() {
    let dir = tempfile::tempdir().unwrap();
    let good = case("unicode-model");
    std::fs::write(dir.path().join("good.json"), bytes(&good)).unwrap();
    let output = verify(dir.path(), &["--public-key", &good.public_key, "good.json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("good.json: valid\n"), "{text}");
    assert!(
        text.contains("checked") && text.contains("not proven"),
        "{text}"
    );
}
