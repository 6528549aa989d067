//! Groups agent and owner: the running agent is asked.

use crate::case::{Case, Mend, Running, Scenario, status, until};
use crate::net;
use crate::network::whole_plane;
use crate::support::StandIn;
use crate::support::between::between;
use crate::support::machine::{Machine, error, fill_spool};
use dgon_agent::doctor::CheckId;
use serde_json::Value;

pub(crate) const CASES: &[Case] = &[
    (CheckId::AgentRunning, "none runs", not_running),
    (CheckId::AgentRunning, "it does not answer", frozen),
    (CheckId::AgentVersion, "another one runs", other_version),
    (
        CheckId::AgentSettings,
        "the shell has others",
        other_settings,
    ),
    (CheckId::AgentLink, "it cannot be made", no_link),
    (CheckId::AgentServing, "the spool is full", not_serving),
    (CheckId::AgentListen, "the address is taken", taken),
    (CheckId::OwnerWork, "the owner has paused it", paused),
    (CheckId::OwnerLimits, "a limit cannot be judged", blind),
];

#[test]
fn the_running_agent_is_examined_and_mended() {
    crate::case::run(CASES);
}

fn not_running() -> Scenario {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    Scenario::new(machine, "the agent does not run", Mend::Start)
}

/// Halted as by Ctrl-Z: it takes connections and answers none.
fn frozen() -> Scenario {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    let agent = Running::agent(&machine);
    until(&machine, |status| status["running"] == true);
    agent.halt();
    Scenario::new(machine, "does not answer within 1.8 s", Mend::Start).keep(agent)
}

/// Starts the agent of a machine; it runs as long as the machine is there.
fn start(machine: &mut Machine) {
    let agent = Running::agent(machine);
    machine.residents.push(Box::new(agent));
    until(machine, |status| status["running"] == true);
}

/// A running agent whose answer is changed on the way to who asks.
fn changed(change: fn(&mut Value)) -> (Machine, Running) {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    let agent = Running::agent(&machine);
    until(&machine, |status| status["running"] == true);
    between(&machine.state.socket(), move |mut answer| {
        change(&mut answer);
        Some(answer)
    });
    (machine, agent)
}

fn other_version() -> Scenario {
    let (machine, agent) = changed(|answer| answer["version"] = Value::from("0.0.1"));
    Scenario::new(machine, "the agent that runs is 0.0.1", Mend::Start).keep(agent)
}

fn other_settings() -> Scenario {
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    let agent = Running::agent(&machine);
    until(&machine, |status| status["running"] == true);
    machine.set("DGON_PROXY_DRAIN_S", "7");
    let says = "the running agent has proxy.drain_s 20, this shell's configuration says 7";
    Scenario::new(machine, says, Mend::Start).keep(agent)
}

fn no_link() -> Scenario {
    let plane = whole_plane("active");
    let narrow = net::gateway(plane.api.address, net::nowhere());
    let machine = Machine::enrolled(&format!("http://{narrow}"));
    let agent = Running::agent(&machine);
    until(&machine, |status| status["link"]["phase"] == "waiting");
    let good = plane.address;
    let mend = move |machine: &mut Machine| {
        drop(agent);
        machine.configure(&format!("control_plane:\n  api: http://{good}\n"));
        start(machine);
        until(machine, |status| status["link"]["phase"] == "connected");
    };
    let fix = Mend::Shows("not connected", Box::new(mend));
    Scenario::new(machine, "receipts wait in the spool", fix).keep(plane)
}

fn not_serving() -> Scenario {
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    fill_spool(&machine, 3);
    machine.set("DGON_SPOOL_MAX_RECEIPTS", "3");
    let agent = Running::agent(&machine);
    until(&machine, |status| !status["spool"]["reason"].is_null());
    let mend = |machine: &mut Machine| {
        drop(agent);
        machine.set("DGON_SPOOL_MAX_RECEIPTS", "100");
        start(machine);
    };
    let fix = Mend::Shows("NOT SERVING", Box::new(mend));
    Scenario::new(machine, "the proxy refuses requests", fix)
}

fn taken() -> Scenario {
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    machine.set(
        "DGON_PROXY_LISTEN",
        listener.local_addr().unwrap().to_string(),
    );
    let mend = |_: &mut Machine| drop(listener);
    Scenario::new(
        machine,
        "the proxy cannot listen on",
        Mend::ByHand(Box::new(mend)),
    )
}

fn paused() -> Scenario {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    let agent = Running::agent(&machine);
    until(&machine, |status| status["running"] == true);
    let pause = crate::case::shell(&machine, "dgon-agent pause")
        .output()
        .unwrap();
    assert!(pause.status.success(), "{pause:?}");
    Scenario::new(machine, "paused by its owner", Mend::Run).keep(agent)
}

fn blind() -> Scenario {
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    // Nothing tells what this machine earns.
    machine.set("DGON_OWNER_MIN_PROFIT_USD_PER_HOUR", "0.5");
    let agent = Running::agent(&machine);
    until(&machine, |status| status["owner"]["limits"][0].is_object());
    let mend = |machine: &mut Machine| {
        drop(agent);
        machine
            .environment
            .retain(|(name, _)| !name.contains("MIN_PROFIT"));
        start(machine);
    };
    let fix = Mend::Shows("min_profit_usd_per_hour", Box::new(mend));
    Scenario::new(machine, "owner.min_profit_usd_per_hour", fix)
}

#[test]
fn an_agent_that_does_not_run_is_said_so_by_status() {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    assert_eq!(status(&machine)["running"], false);
}

#[test]
fn a_healthy_node_passes_every_check() {
    let plane = whole_plane("active");
    let runtime = crate::network::runtime()
        .block_on(dgon_testkit::runtime::SimRuntime::start(
            dgon_testkit::runtime::SimConfig::new(dgon_testkit::runtime::Kind::Ollama),
        ))
        .unwrap();
    let mut machine = Machine::enrolled(&format!("http://{}", plane.address));
    machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
    let _agent = Running::agent(&machine);
    until(&machine, |status| {
        status["link"]["phase"] == "connected" && status["runtimes"][0]["models"][0].is_object()
    });
    let output = machine.doctor(&["--json"]);
    let report = crate::support::json(&output);
    let ill: Vec<&Value> = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["outcome"] == "warn" || check["outcome"] == "fail")
        // What this machine's own service manager says is not the test's to decide.
        .filter(|check| check["group"] != "service")
        .collect();
    assert!(ill.is_empty(), "{ill:#?}");
    assert_eq!(output.status.code(), Some(0));
    // A knock at the door takes the session from nobody.
    assert_eq!(plane.link.seen().sessions, 1);
    assert_eq!(plane.link.seen().violations, Vec::<String>::new());
}

/// A copied state directory makes two agents of one node: a new key would leave them that.
#[test]
fn a_machine_with_a_copied_state_directory_becomes_a_node_of_its_own() {
    let (machine, _agent) = changed(|answer| answer["link"]["phase"] = Value::from("replaced"));
    let (outcome, finding, fix) = machine.check("agent.link");
    assert_eq!(outcome, "fail", "{finding}");
    assert!(
        finding.contains("the machine that has the copy"),
        "{finding}"
    );
    let fix = fix.unwrap();
    let state = machine.state.path().display();
    let steps: Vec<&str> = fix.split(" && ").collect();
    let expected = [
        format!("dgon-agent stop --state-dir {state}"),
        format!("mv {state} {state}.copied"),
        format!("dgon-agent enroll --api http://127.0.0.1:9 --state-dir {state}"),
        format!("dgon-agent run --state-dir {state}"),
    ];
    assert_eq!(steps, expected);
}

/// Enrolling again needs the lock that a running agent holds.
#[test]
fn a_running_agent_is_stopped_to_be_enrolled_again() {
    let plane = StandIn::start(|_| (401, error("unauthorized")));
    let machine = Machine::enrolled(&plane.url());
    let _agent = Running::agent(&machine);
    until(&machine, |status| status["running"] == true);
    let (outcome, finding, fix) = machine.check("control_plane.credentials");
    assert_eq!(outcome, "fail", "{finding}");
    let fix = fix.unwrap();
    let steps: Vec<&str> = fix.split(" && ").collect();
    assert_eq!(steps.len(), 3, "{fix}");
    assert!(steps[0].starts_with("dgon-agent stop"), "{fix}");
    assert!(
        steps[1].starts_with("dgon-agent enroll") && steps[1].contains("--force"),
        "{fix}"
    );
    assert!(steps[2].starts_with("dgon-agent run"), "{fix}");
}

#[test]
fn a_halted_agent_is_not_taken_for_one_that_does_not_run() {
    let runtime = crate::network::runtime()
        .block_on(dgon_testkit::runtime::SimRuntime::start(
            dgon_testkit::runtime::SimConfig::new(dgon_testkit::runtime::Kind::Ollama),
        ))
        .unwrap();
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
    let agent = Running::agent(&machine);
    until(&machine, |status| status["running"] == true);
    agent.halt();
    let report = machine.report();
    for id in ["owner.work", "owner.limits", "runtime.generation"] {
        let (outcome, finding, _) = crate::case::worst(&report, id);
        assert_eq!(outcome, "skip", "{id}: {finding}");
    }
    for check in report["checks"].as_array().unwrap() {
        let finding = check["finding"].as_str().unwrap();
        let is_wrong = ["does not run", "none runs", "no agent runs"]
            .iter()
            .any(|wrong| finding.contains(wrong));
        assert!(check["group"] == "service" || !is_wrong, "{check:#}");
    }
}
