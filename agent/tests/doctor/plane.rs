//! Groups clock and control_plane: what answers, whether it knows us, and what it thinks of us.

use crate::case::{Case, Mend, Scenario};
use crate::support::StandIn;
use crate::support::machine::{Machine, control_plane, error};
use dgon_agent::doctor::CheckId;

pub(crate) const CASES: &[Case] = &[
    (CheckId::ClockDrift, "ten minutes behind", behind),
    (CheckId::ClockDrift, "a minute ahead", ahead),
    (CheckId::ControlPlaneAnswer, "a web page", web_page),
    (CheckId::ControlPlaneAnswer, "it never answers", silent),
    (
        CheckId::ControlPlaneCredentials,
        "the secret is not known",
        unknown_secret,
    ),
    (CheckId::ControlPlaneCredentials, "the clock is off", stale),
    (CheckId::ControlPlaneStatus, "pending", pending),
    (CheckId::ControlPlaneStatus, "offline", offline),
    (CheckId::ControlPlaneStatus, "quarantine", quarantine),
];

#[test]
fn the_control_plane_is_asked_and_what_it_says_is_mended() {
    crate::case::run(CASES);
}

fn becomes(status: &'static str) -> Mend {
    Mend::ByHand(Box::new(move |machine| {
        let plane = control_plane(status);
        machine.configure(&format!("control_plane:\n  api: {}\n", plane.url()));
    }))
}

fn off_by(seconds: i64, says: &'static str) -> Scenario {
    let (machine, plane) = Machine::with_control_plane("active");
    let offset = plane.clock_offset_s.clone();
    *offset.lock().unwrap() = seconds;
    let set = move |_: &mut Machine| *offset.lock().unwrap() = 0;
    Scenario::new(machine, says, Mend::ByHand(Box::new(set)))
}

fn behind() -> Scenario {
    off_by(600, "s behind the control plane's; requests are refused")
}

fn ahead() -> Scenario {
    off_by(-60, "s ahead of the control plane's")
}

fn web_page() -> Scenario {
    let stranger = StandIn::start(|_| (200, "<html>".to_owned()));
    let machine = Machine::enrolled(&stranger.url());
    Scenario::new(
        machine,
        "does not answer as a DGON control plane does",
        becomes("active"),
    )
}

fn silent() -> Scenario {
    // Takes connections by its backlog, and reads nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let machine = Machine::enrolled(&format!("http://{}", silent.local_addr().unwrap()));
    Scenario::new(machine, "does not answer within 1.5 s", becomes("active")).keep(silent)
}

fn unknown_secret() -> Scenario {
    let plane = StandIn::start(|_| (401, error("unauthorized")));
    let machine = Machine::enrolled(&plane.url());
    Scenario::new(
        machine,
        "does not accept this node's secret",
        becomes("active"),
    )
}

fn stale() -> Scenario {
    let plane = StandIn::start(|_| (401, error("stale_timestamp")));
    let machine = Machine::enrolled(&plane.url());
    Scenario::new(machine, "with this machine's time", becomes("active"))
}

fn pending() -> Scenario {
    let (machine, _) = Machine::with_control_plane("pending");
    Scenario::new(machine, "pending: as the test says", becomes("active"))
}

fn offline() -> Scenario {
    let (machine, _) = Machine::with_control_plane("offline");
    Scenario::new(machine, "offline: as the test says", becomes("active"))
}

fn quarantine() -> Scenario {
    let (machine, _) = Machine::with_control_plane("quarantine");
    Scenario::new(machine, "quarantine: as the test says", becomes("active"))
}

#[test]
fn a_machine_that_is_not_enrolled_is_told_what_it_can_be_told() {
    let (machine, _plane) = Machine::with_control_plane("active");
    std::fs::remove_file(machine.state.secret_file()).unwrap();
    let report = machine.report();
    let outcome = |id| crate::case::worst(&report, id).0;
    assert_eq!(outcome("identity.secret"), "fail");
    // A refusal shows whose clock and which program it is.
    assert_eq!(outcome("control_plane.answer"), "ok");
    assert_eq!(outcome("clock.drift"), "ok");
    assert_eq!(outcome("control_plane.credentials"), "skip");
    assert_eq!(outcome("network.websocket"), "skip");
}

#[test]
fn a_control_plane_of_an_older_version_is_no_fault() {
    let old = StandIn::start(|_| (404, error("not_found")));
    let report = Machine::enrolled(&old.url()).report();
    let (outcome, finding, _) = crate::case::worst(&report, "control_plane.credentials");
    assert_eq!(outcome, "skip");
    assert!(finding.contains("too old"), "{finding}");
}
