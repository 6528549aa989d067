//! The doctor through the real binary: every check is made to fail, and the whole ends within its time.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_agent::config::StateDir;
use dgon_agent::files;
use dgon_agent::identity::{self, Enrolment, NodeSecret};
use dgon_agent::spool::{DeadLetter, DeadLetters, Folder, Spool};
use dgon_agent_core::spool::Limits;
use dgon_protocol::auth::{self, verify_v2};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Refused;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::{Draft, Sha256Hash, Source, Status};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::{Request, StandIn, agent, stdout};

const SECRET: [u8; 32] = [9; 32];

/// An enrolled machine with a configuration file.
struct Machine {
    dir: tempfile::TempDir,
    state: StateDir,
    key: NodeKey,
    environment: Vec<(&'static str, String)>,
}

impl Machine {
    fn enrolled(api: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().join("state"));
        let key = identity::create_key(&state).unwrap();
        let enrolment = Enrolment {
            node_id: "rig-7".parse().unwrap(),
            region: "eu-west".to_owned(),
            link_url: "ws://127.0.0.1:9/api/v1/nodes/link".to_owned(),
            secret: NodeSecret::parse(&STANDARD.encode(SECRET)).unwrap(),
        };
        identity::store_enrolment(&state, &enrolment).unwrap();
        let this = Self {
            // Detection would find what else runs on the tester's machine.
            environment: vec![
                ("DGON_RUNTIMES_DETECT", "false".to_owned()),
                ("DGON_PROXY_LISTEN", "127.0.0.1:0".to_owned()),
                ("DGON_NVML_LIB", "/nowhere/libnvidia-ml.so".to_owned()),
            ],
            dir,
            state,
            key,
        };
        this.configure(&format!(
            "control_plane:\n  api: {api}\nnode:\n  id: rig-7\n"
        ));
        this
    }

    fn with_control_plane(status: &'static str) -> (Self, StandIn) {
        let plane = control_plane(status);
        (Self::enrolled(&plane.url()), plane)
    }

    fn configure(&self, text: &str) {
        files::write_public(&self.state.path().join("agent.yaml"), text.as_bytes()).unwrap();
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.push((name, value.into()));
    }

    fn doctor(&self, arguments: &[&str]) -> std::process::Output {
        agent(self.dir.path(), &[&["doctor"], arguments].concat())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    fn report(&self) -> Value {
        support::json(&self.doctor(&["--json"]))
    }

    /// Outcome, finding and fix of one check.
    fn check(&self, id: &str) -> (String, String, Option<String>) {
        let report = self.report();
        let checks = report["checks"].as_array().unwrap();
        let Some(check) = checks.iter().find(|check| check["id"] == id) else {
            panic!("no check {id} in {report}");
        };
        let text = |name: &str| check[name].as_str().map(str::to_owned);
        (
            text("outcome").unwrap(),
            text("finding").unwrap(),
            text("fix"),
        )
    }

    fn assert_check(&self, id: &str, outcome: &str, finding: &str) {
        let (got, said, fix) = self.check(id);
        assert_eq!(got, outcome, "{id}: {said}");
        assert!(said.contains(finding), "{id}: {said}");
        if outcome == "fail"
            && !said.contains("quarantine")
            && !said.contains("1.8 s")
            && !said.contains("not as a DGON")
        {
            assert!(fix.is_some(), "{id} has no fix: {said}");
        }
    }
}

/// Answers `nodes/self` to who signs with the secret.
fn control_plane(status: &'static str) -> StandIn {
    StandIn::start(move |request: &Request| {
        let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
        let signed = verify_v2(
            &SECRET,
            &auth::Request {
                method: "GET",
                path_and_query: "/api/v1/nodes/self",
                timestamp: &header(auth::HEADER_TIMESTAMP),
                nonce: &header(auth::HEADER_NONCE),
                body: b"",
            },
            &header(auth::HEADER_AUTH),
        );
        if request.line != "GET /api/v1/nodes/self" || !signed {
            return (401, error("unauthorized"));
        }
        let body = json!({
            "node_id": header(auth::HEADER_NODE_ID),
            "status": status,
            "status_reason": "as the test says",
            "acked_seq": 0,
            "server_time": "2026-11-21T03:00:00.000Z",
        });
        (200, body.to_string())
    })
}

fn error(kind: &str) -> String {
    json!({"error": {"type": kind, "message": "said no", "request_id": "q", "details": {}}})
        .to_string()
}

fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

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
        "not as a DGON",
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

fn fill_spool(machine: &Machine, count: u64) {
    let folder = Folder::open(&machine.state.spool_dir()).unwrap();
    let key_id = machine.key.public().key_id();
    let mut spool = Spool::open(folder, &key_id, Limits::new(100, 1 << 20), 1).unwrap();
    let mut prev_hash = Sha256Hash::ZERO;
    for seq in 1..=count {
        let signed = draft(seq, prev_hash).sign(&machine.key);
        prev_hash = signed.entry_hash;
        spool.append(&[signed], 1).unwrap();
    }
}

fn draft(seq: u64, prev_hash: Sha256Hash) -> Draft {
    Draft {
        request_id: format!("r_{seq}").parse().unwrap(),
        node_id: "rig-7".parse().unwrap(),
        region: None,
        ts_start: 1,
        ts_end: 2,
        model_id: "m".to_owned(),
        model_hash: None,
        prompt_hash: None,
        tokens_input: 1,
        tokens_output: 1,
        p95_ms: None,
        s3_checkpoints: Vec::new(),
        hedged: false,
        cache_hit: None,
        seq,
        prev_hash,
        status: Status::Ok,
        ttft_ms: Some(3),
        latency_ms: 5,
        runtime: Some("ollama".to_owned()),
        source: Source::Local,
        tokens_cached: None,
        output_hash: None,
        energy_mwh: None,
        order_hash: None,
        tokens_source: None,
        error: None,
    }
}

#[test]
fn receipts_of_the_spool_are_listed_shown_and_verified() {
    let machine = Machine::enrolled("http://127.0.0.1:9");
    fill_spool(&machine, 3);
    let run = |arguments: &[&str]| agent(machine.dir.path(), arguments).output().unwrap();
    let list = support::json(&run(&["receipt", "list", "--limit", "2", "--json"]));
    let seqs: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["seq"])
        .collect();
    assert_eq!(seqs, [3, 2]);
    assert_eq!(list["items"][0]["acknowledged"], false);
    let table = stdout(&run(&["receipt", "list"]));
    assert!(table.contains("r_3") && table.contains("waits"), "{table}");

    for id in ["r_2", "2"] {
        let shown = support::json(&run(&["receipt", "show", id, "--json"]));
        assert_eq!(shown["receipt"]["request_id"], "r_2");
    }
    let raw = run(&["receipt", "show", "r_2", "--raw"]);
    std::fs::write(machine.dir.path().join("r2.json"), &raw.stdout).unwrap();
    let verified = run(&["receipt", "verify", "r2.json", "--json"]);
    assert_eq!(verified.status.code(), Some(0));
    let verdict = support::json(&verified);
    let shown = support::json(&run(&["receipt", "show", "r_2", "--json"]));
    assert_eq!(verdict["entry_sha256"], shown["entry_sha256"]);
    assert_eq!(verdict["key_id"], machine.key.public().key_id());
    assert_eq!(run(&["receipt", "show", "r_99"]).status.code(), Some(1));
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
