//! The doctor through the real binary: configuration, identity and the control plane are made to fail.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_agent::files;
use std::time::{Duration, Instant};
use support::machine::{Machine, SECRET, error, mode};
use support::{StandIn, stdout};

#[test]
fn a_healthy_node_passes_all_but_what_needs_a_runtime_and_a_running_agent() {
    let (machine, _plane) = Machine::with_control_plane("active");
    let report = machine.report();
    let bad: Vec<&str> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["outcome"] == "warn" || check["outcome"] == "fail")
        .map(|check| check["id"].as_str().unwrap())
        .collect();
    assert_eq!(bad, ["agent.running", "runtime.found"], "{report}");
    assert_eq!(report["schema_version"], 1);
    for field in ["result", "counts", "took_ms", "agent_version"] {
        assert!(!report[field].is_null(), "{field}");
    }
}

#[test]
fn the_configuration_is_examined() {
    let (machine, _plane) = Machine::with_control_plane("active");
    let file = machine.state.path().join("agent.yaml");
    mode(&file, 0o666);
    machine.assert_check("config.file_mode", "fail", "others can change it");
    mode(machine.state.path(), 0o755);
    machine.assert_check("config.state_mode", "warn", "mode 0755");
    machine.configure("proxi: {}\n");
    machine.assert_check("config.parse", "fail", "the nearest known key is proxy");
    std::fs::remove_file(&file).unwrap();
    machine.assert_check("config.parse", "warn", "no configuration file");
    machine.assert_check("network.address", "ok", "http://127.0.0.1:9");
    std::fs::remove_file(machine.state.secret_file()).unwrap();
    machine.assert_check("network.address", "warn", "no control plane is named");
}

#[test]
fn the_identity_is_examined() {
    let (machine, _plane) = Machine::with_control_plane("active");
    machine.configure("node:\n  id: somebody-else\n");
    machine.assert_check("identity.node", "fail", "enrolled as rig-7");
    mode(&machine.state.key_file(), 0o644);
    mode(&machine.state.secret_file(), 0o604);
    machine.assert_check("identity.key", "fail", "mode 0644");
    machine.assert_check("identity.secret", "fail", "mode 0604");
    files::write_private(&machine.state.key_file(), b"x").unwrap();
    machine.assert_check("identity.key", "fail", "damaged");
    std::fs::remove_file(machine.state.key_file()).unwrap();
    machine.assert_check("identity.key", "fail", "not enrolled");
}

#[test]
fn the_way_to_the_control_plane_is_examined() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    Machine::enrolled(&format!("http://{closed}")).assert_check(
        "network.connect",
        "fail",
        "does not take connections",
    );
    Machine::enrolled("http://no-such-host.invalid:8080").assert_check(
        "network.name",
        "fail",
        "name",
    );
    let (mut machine, _plane) = Machine::with_control_plane("active");
    machine.set("HTTP_PROXY", "http://127.0.0.1:9");
    machine.assert_check("network.proxy_variables", "warn", "HTTP_PROXY is set");
    // This machine itself is never asked through a proxy.
    machine.assert_check("control_plane.credentials", "ok", "accepted as rig-7");
}

#[test]
fn the_clock_is_compared_with_the_control_planes() {
    let (machine, plane) = Machine::with_control_plane("active");
    *plane.clock_offset_s.lock().unwrap() = 600;
    machine.assert_check("clock.drift", "fail", "behind");
    *plane.clock_offset_s.lock().unwrap() = -60;
    machine.assert_check("clock.drift", "warn", "ahead of");

    let plane = StandIn::start(|_| (401, error("stale_timestamp")));
    *plane.clock_offset_s.lock().unwrap() = -600;
    let machine = Machine::enrolled(&plane.url());
    machine.assert_check("clock.drift", "fail", "ahead of");
    machine.assert_check("control_plane.credentials", "fail", "this machine's time");
}

#[test]
fn credentials_and_status_are_asked_for() {
    for (status, outcome) in [
        ("active", "ok"),
        ("pending", "warn"),
        ("offline", "warn"),
        ("quarantine", "fail"),
    ] {
        let (machine, _plane) = Machine::with_control_plane(status);
        machine.assert_check("control_plane.status", outcome, status);
    }
    let plane = StandIn::start(|_| (401, error("unauthorized")));
    Machine::enrolled(&plane.url()).assert_check(
        "control_plane.credentials",
        "fail",
        "does not accept",
    );
    let stranger = StandIn::start(|_| (200, "<html>".to_owned()));
    Machine::enrolled(&stranger.url()).assert_check(
        "control_plane.credentials",
        "fail",
        "does not answer as a DGON",
    );
    let old = StandIn::start(|_| (404, error("not_found")));
    Machine::enrolled(&old.url()).assert_check("control_plane.credentials", "skip", "too old");
}

#[test]
fn a_control_plane_that_never_answers_costs_no_more_than_the_limit() {
    // Takes connections by its backlog, and reads nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let machine = Machine::enrolled(&format!("http://{}", silent.local_addr().unwrap()));
    let began = Instant::now();
    machine.assert_check(
        "control_plane.credentials",
        "fail",
        "does not answer within 1.8 s",
    );
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn exit_codes_and_plain_text() {
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
