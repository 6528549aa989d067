//! What the OpenAPI document says of nodes' bodies, receipts and frames, held against what the protocol makes and reads.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail like tests do"
)]

use dgon_control_plane::http::openapi::document;
use dgon_protocol::enrol::{RegisterNonce, RegisterRequest, RegisterResponse};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{
    Ack, Bye, Challenge, Control, Gpu, GpuInstance, GpuLoad, GpusNotRead, Heartbeat, Hello, Host,
    Inventory, Issue, IssueKind, Job, JobCancel, JobResult, JobUpdate, LifecycleStatus, LinkError,
    LinkLimits, Model, Need, NodeStatus, PausedReason, Permission, Probe, ProbeOutcome,
    ProbeResult, Receipts, Refused, Runtime, SealedKeys, ToAgent, ToControlPlane, Welcome,
};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::NodeKey;
use dgon_protocol::order::{OrderKeys, OrderSigningKey};
use dgon_protocol::receipt::{Receipt, Sha256Hash};
use dgon_protocol::rotate::{Closing, Rotation};
use dgon_testkit::fleet::SimAgent;
use serde::Serialize;
use serde_json::{Value, json};

/// A validator of one of the document's schemas.
fn schema(name: &str) -> jsonschema::Validator {
    let api = serde_json::to_value(document()).expect("document");
    let whole = json!({
        "$ref": format!("#/components/schemas/{name}"),
        "components": api["components"],
    });
    jsonschema::draft202012::new(&whole).expect("a schema")
}

pub(super) fn assert_fits(name: &str, value: &impl Serialize) {
    let value = serde_json::to_value(value).expect("json");
    let errors: Vec<String> = schema(name)
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}\n{value:#}");
}

fn node_id() -> NodeId {
    NodeId::parse("rig-7").unwrap()
}

fn key(seed: u8) -> NodeKey {
    NodeKey::from_seed(&[seed; 32])
}

#[test]
fn bodies_of_nodes_are_as_described() {
    let signature = dgon_protocol::key::signature_text(&key(1).sign(b"x"));
    assert_fits(
        "node.RegisterNonce",
        &RegisterNonce {
            nonce: "n".to_owned(),
            expires_s: 300,
        },
    );
    assert_fits(
        "node.RegisterRequest",
        &RegisterRequest {
            token: "t".to_owned(),
            public_key: key(1).public(),
            nonce: "n".to_owned(),
            signature,
            node_id: Some(node_id()),
            region: Some("eu-west".to_owned()),
            agent_version: "1.2.3".to_owned(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            hardware_hash: Some(format!("blake3:{}", "0".repeat(64))),
        },
    );
    use base64::Engine as _;
    assert_fits(
        "node.RegisterResponse",
        &RegisterResponse {
            node_id: node_id(),
            node_secret: base64::engine::general_purpose::STANDARD.encode([7; 32]),
            link_url: "ws://127.0.0.1/api/v1/nodes/link".to_owned(),
            region: "local".to_owned(),
        },
    );
    let rotation = Rotation::sign(&node_id(), &key(1), &key(2), 1_800_000_000);
    assert_fits("node.Rotation", &rotation);
    let closing = Closing::sign(&node_id(), &key(1), 7, Sha256Hash::of(b"last"));
    assert_fits("node.Closing", &closing);
}

fn inventory() -> Inventory {
    Inventory {
        host: Host {
            os_version: Some("Debian".to_owned()),
            cpu: None,
            cores: Some(8),
            memory_mib: Some(1),
        },
        gpus: vec![Gpu {
            name: "GPU".to_owned(),
            backend: "nvml".to_owned(),
            mig: vec![GpuInstance::default()],
            ..Gpu::default()
        }],
        runtimes: vec![Runtime {
            kind: "ollama".to_owned(),
            version: None,
            ready: true,
            models: vec![Model {
                id: "m".to_owned(),
                digest: None,
                size_bytes: Some(1),
                loaded: Some(true),
            }],
        }],
        hardware_hash: None,
        gpus_not_read: Some(GpusNotRead::Off),
    }
}

/// One frame of every type that an agent sends.
fn from_agent() -> Vec<ToControlPlane> {
    let receipt = serde_json::value::RawValue::from_string(receipt()).unwrap();
    vec![
        ToControlPlane::Hello(Hello {
            node_id: node_id(),
            public_key: key(1).public(),
            signature: dgon_protocol::key::signature_text(&key(1).sign(b"x")),
            agent_version: "1.2.3".to_owned(),
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            boot_id: "b".to_owned(),
            inventory: inventory(),
            next_seq: 1,
            allow: Permission::DEFAULT.to_vec(),
            agent_nonce: Some("n".repeat(22)),
        }),
        ToControlPlane::Heartbeat(Heartbeat {
            gpus: vec![GpuLoad {
                util_pct: Some(0.5),
                throttle: Some(Vec::new()),
                ..GpuLoad::default()
            }],
            paused: true,
            paused_reason: Some(PausedReason::GpuHot),
            ..Heartbeat::default()
        }),
        ToControlPlane::Inventory(inventory()),
        ToControlPlane::Receipts(Receipts {
            receipts: vec![receipt],
        }),
        ToControlPlane::ProbeResult(ProbeResult {
            probe_id: "p".to_owned(),
            request_id: RequestId::parse("r_1").ok(),
            outcome: ProbeOutcome::NoRuntime,
            message: None,
            model: None,
            tokens_input: 0,
            tokens_output: 0,
            ttft_ms: None,
            latency_ms: 0,
        }),
        ToControlPlane::JobUpdate(JobUpdate {
            job_id: "j".to_owned(),
            state: "running".to_owned(),
            message: None,
        }),
        ToControlPlane::JobResult(JobResult {
            job_id: "j".to_owned(),
            ok: true,
            output: json!({ "any": 1 }),
        }),
        ToControlPlane::Issue(Issue {
            kind: IssueKind::ClockDrift,
            params: serde_json::Map::new(),
        }),
        ToControlPlane::Bye(Bye {
            reason: "stopping".to_owned(),
        }),
    ]
}

fn order_keys() -> OrderKeys {
    let key = OrderSigningKey::from_seed(&[1; 32]);
    OrderKeys::new(vec![key.order_key(0, 1)]).unwrap()
}

/// One frame of every type that an agent gets.
fn to_agent() -> Vec<ToAgent> {
    let welcome = Welcome {
        session_id: "s".to_owned(),
        acked_seq: 0,
        acked_receipt: Some(serde_json::value::RawValue::from_string(receipt()).unwrap()),
        heartbeat_s: 10,
        limits: LinkLimits::default(),
        flags: serde_json::Map::new(),
        agent_nonce: Some("n".repeat(22)),
        order_keys: order_keys(),
    };
    vec![
        ToAgent::Challenge(Challenge {
            nonce: "n".to_owned(),
            server_time_ms: 0,
        }),
        ToAgent::Welcome(welcome.seal(b"secret", "n").unwrap()),
        ToAgent::Keys(SealedKeys::seal(order_keys(), b"secret", "s").unwrap()),
        ToAgent::Ack(Ack {
            acked_seq: 1,
            refused: vec![Refused {
                request_id: None,
                kind: ErrorType::InvalidReceipt,
                message: "no".into(),
            }],
        }),
        ToAgent::Need(Need { from: 1, to: 2 }),
        ToAgent::Status(NodeStatus {
            status: LifecycleStatus::Active,
            reason: "probed".into(),
        }),
        ToAgent::Probe(Probe {
            probe_id: "p".to_owned(),
            request_id: RequestId::parse("r_1").unwrap(),
            model: None,
            prompt: "Say hello.".to_owned(),
            max_tokens: 8,
            timeout_ms: 1,
        }),
        ToAgent::Job(Job {
            job_id: "j".to_owned(),
            kind: Permission::Benchmark,
            spec: json!({}),
            timeout_s: 1,
        }),
        ToAgent::JobCancel(JobCancel {
            job_id: "j".to_owned(),
        }),
        ToAgent::Control(Control::Refresh),
        ToAgent::Control(Control::SetConfig {
            config: serde_json::Map::new(),
        }),
        ToAgent::Error(LinkError {
            kind: ErrorType::Replaced,
            message: "again".into(),
            retry_after_s: None,
        }),
    ]
}

#[test]
fn frames_of_the_link_are_as_described() {
    let mut seen: Vec<&str> = Vec::new();
    for frame in from_agent() {
        let text = frame.encode(1_800_000_000_000);
        assert_fits(
            "link.ToControlPlane",
            &serde_json::from_str::<Value>(&text).unwrap(),
        );
        seen.push(frame.kind());
    }
    assert_eq!(seen, ToControlPlane::KINDS);
    seen.clear();
    for frame in to_agent() {
        let text = frame.encode(1_800_000_000_000);
        assert_fits(
            "link.ToAgent",
            &serde_json::from_str::<Value>(&text).unwrap(),
        );
        seen.push(frame.kind());
    }
    seen.dedup();
    assert_eq!(seen, ToAgent::KINDS);
}

fn receipt() -> String {
    let saved = json!({
        "node_id": node_id(), "region": "local", "link_url": "", "key_seed": "01".repeat(32), "secret": "", "seq": 0,
        "entry_hash": Sha256Hash::ZERO,
    });
    let saved = serde_json::from_value(saved).expect("an agent");
    let mut agent = SimAgent::restore(&saved).expect("an agent");
    let receipt = agent.next_receipt().expect("a receipt");
    receipt.text().to_owned()
}

/// Values of a field, each of which schema and parser must judge alike.
fn tries() -> Vec<(&'static str, Value)> {
    let long = |chars: usize| Value::from("x".repeat(chars));
    let hash =
        |prefix: &str, digits: &str, count| json!(format!("{prefix}:{}", digits.repeat(count)));
    let most = dgon_protocol::limits::INTEGER_MAX;
    let mut tries = Vec::new();
    for name in ["node_id", "request_id", "model_id", "region", "runtime"] {
        for length in [0, 1, 32, 33, 64, 65, 256, 257] {
            tries.push((name, long(length)));
        }
        tries.extend([
            (name, json!("a:b")),
            (name, json!("-a")),
            (name, json!("A")),
            (name, json!(7)),
        ]);
    }
    for name in [
        "ts_start",
        "tokens_input",
        "tokens_output",
        "p95_ms",
        "seq",
        "ttft_ms",
        "latency_ms",
        "tokens_cached",
        "energy_mwh",
    ] {
        tries.extend([0, 1, -1, most, -most].map(|number| (name, json!(number))));
        tries.extend(
            [json!(most + 1), json!("1"), json!(1.5), json!(true)].map(|value| (name, value)),
        );
    }
    for (name, prefix) in [
        ("model_hash", "sha256"),
        ("prev_hash", "sha256"),
        ("order_hash", "sha256"),
        ("prompt_hash", "blake3"),
        ("output_hash", "blake3"),
    ] {
        for value in [
            hash(prefix, "0", 64),
            hash(prefix, "A", 64),
            hash(prefix, "0", 63),
            hash(prefix, "0", 65),
            hash("md5", "0", 64),
        ] {
            tries.push((name, value));
        }
    }
    for name in ["hedged", "cache_hit"] {
        tries.extend([json!(true), json!("true"), json!(0)].map(|value| (name, value)));
    }
    for word in [
        "1.0", "1.1", "1.2", "ok", "error", "done", "local", "job", "web",
    ] {
        tries.extend(["version", "status", "source"].map(|name| (name, json!(word))));
    }
    tries.extend([
        ("key_id", hash("", "0", 16)),
        ("key_id", json!("0".repeat(16))),
        ("key_id", json!("0".repeat(15))),
    ]);
    tries.extend([
        ("s3_checkpoints", json!([1, 2])),
        ("s3_checkpoints", json!([1.5])),
        ("s3_checkpoints", json!(1)),
    ]);
    tries
}

#[test]
fn receipts_are_as_described_field_by_field() {
    let validator = schema("Receipt");
    let good: Value = serde_json::from_str(&receipt()).unwrap();
    assert!(validator.is_valid(&good), "{good:#}");
    for (name, value) in tries() {
        let mut changed = good.clone();
        changed[name] = value.clone();
        // The only rule between two fields.
        changed["ts_end"] = match name {
            "ts_start" if value.is_i64() => value.clone(),
            _ => changed["ts_end"].clone(),
        };
        let text = changed.to_string();
        let parsed = Receipt::parse(text.as_bytes());
        assert_eq!(
            validator.is_valid(&changed),
            parsed.is_ok(),
            "{name} = {value}: {:?}",
            parsed.err()
        );
    }
    for name in good.as_object().unwrap().keys() {
        let mut without = good.clone();
        without.as_object_mut().unwrap().remove(name);
        let is_one = Receipt::parse(without.to_string().as_bytes()).is_ok();
        // Of version 1.1 alone; the schema says so in words.
        let in_words = ["seq", "prev_hash"].contains(&name.as_str());
        assert!(
            is_one == validator.is_valid(&without) || in_words,
            "without {name}"
        );
    }
}
