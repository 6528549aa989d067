//! Groups runtime and models.

use crate::case::{Case, Mend, Running, Scenario, shell, until, worst};
use crate::network::runtime as tokio;
use crate::support::between::between;
use crate::support::json;
use crate::support::machine::Machine;
use dgon_agent::doctor::CheckId;
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use std::time::Duration;

pub(crate) const CASES: &[Case] = &[
    (CheckId::RuntimeFound, "none answers", none),
    (CheckId::RuntimeFound, "a named one is away", named_away),
    (CheckId::RuntimeReady, "it is loading", loading),
    (CheckId::ModelsServed, "it has none", no_models),
    (CheckId::RuntimeGeneration, "the runtime fails", failing),
    (CheckId::RuntimeGeneration, "the runtime hangs", hanging),
];

#[test]
fn runtimes_and_models_are_examined_and_mended() {
    crate::case::run(CASES);
}

/// What is not known yet is no fault, and what an older agent does not tell is looked at.
#[test]
fn an_agent_that_tells_nothing_of_its_runtimes_is_not_said_to_have_none() {
    let (machine, _runtime, _agent) = served(SimConfig::new(Kind::Ollama));
    let mut answers = 0;
    between(&machine.state.socket(), move |mut status| {
        answers += 1;
        status["has_looked"] = false.into();
        status["endpoints"] = serde_json::json!([]);
        if answers > 1 {
            status["has_looked"] = serde_json::Value::Null;
        }
        Some(status)
    });
    let found = || {
        let report = shell(&machine, "dgon-agent doctor --json")
            .output()
            .unwrap();
        worst(&json(&report), "runtime.found")
    };
    let (outcome, finding, _) = found();
    assert_eq!(outcome, "skip", "{finding}");
    assert!(finding.contains("has just started"), "{finding}");
    let (outcome, finding, _) = found();
    assert_eq!(outcome, "ok", "{finding}");
}

fn sim(config: SimConfig) -> SimRuntime {
    tokio().block_on(SimRuntime::start(config)).unwrap()
}

fn with(config: SimConfig) -> (Machine, SimRuntime) {
    let runtime = sim(config);
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
    (machine, runtime)
}

/// A runtime that is well takes the place of the one that is ill.
fn replaced() -> Mend {
    Mend::ByHand(Box::new(|machine| {
        let runtime = sim(SimConfig::new(Kind::Ollama));
        machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
        machine.residents.push(Box::new(runtime));
    }))
}

fn none() -> Scenario {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    Scenario::new(machine, "no LLM runtime answers", replaced())
}

/// The agent serves one runtime, and another one that its owner named is not there.
fn named_away() -> Scenario {
    let (mut machine, runtime) = with(SimConfig::new(Kind::Ollama));
    let mut absent = SimConfig::new(Kind::Vllm);
    absent.bind = crate::net::nowhere();
    let both = format!("{},http://{}", runtime.url(), absent.bind);
    machine.set("DGON_RUNTIMES_ENDPOINTS", both);
    let agent = Running::agent(&machine);
    until(&machine, |status| {
        status["endpoints"][0]["state"] == "found" && status["endpoints"][1]["state"] == "away"
    });
    let shown = crate::case::shell(&machine, "dgon-agent status").output();
    let shown = crate::support::stdout(&shown.unwrap());
    let line = format!("AWAY: http://{}; nothing listens there", absent.bind);
    assert!(shown.contains(&line), "{shown}");
    let mend = move |machine: &mut Machine| {
        machine.residents.push(Box::new(sim(absent)));
        until(machine, |status| status["endpoints"][1]["state"] == "found");
    };
    let fix = Mend::ByHand(Box::new(mend));
    Scenario::new(machine, "nothing listens there", fix).keep((runtime, agent))
}

fn loading() -> Scenario {
    let mut config = SimConfig::new(Kind::LlamaCpp);
    config.loading = Duration::from_secs(3600);
    let (machine, runtime) = with(config);
    Scenario::new(machine, "is loading its model", replaced()).keep(runtime)
}

fn no_models() -> Scenario {
    let mut config = SimConfig::new(Kind::Ollama);
    config.models.clear();
    let (machine, runtime) = with(config);
    Scenario::new(machine, "serves no model", replaced()).keep(runtime)
}

/// A machine whose agent runs before this runtime.
fn served(config: SimConfig) -> (Machine, SimRuntime, Running) {
    let (machine, runtime) = with(config);
    let agent = Running::agent(&machine);
    until(&machine, |status| {
        status["runtimes"][0]["models"][0].is_object()
    });
    (machine, runtime, agent)
}

fn failing() -> Scenario {
    let mut config = SimConfig::new(Kind::Vllm);
    config.faults.error_rate = 1.0;
    let (machine, runtime, agent) = served(config);
    let fix = Mend::Shows("error", Box::new(heal));
    Scenario::new(machine, "no token: ", fix).keep((runtime, agent))
}

fn hanging() -> Scenario {
    let mut config = SimConfig::new(Kind::Vllm);
    config.faults.stall_after = Some(0);
    let (machine, runtime, agent) = served(config);
    let fix = Mend::ByHand(Box::new(heal));
    Scenario::new(machine, "no token within 2 s", fix).keep((runtime, agent))
}

/// A machine whose runtime is well, with its agent; both end with the machine.
fn heal(machine: &mut Machine) {
    let (fresh, runtime, agent) = served(SimConfig::new(Kind::Ollama));
    *machine = fresh;
    machine.residents.push(Box::new((agent, runtime)));
}

/// The shell may know of other runtimes than the agent: what counts is what the agent serves.
#[test]
fn the_runtimes_of_the_running_agent_are_judged_and_not_those_of_the_shell() {
    let (mut machine, runtime, _agent) = served(SimConfig::new(Kind::Ollama));
    machine.set("DGON_RUNTIMES_ENDPOINTS", "http://127.0.0.1:9");
    let report = machine.report();
    let (outcome, finding, _) = crate::case::worst(&report, "runtime.found");
    assert_eq!(outcome, "ok", "{finding}");
    assert!(finding.contains(&runtime.url()), "{finding}");
    let (outcome, finding, _) = crate::case::worst(&report, "agent.settings");
    assert_eq!(outcome, "warn", "{finding}");
    let agents = format!("runtimes.endpoints {}", runtime.url());
    assert!(finding.contains(&agents), "{finding}");
    assert!(finding.contains("says http://127.0.0.1:9"), "{finding}");

    // The other way around: a listener that is open although the shell's is closed.
    let mut machine = Machine::enrolled("http://127.0.0.1:9");
    machine.set("DGON_PROXY_LISTEN", "0.0.0.0:0");
    let _agent = Running::agent(&machine);
    until(&machine, |status| status["running"] == true);
    machine.set("DGON_PROXY_LISTEN", "127.0.0.1:0");
    let (outcome, finding, fix) = machine.check("config.listen");
    assert_eq!(outcome, "warn", "{finding}");
    assert!(fix.unwrap().starts_with("dgon-agent stop"), "{finding}");
}

#[test]
fn the_token_is_asked_through_the_proxy_and_its_receipt_says_local() {
    let (machine, runtime, _agent) = served(SimConfig::new(Kind::Ollama));
    let report = machine.report();
    let (outcome, finding, _) = crate::case::worst(&report, "runtime.generation");
    assert_eq!(outcome, "ok", "{finding}");
    let id = finding.rsplit_once("receipt ").unwrap().1;
    let shown = crate::support::agent(machine.dir.path(), &["receipt", "show", id, "--json"]);
    let receipt = crate::support::json(&{ shown }.output().unwrap())["receipt"].take();
    assert_eq!(receipt["source"], "local", "{receipt:#}");
    assert_eq!(receipt["tokens_output"], 1, "{receipt:#}");
    let (outcome, finding, _) = crate::case::worst(&report, "runtime.found");
    assert_eq!(outcome, "ok");
    assert!(finding.contains(&runtime.url()), "{finding}");
    let (_, finding, _) = crate::case::worst(&report, "models.served");
    assert!(finding.contains(Kind::Ollama.default_model()), "{finding}");
}

#[test]
fn runtimes_and_models_are_listed() {
    let (mut machine, runtime) = with(SimConfig::new(Kind::Ollama));
    let nobody = "http://127.0.0.1:9";
    machine.set(
        "DGON_RUNTIMES_ENDPOINTS",
        format!("{},{nobody}", runtime.url()),
    );
    let run = |arguments: &[&str]| {
        let mut command = crate::support::agent(machine.dir.path(), arguments);
        command.envs(
            machine
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        command.output().unwrap()
    };
    let list = |what: &str| json(&run(&[what, "--json"]));
    let runtimes = list("runtimes");
    assert_eq!(runtimes["runtimes"][0]["kind"], "ollama");
    assert_eq!(runtimes["runtimes"][0]["ready"], true);
    assert_eq!(runtimes["runtimes"].as_array().map(Vec::len), Some(1));
    assert_eq!(runtimes["away"][0]["endpoint"], nobody);
    let said = String::from_utf8(run(&["runtimes"]).stdout).unwrap();
    assert!(said.contains(&format!("AWAY: {nobody}, ")), "{said}");
    let models = list("models");
    assert_eq!(models["models"][0]["id"], Kind::Ollama.default_model());
}
