//! The report as a whole: its forms, its time, its exit codes.

use crate::case::PATIENCE;
use crate::support::machine::{Machine, SECRET};
use crate::support::stdout;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_agent::doctor::CheckId;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn every_report_has_every_check_and_a_fix_for_all_that_is_ill() {
    let healthy = Machine::with_control_plane("active").0;
    let lost = Machine::enrolled("http://no-such-host.invalid");
    let bare = Machine::enrolled("http://127.0.0.1:9");
    std::fs::remove_dir_all(bare.state.path()).unwrap();
    for machine in [healthy, lost, bare] {
        let report = machine.report();
        let checks = report["checks"].as_array().unwrap();
        for id in CheckId::ALL {
            assert!(
                checks.iter().any(|check| check["id"] == id.as_str()),
                "{}",
                id.as_str()
            );
        }
        for check in checks {
            let is_ill = check["outcome"] == "warn" || check["outcome"] == "fail";
            assert_eq!(check["fix"].is_string(), is_ill, "{check}");
            assert!(!check["finding"].as_str().unwrap().is_empty(), "{check}");
        }
        let counted: u64 = ["ok", "warn", "fail", "skip"]
            .iter()
            .map(|outcome| report["counts"][outcome].as_u64().unwrap())
            .sum();
        assert_eq!(counted, checks.len() as u64);
    }
}

/// The worst that can be: everything hangs.
#[test]
fn a_machine_on_which_everything_hangs_is_examined_within_the_limit() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut machine = Machine::enrolled(&format!("http://{}", silent.local_addr().unwrap()));
    machine.set(
        "DGON_RUNTIMES_ENDPOINTS",
        format!("http://{}", silent.local_addr().unwrap()),
    );
    let _socket = std::os::unix::net::UnixListener::bind(machine.state.socket()).unwrap();
    let report = machine.report();
    // The doctor's own limits are the promise: they sum up to less than five seconds.
    assert!(report["took_ms"].as_u64().unwrap() < 5_000, "{report:#}");
    let (outcome, finding, _) = crate::case::worst(&report, "control_plane.answer");
    assert_eq!(outcome, "fail", "{finding}");
}

#[test]
fn plain_text_has_no_escapes_and_no_secret() {
    let (machine, _plane) = Machine::with_control_plane("active");
    let output = machine.doctor(&[]);
    // No runtime is a failure.
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(!text.contains('\x1b'), "{text}");
    assert!(
        text.contains("fail found") && text.contains("try        "),
        "{text}"
    );
    let state = machine.state.path().display().to_string();
    assert!(
        !text.contains(&STANDARD.encode(SECRET)) && text.contains(&state),
        "{text}"
    );
}

#[test]
fn warnings_alone_are_an_error_only_where_that_is_asked_for() {
    use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
    let runtime = crate::network::runtime()
        .block_on(SimRuntime::start(SimConfig::new(Kind::Ollama)))
        .unwrap();
    let (mut machine, _plane) = Machine::with_control_plane("pending");
    machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
    let lax = machine.doctor(&[]);
    assert_eq!(lax.status.code(), Some(0), "{}", stdout(&lax));
    let strict = machine.doctor(&["--strict"]);
    assert_eq!(strict.status.code(), Some(2), "{}", stdout(&strict));
}

/// On a terminal, by `script`, which makes one.
fn on_terminal(machine: &Machine, more: &[(&str, &str)]) -> String {
    let mut command = Command::new("script");
    let doctor = format!("{} doctor", env!("CARGO_BIN_EXE_dgon-agent"));
    command
        .args(["--quiet", "--return", "--command", &doctor, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("DGON_STATE_DIR", machine.dir.path().join("state"))
        .envs(
            machine
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .envs(more.iter().copied())
        .stdin(std::process::Stdio::null());
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_the_list_is_live_and_its_colours_can_be_switched_off() {
    let (machine, _plane) = Machine::with_control_plane("active");
    let began = Instant::now();
    let plain = on_terminal(&machine, &[("NO_COLOR", "1")]);
    assert!(began.elapsed() < PATIENCE + Duration::from_secs(5));
    // A terminal of no size is told nothing that moves its cursor.
    assert!(
        plain.contains("parse") && !plain.contains("\x1b[3"),
        "{plain:?}"
    );
    let coloured = on_terminal(&machine, &[]);
    assert!(coloured.contains("\x1b[32m✓"), "{coloured:?}");
}

#[test]
fn the_report_is_what_its_published_schema_says() {
    let schema: Value = read("schemas/doctor.schema.json");
    let validator = jsonschema::validator_for(&schema).unwrap();
    for machine in [
        Machine::with_control_plane("quarantine").0,
        Machine::enrolled("http://no-such-host.invalid"),
    ] {
        let report = machine.report();
        let faults: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
    let mut wrong = Machine::enrolled("http://127.0.0.1:9").report();
    wrong["checks"][0]["outcome"] = Value::from("fine");
    assert!(!validator.is_valid(&wrong));
    let mut unknown = Machine::enrolled("http://127.0.0.1:9").report();
    unknown["checks"][0]["id"] = Value::from("config.horoscope");
    assert!(!validator.is_valid(&unknown));
}

/// A file of the repository as JSON.
fn read(path: &str) -> Value {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn agent_yaml_is_what_its_published_schema_says() {
    let schema: Value = read("schemas/agent.yaml.schema.json");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let api = "https://dgon.example".parse().unwrap();
    let written = dgon_agent::config::render(&dgon_agent::config::Seed {
        insecure_http: true,
        api: &api,
        node_id: "rig-7",
        region: "eu-west",
    });
    let yaml = |text: &str| -> Value { serde_yaml::from_str(text).unwrap() };
    for good in [
        written.as_str(),
        "{}",
        "control_plane:\n",
        "allow: [probe]\nowner:\n  quiet_hours: ['22:00-07:00']\n",
        "proxy:\n  listen: '[::1]:1'\n  max_in_flight: 1\n",
    ] {
        let faults: Vec<String> = validator
            .iter_errors(&yaml(good))
            .map(|error| error.to_string())
            .collect();
        assert!(faults.is_empty(), "{good}: {faults:#?}");
    }
    // What the agent itself refuses, an editor must mark.
    for bad in [
        "proxi: {}",
        "proxy: {lisen: x}",
        "log: {level: loud}",
        "allow: [everything]",
        "owner: {quiet_hours: ['late']}",
        "proxy: {max_in_flight: many}",
        "control_plane: {api: 7}",
    ] {
        assert!(!validator.is_valid(&yaml(bad)), "{bad}");
    }
}
