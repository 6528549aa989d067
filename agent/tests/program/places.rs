//! Who names a state directory is told commands for that one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{json, stderr};
use dgon_agent::config::StateDir;
use dgon_agent::identity;
use dgon_agent::spool::Lock;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a command whose state directory is named by a flag.
fn run(state: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dgon-agent"))
        .env_clear()
        .env("HOME", state.parent().unwrap())
        .arg("--state-dir")
        .arg(state)
        .args(arguments)
        .output()
        .unwrap()
}

/// Every command of this program that stands in the text; there is one at least.
fn commands(text: &str) -> Vec<&str> {
    let found: Vec<&str> = text
        .split('`')
        .filter(|part| part.starts_with("dgon-agent "))
        .collect();
    assert!(!found.is_empty(), "no command in: {text}");
    found
}

#[test]
fn every_message_names_the_state_directory_again() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("my state");
    let flag = format!("--state-dir '{}'", state.display());
    for arguments in [
        &["status"][..],
        &["pause"],
        &["stop"],
        &["gpus", "release"],
        &["key", "show"],
        &["run"],
    ] {
        let said = stderr(&run(&state, arguments));
        for command in commands(&said) {
            assert!(command.contains(&flag), "{arguments:?}: {said}");
        }
    }

    identity::create_key(&StateDir::new(&state)).unwrap();
    let _lock = Lock::take(&state).unwrap();
    let report = json(&run(&state, &["doctor", "--json"]));
    let fixes = report["checks"].as_array().unwrap().iter();
    let own: Vec<&str> = fixes
        .filter_map(|check| check["fix"].as_str())
        .filter(|fix| fix.starts_with("dgon-agent ") && !fix.contains(" service "))
        .collect();
    assert!(!own.is_empty(), "{report:#}");
    for fix in own {
        assert!(fix.contains(&flag), "{fix}");
    }
}
