//! An enrolled machine for tests, and the control plane that knows it.

use super::{Request, StandIn, agent};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_agent::config::StateDir;
use dgon_agent::files;
use dgon_agent::identity::{self, Enrolment, NodeSecret};
use dgon_agent::spool::{Folder, Spool};
use dgon_agent_core::spool::Limits;
use dgon_protocol::auth::{self, verify_v2};
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::{Draft, Sha256Hash, Source, Status};
use serde_json::{Value, json};
use std::path::Path;

/// The HMAC secret of every machine.
pub(crate) const SECRET: [u8; 32] = [9; 32];

/// An enrolled machine with a configuration file.
pub(crate) struct Machine {
    /// What lives as long as the machine, such as its agent; ends before its folder goes.
    pub(crate) residents: Vec<Box<dyn std::any::Any>>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) state: StateDir,
    pub(crate) key: NodeKey,
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Machine {
    /// A machine that is enrolled with the control plane at `api`.
    pub(crate) fn enrolled(api: &str) -> Self {
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
            residents: Vec::new(),
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

    /// A machine with a control plane that gives it this status.
    pub(crate) fn with_control_plane(status: &'static str) -> (Self, StandIn) {
        let plane = control_plane(status);
        (Self::enrolled(&plane.url()), plane)
    }

    /// Writes agent.yaml.
    pub(crate) fn configure(&self, text: &str) {
        files::write_public(&self.state.path().join("agent.yaml"), text.as_bytes()).unwrap();
    }

    /// Sets an environment variable of every later call.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.push((name, value.into()));
    }

    /// Calls the doctor.
    pub(crate) fn doctor(&self, arguments: &[&str]) -> std::process::Output {
        agent(self.dir.path(), &[&["doctor"], arguments].concat())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap()
    }

    /// Its report.
    pub(crate) fn report(&self) -> Value {
        super::json(&self.doctor(&["--json"]))
    }

    /// Outcome, finding and fix of one check.
    pub(crate) fn check(&self, id: &str) -> (String, String, Option<String>) {
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

    /// One check has this outcome and says this; a failure names its fix, unless none exists.
    pub(crate) fn assert_check(&self, id: &str, outcome: &str, finding: &str) {
        let (got, said, fix) = self.check(id);
        assert_eq!(got, outcome, "{id}: {said}");
        assert!(said.contains(finding), "{id}: {said}");
        if outcome == "fail"
            && !said.contains("quarantine")
            && !said.contains("1.8 s")
            && !said.contains("does not answer as a DGON")
        {
            assert!(fix.is_some(), "{id} has no fix: {said}");
        }
    }
}

/// Answers `nodes/self` to who signs with the secret.
pub(crate) fn control_plane(status: &'static str) -> StandIn {
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

/// The body of an error of this type.
pub(crate) fn error(kind: &str) -> String {
    json!({"error": {"type": kind, "message": "said no", "request_id": "q", "details": {}}})
        .to_string()
}

/// Sets the mode of a file.
pub(crate) fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Puts signed receipts into the spool.
pub(crate) fn fill_spool(machine: &Machine, count: u64) {
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
