//! Where values come from and which wins, through the real binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{agent, json, stderr, stdout};
use std::path::Path;

fn with_file(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("state")).unwrap();
    std::fs::write(dir.path().join("state/agent.yaml"), text).unwrap();
    dir
}

fn refused(dir: &Path, environment: &[(&str, &str)]) -> String {
    let output = agent(dir, &["config", "check"])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", stdout(&output));
    stderr(&output)
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let dir = with_file(
        "log:\n  level: warn\n  format: json\nnode:\n  region: from-file\n  id: file-1\n",
    );
    let output = agent(
        dir.path(),
        &["--log-level", "debug", "config", "show", "--json"],
    )
    .env("DGON_LOG_LEVEL", "error")
    .env("DGON_LOG_FORMAT", "text")
    .env("REGION", "from-old-name")
    .env("DGON_NODE_REGION", "from-new-name")
    .env("DGON_API", "http://127.0.0.1:8080")
    .output()
    .unwrap();
    let said = json(&output);
    let (config, origins) = (&said["config"], &said["origins"]);
    assert_eq!(config["log"]["level"], "debug");
    assert_eq!(origins["log.level"], "flag");
    assert_eq!(config["log"]["format"], "text");
    assert_eq!(origins["log.format"], "environment DGON_LOG_FORMAT");
    assert_eq!(config["node"]["region"], "from-new-name");
    assert_eq!(config["node"]["id"], "file-1");
    assert_eq!(origins["node.id"], "file");
    assert_eq!(config["control_plane"]["api"], "http://127.0.0.1:8080");
    assert_eq!(config["proxy"]["listen"], "127.0.0.1:11435");
    assert_eq!(origins["proxy.listen"], serde_json::Value::Null);
}

#[test]
fn lists_come_from_the_environment_too() {
    let dir = with_file("");
    let output = agent(dir.path(), &["config", "show", "--json"])
        .env("DGON_ALLOW", "probe, gateway")
        .env("DGON_RUNTIMES_ENDPOINTS", "http://h:1, http://h:2")
        .env("DGON_SPOOL_MAX_MIB", "7")
        .output()
        .unwrap();
    let config = &json(&output)["config"];
    assert_eq!(config["allow"], serde_json::json!(["probe", "gateway"]));
    assert_eq!(
        config["runtimes"]["endpoints"],
        serde_json::json!(["http://h:1", "http://h:2"])
    );
    assert_eq!(config["spool"]["max_mib"], 7);
}

#[test]
fn unknown_keys_are_errors_with_line_and_nearest_name() {
    let dir = with_file("proxy:\n  listn: 127.0.0.1:1\ncontrol_plain:\n  api: http://h\n");
    let text = refused(dir.path(), &[]);
    assert!(
        text.contains("line 2: unknown key proxy.listn; the nearest known key is proxy.listen"),
        "{text}"
    );
    assert!(
        text.contains("line 3: unknown key control_plain; the nearest known key is control_plane"),
        "{text}"
    );
}

#[test]
fn wrong_values_name_their_key_and_where_they_come_from() {
    let dir = with_file("proxy:\n  listen: not-an-address\n");
    let text = refused(dir.path(), &[]);
    assert!(
        text.contains("proxy.listen") && text.contains("line 2"),
        "{text}"
    );

    let dir = with_file("proxy:\n  max_body_mib: 0\nowner:\n  max_gpu_temp_c: 500\n");
    let text = refused(dir.path(), &[]);
    assert!(
        text.contains("proxy.max_body_mib") && text.contains("owner.max_gpu_temp_c"),
        "{text}"
    );

    let dir = with_file("");
    let text = refused(dir.path(), &[("DGON_PROXY_LISTEN", "nowhere")]);
    assert!(text.contains("DGON_PROXY_LISTEN"), "{text}");
    for bad in ["ftp://h", "http://u:p@h", "h:1"] {
        assert!(refused(dir.path(), &[("DGON_API", bad)]).contains("DGON_API"));
    }
    assert!(refused(dir.path(), &[("NODE_ID", "a/b")]).contains("NODE_ID"));
}

#[test]
fn machines_are_told_too() {
    let dir = with_file("proxi:\n");
    let output = agent(dir.path(), &["config", "check", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = json(&output);
    assert_eq!(said["valid"], false);
    assert!(said["message"].as_str().unwrap().contains("proxi"));
}

#[test]
fn broken_files_are_told_apart_from_missing_ones() {
    for text in [
        "proxy: [",
        "- a\n- b\n",
        "proxy:\n  listen: 127.0.0.1:1\n  listen: 127.0.0.1:2\n",
        "just words",
    ] {
        let dir = with_file(text);
        assert!(
            refused(dir.path(), &[]).contains("agent.yaml is not a valid configuration"),
            "{text}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let output = agent(dir.path(), &["config", "check"]).output().unwrap();
    assert!(output.status.success() && stdout(&output).contains("the defaults hold"));
    let output = agent(dir.path(), &["--config", "none.yaml", "config", "check"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("does not exist"));
}

#[test]
fn a_circle_of_proxy_and_runtime_is_refused() {
    for host in ["localhost", "LOCALHOST.", "127.0.0.1", "0.0.0.0", "[::1]"] {
        let dir = with_file(&format!(
            "runtimes:\n  endpoints:\n    - http://{host}:11435\n"
        ));
        assert!(refused(dir.path(), &[]).contains("circle"), "{host}");
    }
    // Another address of this machine is another place, but for a proxy that serves all of them.
    let text = "runtimes:\n  endpoints:\n    - http://127.0.0.2:11435\n";
    let check = |dir: &Path| agent(dir, &["config", "check"]).output().unwrap();
    let dir = with_file(text);
    assert!(check(dir.path()).status.success());
    let dir = with_file(&format!("proxy:\n  listen: 0.0.0.0:11435\n{text}"));
    assert!(refused(dir.path(), &[]).contains("circle"));
    let dir = with_file("runtimes:\n  endpoints:\n    - {url: http://gpu-box, ca_file: ca.pem}\n");
    assert!(refused(dir.path(), &[]).contains("https address alone"));
}

#[test]
fn sections_may_be_empty_and_show_says_where_values_come_from() {
    let dir = with_file("proxy:\nlog:\n  level: warn\n");
    let output = agent(dir.path(), &["config", "show"]).output().unwrap();
    let text = stdout(&output);
    assert!(text.contains("level: warn  # file"), "{text}");
    assert!(text.contains("listen: 127.0.0.1:11435\n"), "{text}");
}

#[test]
fn a_wrong_command_line_is_exit_64_and_help_is_not() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["frobnicate"], 64),
        (&[], 64),
    ] {
        let output = agent(dir.path(), arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
    let version = agent(dir.path(), &["--version"]).output().unwrap();
    let text = stdout(&version);
    assert!(
        text.contains(env!("CARGO_PKG_VERSION"))
            && text.contains("commit")
            && text.contains("built"),
        "{text}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let output = agent(dir.path(), &["completions", shell]).output().unwrap();
        assert!(stdout(&output).contains("dgon-agent"), "{shell}");
    }
}
