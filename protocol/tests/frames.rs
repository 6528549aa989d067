//! Exact bytes of every frame of the link, and that each reads back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::*;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::{NodeKey, signature_text};
use dgon_protocol::limits;
use dgon_protocol::order::{OrderKeys, OrderSigningKey};
use dgon_protocol::relay::{Kind, RelayError, RelayFrame};
use serde_json::value::RawValue;

const TS: i64 = 1_767_225_600_123;

fn node_id() -> NodeId {
    NodeId::parse("macbook-001").unwrap()
}

fn key() -> NodeKey {
    NodeKey::from_seed(&[7; 32])
}

/// Asserts the bytes of a frame and that they decode to the same bytes again.
fn check_to_control_plane(frame: &ToControlPlane, expected: &str) {
    assert_eq!(frame.encode(TS), expected);
    match ToControlPlane::decode(expected).unwrap() {
        Incoming::Known(read) => assert_eq!(read.encode(TS), expected),
        Incoming::Unknown(kind) => panic!("{kind} is not known"),
    }
}

fn check_to_agent(frame: &ToAgent, expected: &str) {
    assert_eq!(frame.encode(TS), expected);
    match ToAgent::decode(expected).unwrap() {
        Incoming::Known(read) => assert_eq!(read.encode(TS), expected),
        Incoming::Unknown(kind) => panic!("{kind} is not known"),
    }
}

fn inventory() -> Inventory {
    Inventory {
        host: Host {
            os_version: Some("Debian 12".into()),
            cpu: Some("Xeon".into()),
            cores: Some(2),
            memory_mib: Some(4096),
        },
        gpus: vec![Gpu {
            index: 0,
            name: "NVIDIA H200".into(),
            uuid: Some("GPU-1".into()),
            vram_mib: Some(143_771),
            unified_memory: None,
            driver: None,
            cuda: Some("12.4".into()),
            pci: None,
            backend: "nvml".into(),
            mig: Vec::new(),
        }],
        runtimes: vec![Runtime {
            kind: "ollama".into(),
            version: Some("0.32.15".into()),
            ready: true,
            models: vec![Model {
                id: "llama3.1:8b".into(),
                digest: None,
                size_bytes: Some(5),
                loaded: Some(true),
            }],
        }],
        hardware_hash: None,
        gpus_not_read: None,
    }
}

const INVENTORY: &str = concat!(
    r#"{"host":{"os_version":"Debian 12","cpu":"Xeon","cores":2,"memory_mib":4096},"#,
    r#""gpus":[{"index":0,"name":"NVIDIA H200","uuid":"GPU-1","vram_mib":143771,"cuda":"12.4","backend":"nvml"}],"#,
    r#""runtimes":[{"kind":"ollama","version":"0.32.15","ready":true,"models":[{"id":"llama3.1:8b","size_bytes":5,"loaded":true}]}]}"#,
);

#[test]
fn hello() {
    let signature = signature_text(&key().sign(&link_proof_bytes("n0", &node_id(), "example.org")));
    let hello = Hello {
        node_id: node_id(),
        public_key: key().public(),
        signature: signature.clone(),
        agent_version: "0.1.0".into(),
        os: "linux".into(),
        arch: "x86_64".into(),
        boot_id: "b".into(),
        inventory: inventory(),
        next_seq: 4,
        allow: Permission::DEFAULT.to_vec(),
        agent_nonce: Some("n9".into()),
    };
    assert!(hello.proves_key("n0", "example.org"));
    assert!(!hello.proves_key("n1", "example.org"), "another challenge");
    assert!(!hello.proves_key("n0", "evil.example"), "another host");
    let expected = format!(
        r#"{{"type":"hello","data":{{"node_id":"macbook-001","public_key":"{}","signature":"{signature}","agent_version":"0.1.0","os":"linux","arch":"x86_64","boot_id":"b","inventory":{INVENTORY},"next_seq":4,"allow":["probe","gateway","inference","benchmark"],"agent_nonce":"n9"}},"ts":{TS}}}"#,
        key().public()
    );
    check_to_control_plane(&ToControlPlane::Hello(hello), &expected);
}

#[test]
fn heartbeat_leaves_unknown_readings_out() {
    let heartbeat = Heartbeat {
        uptime_s: 12,
        gpus: vec![GpuLoad {
            index: 0,
            util_pct: Some(37.0),
            temp_c: Some(54.0),
            ..GpuLoad::default()
        }],
        in_flight: 1,
        spool_depth: 3,
        ..Heartbeat::default()
    };
    check_to_control_plane(
        &ToControlPlane::Heartbeat(heartbeat),
        r#"{"type":"heartbeat","data":{"uptime_s":12,"gpus":[{"index":0,"util_pct":37.0,"temp_c":54.0}],"in_flight":1,"spool_depth":3,"paused":false},"ts":1767225600123}"#,
    );
}

#[test]
fn heartbeat_tells_of_cards_that_sleep_fail_or_slow_down() {
    let asleep = GpuLoad {
        index: 0,
        asleep: Some(true),
        ..GpuLoad::default()
    };
    let slow = GpuLoad {
        index: 1,
        throttle: Some(vec!["thermal".into()]),
        xid: Some(79),
        runtime_vram_mib: Some(5120),
        ..GpuLoad::default()
    };
    let heartbeat = Heartbeat {
        gpus: vec![asleep, slow],
        ..Heartbeat::default()
    };
    check_to_control_plane(
        &ToControlPlane::Heartbeat(heartbeat),
        r#"{"type":"heartbeat","data":{"uptime_s":0,"gpus":[{"index":0,"asleep":true},{"index":1,"throttle":["thermal"],"xid":79,"runtime_vram_mib":5120}],"in_flight":0,"spool_depth":0,"paused":false},"ts":1767225600123}"#,
    );
}

#[test]
fn gpus_that_are_not_read_and_memory_that_is_shared_are_said() {
    let heartbeat = Heartbeat {
        gpus_not_read: Some(GpusNotRead::Released),
        ..Heartbeat::default()
    };
    check_to_control_plane(
        &ToControlPlane::Heartbeat(heartbeat),
        r#"{"type":"heartbeat","data":{"uptime_s":0,"gpus":[],"gpus_not_read":"released","in_flight":0,"spool_depth":0,"paused":false},"ts":1767225600123}"#,
    );
    let silent = Inventory {
        gpus_not_read: Some(GpusNotRead::NoAnswer),
        ..Inventory::default()
    };
    let told = serde_json::to_value(&silent).unwrap();
    assert_eq!(told["gpus_not_read"], "no_answer");
    assert_eq!(GpusNotRead::NoAnswer.as_str(), "no_answer");
    let shared: Gpu = serde_json::from_str(
        r#"{"index":0,"name":"NVIDIA GB10","unified_memory":true,"backend":"nvml","from_a_newer_agent":1}"#,
    )
    .unwrap();
    assert_eq!(shared.unified_memory, Some(true));
    // A reason of a newer agent is no reason to refuse its inventory.
    let newer: Inventory = serde_json::from_str(r#"{"host":{},"gpus_not_read":"leased"}"#).unwrap();
    assert_eq!(newer.gpus_not_read, Some(GpusNotRead::Unknown));
}

#[test]
fn inventory_frame() {
    check_to_control_plane(
        &ToControlPlane::Inventory(inventory()),
        &format!(r#"{{"type":"inventory","data":{INVENTORY},"ts":1767225600123}}"#),
    );
}

#[test]
fn receipts_travel_byte_for_byte() {
    let odd = r#"{"b" : 1,"a":"\u0041"}"#.to_owned();
    let frame = ToControlPlane::Receipts(Receipts {
        receipts: vec![RawValue::from_string(odd).unwrap()],
    });
    check_to_control_plane(
        &frame,
        r#"{"type":"receipts","data":{"receipts":[{"b" : 1,"a":"\u0041"}]},"ts":1767225600123}"#,
    );
}

#[test]
fn too_many_receipts_are_refused() {
    let receipts = |n: usize| {
        format!(
            r#"{{"type":"receipts","data":{{"receipts":[{}]}},"ts":1}}"#,
            vec!["{}"; n].join(",")
        )
    };
    assert!(ToControlPlane::decode(&receipts(limits::RECEIPTS_PER_BATCH)).is_ok());
    assert!(matches!(
        ToControlPlane::decode(&receipts(limits::RECEIPTS_PER_BATCH + 1)),
        Err(FrameError::TooManyReceipts)
    ));
}

#[test]
fn probe_and_its_result() {
    check_to_agent(
        &ToAgent::Probe(Probe {
            probe_id: "p1".into(),
            request_id: RequestId::parse("r_1").unwrap(),
            model: None,
            prompt: "Say ready.".into(),
            max_tokens: 8,
            timeout_ms: 20_000,
        }),
        r#"{"type":"probe","data":{"probe_id":"p1","request_id":"r_1","prompt":"Say ready.","max_tokens":8,"timeout_ms":20000},"ts":1767225600123}"#,
    );
    check_to_control_plane(
        &ToControlPlane::ProbeResult(ProbeResult {
            probe_id: "p1".into(),
            request_id: Some(RequestId::parse("r_1").unwrap()),
            outcome: ProbeOutcome::NoRuntime,
            message: Some("no runtime answers".into()),
            model: None,
            tokens_input: 0,
            tokens_output: 0,
            ttft_ms: None,
            latency_ms: 7,
        }),
        r#"{"type":"probe_result","data":{"probe_id":"p1","request_id":"r_1","outcome":"no_runtime","message":"no runtime answers","tokens_input":0,"tokens_output":0,"latency_ms":7},"ts":1767225600123}"#,
    );
}

#[test]
fn jobs() {
    check_to_agent(
        &ToAgent::Job(Job {
            job_id: "j1".into(),
            kind: Permission::Inference,
            spec: serde_json::json!({"model": "m"}),
            timeout_s: 60,
        }),
        r#"{"type":"job","data":{"job_id":"j1","kind":"inference","spec":{"model":"m"},"timeout_s":60},"ts":1767225600123}"#,
    );
    check_to_agent(
        &ToAgent::JobCancel(JobCancel {
            job_id: "j1".into(),
        }),
        r#"{"type":"job_cancel","data":{"job_id":"j1"},"ts":1767225600123}"#,
    );
    check_to_control_plane(
        &ToControlPlane::JobUpdate(JobUpdate {
            job_id: "j1".into(),
            state: "running".into(),
            message: None,
        }),
        r#"{"type":"job_update","data":{"job_id":"j1","state":"running"},"ts":1767225600123}"#,
    );
    check_to_control_plane(
        &ToControlPlane::JobResult(JobResult {
            job_id: "j1".into(),
            ok: true,
            output: serde_json::Value::Null,
        }),
        r#"{"type":"job_result","data":{"job_id":"j1","ok":true,"output":null},"ts":1767225600123}"#,
    );
}

#[test]
fn issue_and_bye() {
    check_to_control_plane(
        &ToControlPlane::Issue(Issue {
            kind: IssueKind::SpoolFilling,
            params: serde_json::Map::new(),
        }),
        r#"{"type":"issue","data":{"kind":"spool_filling","params":{}},"ts":1767225600123}"#,
    );
    check_to_control_plane(
        &ToControlPlane::Bye(Bye {
            reason: "stopping".into(),
        }),
        r#"{"type":"bye","data":{"reason":"stopping"},"ts":1767225600123}"#,
    );
}

#[test]
fn handshake_of_the_control_plane() {
    check_to_agent(
        &ToAgent::Challenge(Challenge {
            nonce: "n0".into(),
            server_time_ms: 5,
        }),
        r#"{"type":"challenge","data":{"nonce":"n0","server_time_ms":5},"ts":1767225600123}"#,
    );
    let sealed = welcome().seal(b"secret", "n0").unwrap();
    check_to_agent(
        &ToAgent::Welcome(sealed),
        r#"{"type":"welcome","data":{"session_id":"s1","acked_seq":3,"heartbeat_s":10,"limits":{"frame_bytes":1048576,"receipts_per_batch":256,"receipts_in_flight":1024},"flags":{},"agent_nonce":"n9","proof":"88f8e6a0528d09db5618039dee73588e572b28f06d0e95474c6346fc5d4db7cf"},"ts":1767225600123}"#,
    );
}

fn welcome() -> Welcome {
    Welcome {
        session_id: "s1".into(),
        acked_seq: 3,
        acked_receipt: None,
        heartbeat_s: 10,
        limits: LinkLimits::default(),
        flags: serde_json::Map::new(),
        agent_nonce: Some("n9".into()),
        order_keys: OrderKeys::default(),
    }
}

fn order_keys() -> OrderKeys {
    let key = OrderSigningKey::from_seed(&[5; 32]);
    OrderKeys::new(vec![key.order_key(1, 2)]).unwrap()
}

/// A set of keys as it came in.
fn arrived_keys(data: &str) -> SealedKeys {
    serde_json::from_str(data).unwrap()
}

#[test]
fn keys_of_orders() {
    let sealed = SealedKeys::seal(order_keys(), b"secret", "s1").unwrap();
    let expected = format!(
        r#"{{"type":"keys","data":{{"keys":[{{"kid":"7599776c3085e3f9","public_key":"{}","not_before_ms":1,"not_after_ms":2}}],"proof":"87c75487a4e9f90f523d1512b7a65d82addbfd6323ca7949690e22fbcbacba4f"}},"ts":1767225600123}}"#,
        OrderSigningKey::from_seed(&[5; 32]).public()
    );
    check_to_agent(&ToAgent::Keys(sealed), &expected);
    let welcome = Welcome {
        order_keys: order_keys(),
        ..welcome()
    };
    let sealed = welcome.seal(b"secret", "n0").unwrap();
    let opened = sealed.open(b"secret", "n0", "n9").unwrap();
    assert_eq!(opened.order_keys, order_keys());
    // Whoever strikes the keys from a welcome, or adds some, breaks its proof.
    let data = serde_json::to_string(&sealed).unwrap();
    let keys = serde_json::to_string(&order_keys()).unwrap();
    let member = format!(",\"order_keys\":{keys}");
    for other in ["", ",\"order_keys\":[]"] {
        let changed = data.replace(&member, other);
        assert_ne!(changed, data);
        let opened = arrived(&changed).open(b"secret", "n0", "n9");
        assert!(matches!(opened, Err(WelcomeError::Proof)));
    }
}

#[test]
fn a_set_of_keys_is_believed_from_who_knows_the_secret_and_for_its_session_alone() {
    let sealed = SealedKeys::seal(order_keys(), b"secret", "s1").unwrap();
    assert_eq!(sealed.open(b"secret", "s1").unwrap(), order_keys());
    for (secret, session_id) in [(b"secret", "s2"), (b"secret", "s"), (b"others", "s1")] {
        let opened = sealed.open(secret, session_id);
        assert!(matches!(opened, Err(KeysError::Proof)));
    }
    let data = serde_json::to_string(&sealed).unwrap();
    let open = |data: &str| arrived_keys(data).open(b"secret", "s1");
    open(&data.replace(",\"not_before_ms\"", " , \"not_before_ms\"")).unwrap();
    for (from, to) in [
        ("\"not_after_ms\":2", "\"not_after_ms\":3"),
        ("\"keys\":[", "\"later\":1,\"keys\":["),
    ] {
        let opened = open(&data.replace(from, to));
        assert!(matches!(opened, Err(KeysError::Proof)), "{to}");
    }
    let proof = data.split("\"proof\":\"").nth(1).unwrap();
    let short = data.replace(proof, "00\"}");
    assert!(matches!(open(&short), Err(KeysError::Proof)));
    assert!(matches!(open("{\"keys\":[]}"), Err(KeysError::NoProof)));
    assert!(matches!(open("[]"), Err(KeysError::NoProof)));
    let double = data.replace("\"keys\":", "\"keys\":[],\"keys\":");
    assert!(matches!(open(&double), Err(KeysError::Json(_))));
    let huge = "9".repeat(limits::KEYS_BYTES);
    let huge = data.replace("\"keys\":", &format!("\"x\":\"{huge}\",\"keys\":"));
    assert!(matches!(open(&huge), Err(KeysError::TooLarge)));
}

/// One secret seals both, and a nonce may look like a session's id.
#[test]
fn a_welcomes_proof_is_none_for_keys() {
    let welcome = welcome().seal(b"secret", "s1").unwrap();
    let data = serde_json::to_string(&welcome).unwrap();
    let opened = arrived_keys(&data).open(b"secret", "s1");
    assert!(matches!(opened, Err(KeysError::Proof)));
    let keys = SealedKeys::seal(order_keys(), b"secret", "n0").unwrap();
    let data = serde_json::to_string(&keys).unwrap();
    let opened = arrived(&data).open(b"secret", "n0", "n9");
    assert!(matches!(opened, Err(WelcomeError::Proof)));
}

/// A welcome as it came in.
fn arrived(data: &str) -> SealedWelcome {
    serde_json::from_str(data).unwrap()
}

#[test]
fn a_welcome_is_believed_from_who_knows_the_secret_and_for_its_session_alone() {
    let sealed = welcome().seal(b"secret", "n0").unwrap();
    let open = |secret: &[u8], nonce, agent_nonce| sealed.open(secret, nonce, agent_nonce);
    assert_eq!(open(b"secret", "n0", "n9").unwrap().session_id, "s1");
    let proof = |result| matches!(result, Err(WelcomeError::Proof));
    assert!(proof(open(b"other", "n0", "n9")));
    assert!(proof(open(b"secret", "n1", "n9")), "another challenge");
    // Recorded, and played again with its own challenge.
    let replayed = open(b"secret", "n0", "n8");
    assert!(matches!(replayed, Err(WelcomeError::Replayed)));
    let unfresh = Welcome {
        agent_nonce: None,
        ..welcome()
    };
    let sealed = unfresh.seal(b"secret", "n0").unwrap();
    let opened = sealed.open(b"secret", "n0", "n9");
    assert!(matches!(opened, Err(WelcomeError::Replayed)));
}

#[test]
fn every_byte_of_a_welcome_counts_and_its_form_does_not() {
    let sealed = serde_json::to_string(&welcome().seal(b"secret", "n0").unwrap()).unwrap();
    let open = |data: &str| arrived(data).open(b"secret", "n0", "n9");
    open(&sealed).unwrap();
    let spaced = sealed.replace(",\"acked_seq\"", " , \"acked_seq\"");
    open(&spaced).unwrap();
    for (from, to) in [
        ("\"acked_seq\":3", "\"acked_seq\":4"),
        ("\"heartbeat_s\":10", "\"heartbeat_s\":1"),
        ("\"flags\":{}", "\"flags\":{\"x\":1}"),
        ("\"flags\":{}", "\"flags\":{},\"later\":true"),
    ] {
        let opened = open(&sealed.replace(from, to));
        assert!(matches!(opened, Err(WelcomeError::Proof)), "{to}");
    }
    let double = sealed.replace("\"flags\":{}", "\"flags\":{},\"acked_seq\":4");
    assert!(matches!(open(&double), Err(WelcomeError::Json(_))));
    let bare = serde_json::to_string(&welcome()).unwrap();
    assert!(matches!(open(&bare), Err(WelcomeError::NoProof)));
    let huge = "9".repeat(limits::WELCOME_BYTES);
    let huge = sealed.replace("\"flags\":{}", &format!("\"flags\":{{\"x\":\"{huge}\"}}"));
    assert!(matches!(open(&huge), Err(WelcomeError::TooLarge)));
}

#[test]
fn ack_need_and_status() {
    let refused = Refused {
        request_id: Some(RequestId::parse("r_9").unwrap()),
        kind: ErrorType::InvalidSignature,
        message: "the signature does not hold".into(),
    };
    check_to_agent(
        &ToAgent::Ack(Ack {
            acked_seq: 9,
            refused: vec![refused],
        }),
        r#"{"type":"ack","data":{"acked_seq":9,"refused":[{"request_id":"r_9","type":"invalid_signature","message":"the signature does not hold"}]},"ts":1767225600123}"#,
    );
    check_to_agent(
        &ToAgent::Need(Need { from: 4, to: 6 }),
        r#"{"type":"need","data":{"from":4,"to":6},"ts":1767225600123}"#,
    );
    check_to_agent(
        &ToAgent::Status(NodeStatus {
            status: LifecycleStatus::Quarantine,
            reason: "invalid_signature".into(),
        }),
        r#"{"type":"status","data":{"status":"quarantine","reason":"invalid_signature"},"ts":1767225600123}"#,
    );
}

#[test]
fn control_and_error() {
    for (control, text) in [
        (Control::Pause, r#"{"action":"pause"}"#),
        (Control::Resume, r#"{"action":"resume"}"#),
        (Control::Drain, r#"{"action":"drain"}"#),
        (Control::Refresh, r#"{"action":"refresh"}"#),
        (
            Control::SetConfig {
                config: serde_json::Map::new(),
            },
            r#"{"action":"set_config","config":{}}"#,
        ),
    ] {
        check_to_agent(
            &ToAgent::Control(control),
            &format!(r#"{{"type":"control","data":{text},"ts":1767225600123}}"#),
        );
    }
    check_to_agent(
        &ToAgent::Error(LinkError {
            kind: ErrorType::Replaced,
            message: "a newer session took over".into(),
            retry_after_s: None,
        }),
        r#"{"type":"error","data":{"type":"replaced","message":"a newer session took over"},"ts":1767225600123}"#,
    );
}

#[test]
fn a_newer_peer_is_understood() {
    assert!(
        matches!(ToAgent::decode(r#"{"type":"confetti","data":[1],"ts":1}"#), Ok(Incoming::Unknown(kind)) if kind == "confetti")
    );
    let newer = r#"{"type":"need","data":{"from":1,"to":2,"why":"later"},"ts":1,"trace":"x"}"#;
    assert!(matches!(
        ToAgent::decode(newer),
        Ok(Incoming::Known(ToAgent::Need(Need { from: 1, to: 2 })))
    ));
}

#[test]
fn bad_frames_are_typed_errors() {
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"type":1,"data":{}}"#,
        r#"{"type":"need"}"#,
        r#"{"type":"need","data":{"from":-1,"to":2}}"#,
        "{\"type\":\"need\"",
    ] {
        assert!(ToAgent::decode(bad).is_err(), "{bad}");
    }
    let huge = format!(
        r#"{{"type":"bye","data":{{"reason":"{}"}},"ts":1}}"#,
        "x".repeat(limits::FRAME_BYTES)
    );
    assert!(matches!(
        ToControlPlane::decode(&huge),
        Err(FrameError::TooLarge { .. })
    ));
}

#[test]
fn every_kind_is_listed() {
    assert_eq!(
        ToControlPlane::KINDS,
        [
            "hello",
            "heartbeat",
            "inventory",
            "receipts",
            "probe_result",
            "job_update",
            "job_result",
            "issue",
            "bye"
        ]
    );
    assert_eq!(
        ToAgent::KINDS,
        [
            "challenge",
            "welcome",
            "keys",
            "ack",
            "need",
            "status",
            "probe",
            "job",
            "job_cancel",
            "control",
            "error"
        ]
    );
}

#[test]
fn text_of_the_control_plane_is_bounded_by_its_type() {
    let long = "x".repeat(200_000);
    let status =
        format!(r#"{{"type":"status","data":{{"status":"active","reason":"{long}"}},"ts":1}}"#);
    match ToAgent::decode(&status).unwrap() {
        Incoming::Known(ToAgent::Status(status)) => assert_eq!(status.reason.len(), 512),
        other => panic!("{other:?}"),
    }
    let error = format!(
        r#"{{"type":"error","data":{{"type":"internal","message":"a\u001b{long}"}},"ts":1}}"#
    );
    match ToAgent::decode(&error).unwrap() {
        Incoming::Known(ToAgent::Error(error)) => {
            assert_eq!(error.message.len(), 512);
            assert!(error.message.starts_with("a x"));
        }
        other => panic!("{other:?}"),
    }
    let one = r#"{"type":"internal","message":"m"}"#;
    let ack = |count: usize| {
        let refused = vec![one; count].join(",");
        format!(r#"{{"type":"ack","data":{{"acked_seq":1,"refused":[{refused}]}},"ts":1}}"#)
    };
    assert!(ToAgent::decode(&ack(limits::RECEIPTS_IN_FLIGHT)).is_ok());
    assert!(matches!(
        ToAgent::decode(&ack(limits::RECEIPTS_IN_FLIGHT + 1)),
        Err(FrameError::TooManyRefusals)
    ));
    for long in [
        format!(r#"{{"type":"challenge","data":{{"nonce":"{long}","server_time_ms":1}},"ts":1}}"#),
        format!(r#"{{"type":"job_cancel","data":{{"job_id":"{long}"}},"ts":1}}"#),
        format!(
            r#"{{"type":"probe","data":{{"probe_id":"p","request_id":"r_1","prompt":"{long}","max_tokens":1,"timeout_ms":1}},"ts":1}}"#
        ),
    ] {
        assert!(matches!(
            ToAgent::decode(&long),
            Err(FrameError::Data { .. })
        ));
    }
}

#[test]
fn relay_frames_have_five_bytes_of_header() {
    let cases: [(Kind, u32, &[u8], &[u8]); 6] = [
        (Kind::Open, 1, b"{}", &[1, 0, 0, 0, 1, b'{', b'}']),
        (
            Kind::Headers,
            0x0102_0304,
            b"{}",
            &[2, 1, 2, 3, 4, b'{', b'}'],
        ),
        (
            Kind::Body,
            u32::MAX,
            b"\0\xff",
            &[3, 255, 255, 255, 255, 0, 255],
        ),
        (Kind::End, 7, b"", &[4, 0, 0, 0, 7]),
        (Kind::Cancel, 7, b"", &[5, 0, 0, 0, 7]),
        (Kind::Window, 7, &[0, 1, 0, 0], &[6, 0, 0, 0, 7, 0, 1, 0, 0]),
    ];
    for (kind, stream_id, payload, bytes) in cases {
        let frame = RelayFrame {
            kind,
            stream_id,
            payload,
        };
        assert_eq!(frame.encode().unwrap(), bytes);
        assert_eq!(RelayFrame::decode(bytes).unwrap(), frame);
    }
    assert_eq!(
        RelayFrame::decode(&[6, 0, 0, 0, 7, 0, 1, 0, 0])
            .unwrap()
            .credit(),
        Some(65_536)
    );
}

#[test]
fn bad_relay_frames_are_typed_errors() {
    assert_eq!(RelayFrame::decode(&[3, 0, 0, 0]), Err(RelayError::TooShort));
    assert_eq!(
        RelayFrame::decode(&[0, 0, 0, 0, 1]),
        Err(RelayError::UnknownKind(0))
    );
    assert_eq!(
        RelayFrame::decode(&[6, 0, 0, 0, 1, 1]),
        Err(RelayError::BadWindow)
    );
    let large = [
        &[3, 0, 0, 0, 1][..],
        &vec![0; limits::RELAY_PAYLOAD_BYTES + 1],
    ]
    .concat();
    assert_eq!(RelayFrame::decode(&large), Err(RelayError::TooLarge));
    assert!(RelayFrame::decode(&large[..large.len() - 1]).is_ok());
}
