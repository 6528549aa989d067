//! The owner has a running agent let go of the drivers, or switches reading off: no driver stays open, none is opened
//! behind the owner's back, and whoever asks is told why nothing is known.

use crate::machine::{card, library, machine};
use crate::support::{self, agent};
use dgon_agent::config::StateDir;
use dgon_agent::identity::{self, Enrolment, NodeSecret};
use dgon_protocol::id::NodeId;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(60);
/// base64 of 32 zero bytes.
const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A machine with one card and an enrolled agent.
struct Node {
    dir: tempfile::TempDir,
    read_gpus: bool,
}

/// The running agent; it ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Node {
    fn new(read_gpus: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let played = machine(vec![card(0)]).to_string();
        fs::write(dir.path().join("machine.json"), played).unwrap();
        let state = StateDir::new(dir.path().join("state"));
        identity::create_key(&state).unwrap();
        let enrolment = Enrolment {
            node_id: NodeId::parse("rig-7").unwrap(),
            region: String::new(),
            link_url: "ws://127.0.0.1:9/none".to_owned(),
            secret: NodeSecret::parse(SECRET).unwrap(),
        };
        identity::store_enrolment(&state, &enrolment).unwrap();
        Self { dir, read_gpus }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = agent(self.path(), arguments);
        command
            .env("DGON_NVML_LIB", library())
            .env("DGON_FAKE_NVML", self.path().join("machine.json"))
            .env("DGON_TELEMETRY_READ_GPUS", self.read_gpus.to_string())
            .env("DGON_RUNTIMES_DETECT", "false");
        command
    }

    fn start(&self) -> Running {
        let mut command = self.command(&["run", "--listen", "127.0.0.1:0"]);
        let running = command.stderr(Stdio::null()).stdout(Stdio::null());
        Running(running.spawn().unwrap())
    }

    fn said(&self, arguments: &[&str]) -> Value {
        support::json(&self.command(arguments).output().unwrap())
    }

    /// The agent's status once it is as wanted.
    fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + WITHIN;
        loop {
            let output = self.command(&["status", "--json"]).output().unwrap();
            let status = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < give_up, "{status}");
        }
    }

    /// How often each process has the driver open, by its id.
    fn sessions(&self) -> Vec<(u32, u32)> {
        let Ok(entries) = fs::read_dir(self.path().join("sessions")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .map(|entry| {
                let pid = entry.file_name().to_str().unwrap().parse().unwrap();
                let count = fs::read_to_string(entry.path()).unwrap();
                (pid, count.parse().unwrap())
            })
            .collect()
    }
}

fn has_card(status: &Value) -> bool {
    status["gpus"][0]["name"] == "NVIDIA H200"
}

#[test]
fn a_running_agent_lets_go_of_the_drivers_and_takes_them_up_again() {
    let node = Node::new(true);
    let running = node.start();
    let status =
        node.until(|status| has_card(status) && status["gpu_loads"][0]["util_pct"] == 37.0);
    assert_eq!(status["gpus_not_read"], Value::Null);
    let pid = running.0.id();
    assert!(node.sessions().contains(&(pid, 1)), "{:?}", node.sessions());

    assert_eq!(
        node.said(&["gpus", "release", "--json"]),
        json!({"done": true})
    );
    assert_eq!(node.sessions(), [(pid, 0)], "nobody has the driver open");
    let status = node.until(|status| status["gpus_not_read"] == "released");
    assert!(has_card(&status), "the machine is no other one: {status}");
    assert_eq!(
        status["gpu_loads"],
        json!([]),
        "what is not read is not told"
    );
    let listed = node.said(&["gpus", "--json"]);
    assert_eq!(
        (&listed["not_read"], &listed["backend"]),
        (&json!("released"), &Value::Null)
    );
    let doctor = node.said(&["doctor", "--json"]);
    let driver = doctor["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["id"] == "gpu.driver");
    assert_eq!(driver.unwrap()["outcome"], "skip", "{driver:?}");
    assert_eq!(node.sessions(), [(pid, 0)], "nobody opened it again");

    assert_eq!(
        node.said(&["gpus", "resume", "--json"]),
        json!({"done": true})
    );
    let status = node.until(|status| status["gpu_loads"][0]["util_pct"] == 37.0);
    assert_eq!(status["gpus_not_read"], Value::Null);
    assert_eq!(node.sessions(), [(pid, 1)]);
}

#[test]
fn a_release_for_a_while_ends_by_itself() {
    let node = Node::new(true);
    let _running = node.start();
    node.until(has_card);
    let said = node.said(&["gpus", "release", "--for", "1s", "--json"]);
    assert_eq!(said, json!({"done": true}));
    let status = node.until(|status| status["gpu_loads"][0]["util_pct"] == 37.0);
    assert_eq!(status["gpus_not_read"], Value::Null);
    for wrong in ["10", "0s", "soon"] {
        let output = node
            .command(&["gpus", "release", "--for", wrong])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{wrong}");
    }
}

#[test]
fn what_is_switched_off_is_never_opened_and_said() {
    let node = Node::new(false);
    let _running = node.start();
    let status = node.until(|status| status["gpus_not_read"] == "off");
    assert_eq!(
        (&status["gpus"], &status["gpu_loads"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(node.said(&["gpus", "--json"])["not_read"], "off");
    let text = support::stdout(&node.command(&["status"]).output().unwrap());
    assert!(text.contains("switched off in agent.yaml"), "{text}");
    let resume = node.command(&["gpus", "resume"]).output().unwrap();
    assert!(
        !resume.status.success(),
        "an order does not win over agent.yaml"
    );
    let doctor = node.said(&["doctor", "--json"]).to_string();
    assert!(doctor.contains("telemetry.read_gpus"), "{doctor}");
    assert_eq!(node.sessions(), []);
}
