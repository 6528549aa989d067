//! The doctor through the real binary: GPUs, disk, spool, runtimes and the agent itself are made to fail.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dgon_agent::spool::{DeadLetter, DeadLetters};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Refused;
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::machine::{Machine, fill_spool};
use support::{agent, stdout};

fn played(machine: &mut Machine, file: &Path) {
    let name = format!(
        "{}dgon_fake_nvml{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    let test = std::env::current_exe().unwrap();
    let library = test
        .ancestors()
        .map(|dir| dir.join(&name))
        .find(|path| path.exists());
    machine.set("DGON_NVML_LIB", library.unwrap().display().to_string());
    machine.set("DGON_FAKE_NVML", file.display().to_string());
}

#[test]
fn the_gpus_are_examined() {
    let (mut machine, _plane) = Machine::with_control_plane("active");
    let file = machine.dir.path().join("machine.json");
    played(&mut machine, &file);
    let card = |more: Value| {
        let mut card = json!({"name": "NVIDIA H200", "memory_total": 1 << 30, "temp_c": 40});
        for (key, value) in more.as_object().unwrap() {
            card[key] = value.clone();
        }
        card
    };
    let cards = json!([
        card(json!({})),
        card(json!({"answer": "lost"})),
        card(json!({"temp_c": 95, "throttle": 0x40, "ecc_uncorrected": 2})),
    ]);
    std::fs::write(&file, json!({"driver": "1", "cards": cards}).to_string()).unwrap();
    machine.assert_check("gpu.card0.temperature", "ok", "40");
    machine.assert_check("gpu.card1", "fail", "fell off the bus");
    machine.assert_check("gpu.card2.temperature", "warn", "95");
    machine.assert_check("gpu.card2.throttling", "warn", "hardware_thermal");
    machine.assert_check("gpu.card2.ecc", "fail", "2 memory errors");
    std::fs::write(&file, json!({"init": "version_mismatch"}).to_string()).unwrap();
    machine.assert_check("gpu.driver", "fail", "different versions");
}

#[test]
fn a_driver_that_hangs_is_reported_and_holds_nothing_up() {
    let (mut machine, _plane) = Machine::with_control_plane("active");
    let pipe = machine.dir.path().join("machine.json");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    played(&mut machine, &pipe);
    let began = Instant::now();
    machine.assert_check("gpu.time", "fail", "hangs");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn the_disk_and_the_spool_are_examined() {
    let (mut machine, _plane) = Machine::with_control_plane("active");
    machine.assert_check("spool.depth", "ok", "0 receipts wait");
    fill_spool(&machine, 3);
    machine.assert_check("spool.depth", "ok", "3 receipts wait");
    machine.set("DGON_SPOOL_MAX_RECEIPTS", "5");
    machine.assert_check("spool.depth", "warn", "at most 5");
    machine.set("DGON_SPOOL_MAX_RECEIPTS", "3");
    machine.assert_check("spool.depth", "fail", "full");

    let refusal = Refused {
        request_id: None,
        kind: ErrorType::ForkedChain,
        message: "another receipt has this number".to_owned(),
    };
    DeadLetters::in_dir(machine.state.path())
        .append(&[DeadLetter {
            refused_s: 1,
            refusal,
            seq: None,
            receipt: None,
        }])
        .unwrap();
    machine.assert_check("spool.dead_letters", "warn", "forked_chain");

    // A name that cannot be written, for root too.
    std::fs::create_dir_all(machine.state.path().join(".doctor/x")).unwrap();
    machine.assert_check("disk.writable", "fail", "cannot be written");
}

/// An agent that runs until the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_running_agent_is_asked_and_its_link_examined() {
    let (machine, _plane) = Machine::with_control_plane("active");
    let child = agent(machine.dir.path(), &["run"])
        .envs(
            machine
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _running = Running(child);
    let deadline = Instant::now() + Duration::from_secs(20);
    // The stand-in speaks no WebSocket, so the link comes to wait.
    loop {
        let output = agent(machine.dir.path(), &["status", "--json"])
            .output()
            .unwrap();
        let status = support::json(&output);
        if status["running"] == true && status["link"]["phase"] == "waiting" {
            assert_eq!(status["node_id"], "rig-7");
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
    }
    machine.assert_check("agent.running", "ok", "pid");
    machine.assert_check("agent.version", "ok", "0.1.0");
    machine.assert_check("agent.link", "fail", "receipts wait");
    machine.assert_check("agent.serving", "ok", "takes requests");
    let text = stdout(&agent(machine.dir.path(), &["status"]).output().unwrap());
    assert!(text.contains("rig-7 in eu-west"), "{text}");
}

#[test]
fn without_an_agent_its_address_must_be_free() {
    let (mut machine, _plane) = Machine::with_control_plane("active");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    machine.set("DGON_PROXY_LISTEN", taken.local_addr().unwrap().to_string());
    machine.assert_check("agent.listen", "fail", "cannot listen");
    let status = agent(machine.dir.path(), &["status", "--json"])
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(1));
    assert_eq!(support::json(&status)["running"], false);
}

async fn with_runtime(config: SimConfig) -> (Machine, support::StandIn, SimRuntime) {
    let runtime = SimRuntime::start(config).await.unwrap();
    let (mut machine, plane) = Machine::with_control_plane("active");
    machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
    (machine, plane, runtime)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_serves_passes_and_is_listed_with_its_models() {
    let (machine, _plane, runtime) = with_runtime(SimConfig::new(Kind::Ollama)).await;
    machine.assert_check("runtime.found", "ok", &runtime.url());
    machine.assert_check("runtime.0.ready", "ok", "takes requests");
    machine.assert_check("runtime.0.models", "ok", Kind::Ollama.default_model());
    let list = |what: &str| {
        let output = agent(machine.dir.path(), &[what, "--json"])
            .envs(
                machine
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .output()
            .unwrap();
        support::json(&output)
    };
    let runtimes = list("runtimes");
    assert_eq!(runtimes["runtimes"][0]["kind"], "ollama");
    assert_eq!(runtimes["runtimes"][0]["ready"], true);
    let models = list("models");
    assert_eq!(models["models"][0]["id"], Kind::Ollama.default_model());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_is_loading_is_waited_for() {
    let mut config = SimConfig::new(Kind::LlamaCpp);
    config.loading = Duration::from_secs(3600);
    let (machine, _plane, _runtime) = with_runtime(config).await;
    machine.assert_check("runtime.0.ready", "warn", "loading");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_without_models_has_nothing_to_serve() {
    let mut config = SimConfig::new(Kind::Ollama);
    config.models.clear();
    let (machine, _plane, _runtime) = with_runtime(config).await;
    machine.assert_check("runtime.0.models", "fail", "serves no model");
}
