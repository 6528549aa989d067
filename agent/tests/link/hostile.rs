//! A control plane that lies, floods, or does not know the node's secret: it harms its own link, and nothing else.

use crate::setup::{Agent, WITHIN, assert_whole, control_plane, own_receipt, signed_receipt};
use dgon_agent::link::{LinkStatus, Phase};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{
    Ack, LifecycleStatus, LinkError, Need, NodeStatus, Permission, Refused, ToAgent,
};
use dgon_protocol::id::RequestId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::relay::{Kind, RelayFrame};
use dgon_testkit::fault::{FaultProxy, Weather};
use dgon_testkit::link_server::{Script, StubControlPlane, WelcomeFault};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what the link logs, on the thread that all of a test's tasks share.
#[derive(Clone, Default)]
struct LogMeter(Arc<AtomicU64>);

impl io::Write for LogMeter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogMeter {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let meter = Self::default();
        let writer = meter.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (meter, tracing::subscriber::set_default(subscriber))
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Resident memory of this process, KiB; 0 where the system does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

fn error(kind: ErrorType) -> ToAgent {
    ToAgent::Error(LinkError {
        kind,
        message: "go away".into(),
        retry_after_s: Some(900),
    })
}

fn is_waiting_for(part: &'static str) -> impl FnMut(&LinkStatus) -> bool {
    move |link| {
        link.phase == Phase::Waiting
            && link
                .last_error
                .as_ref()
                .is_some_and(|why| why.contains(part))
    }
}

/// A server that breaks its welcome: never linked, told why, and nobody else notices.
async fn never_linked(fault: WelcomeFault, why: &'static str) {
    let script = Script {
        welcome: fault,
        welcome_acked: Some(0),
        ..Script::default()
    };
    let stub = control_plane(script).await;
    let mut agent = Agent::start(stub.address(), 3, &Permission::DEFAULT).await;
    agent.serves().await;
    agent.until_link(is_waiting_for(why)).await;
    stub.until(|seen| seen.answered >= 3).await.unwrap();
    agent.serves().await;
    let seen = stub.seen();
    assert_eq!((seen.sessions, seen.receipts.len()), (0, 0));
    assert_eq!(
        seen.heartbeats, 0,
        "nothing of the node is told to a stranger"
    );
    let link = agent.status.borrow().clone();
    assert_eq!((link.session_id, link.clock_ahead_ms), (None, None));
    agent.stop().await;
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_not_believed() {
    never_linked(
        WelcomeFault::OtherSecret,
        "does not know this node's secret",
    )
    .await;
}

#[tokio::test]
async fn a_recorded_welcome_is_not_believed() {
    let stub = control_plane(Script::default()).await;
    let agent = Agent::start(stub.address(), 3, &[]).await;
    let seen = stub.until(|seen| seen.connected).await.unwrap();
    agent.stop().await;
    let recorded = seen.recorded.unwrap();
    never_linked(
        WelcomeFault::Replay(recorded),
        "made for another session of this node",
    )
    .await;
}

#[tokio::test]
async fn a_stranger_can_end_its_own_attempt_and_nothing_else() {
    // Replaced, and to stay away for a quarter of an hour: neither is a stranger's to say.
    let fault = WelcomeFault::Instead(Box::new(error(ErrorType::Replaced)));
    never_linked(fault, "refused the session: go away (replaced)").await;
    let status = ToAgent::Status(NodeStatus {
        status: LifecycleStatus::Quarantine,
        reason: "x".into(),
    });
    let fault = WelcomeFault::Instead(Box::new(status));
    never_linked_once(fault, "status where welcome belongs").await;
}

/// As [`never_linked`], for what no control plane does: it is tried again after a minute only.
async fn never_linked_once(fault: WelcomeFault, why: &'static str) {
    let script = Script {
        welcome: fault,
        ..Script::default()
    };
    let stub = control_plane(script).await;
    let mut agent = Agent::start(stub.address(), 3, &[]).await;
    agent.until_link(is_waiting_for(why)).await;
    agent.serves().await;
    let link = agent.status.borrow().clone();
    assert_eq!(link.node, None);
    assert!(link.retry_in_ms.is_some_and(|wait| wait >= 60_000));
    assert_eq!(stub.seen().answered, 1);
    agent.stop().await;
}

#[tokio::test]
async fn a_number_alone_stops_nobody() {
    let other = NodeKey::from_seed(&[8; 32]);
    for shown in [
        None,
        // Not by this node's key; not beyond what is here; beyond what it says.
        Some(signed_receipt(900, &other)),
        Some(own_receipt(2)),
        Some(own_receipt(1 << 52)),
        Some(b"{}".to_vec()),
    ] {
        let stub = control_plane(Script {
            welcome_acked: Some(1 << 50),
            welcome_receipt: shown,
            ..Script::default()
        })
        .await;
        let mut agent = Agent::start(stub.address(), 5, &[]).await;
        agent.until_link(is_waiting_for("is not believed")).await;
        agent.serves().await;
        assert_eq!(agent.receipts.status().depth(), 6, "nothing is given up");
        assert_eq!(agent.status.borrow().session_id, None);
        agent.stop().await;
    }
}

#[tokio::test]
async fn what_was_not_sent_cannot_be_acknowledged() {
    let stub = control_plane(Script {
        acks: false,
        ..Script::default()
    })
    .await;
    let mut agent = Agent::start(stub.address(), 10, &[]).await;
    stub.until(|seen| seen.receipts.len() == 10).await.unwrap();
    let ack = Ack {
        acked_seq: 11,
        refused: Vec::new(),
    };
    assert!(stub.send(ToAgent::Ack(ack)).await);
    agent
        .until_link(is_waiting_for("nothing of it is believed"))
        .await;
    agent.serves().await;
    let spool = agent.receipts.status();
    assert_eq!((spool.acked_seq, spool.last_seq), (0, 11));
    agent.stop().await;
}

#[tokio::test]
async fn invented_refusals_make_no_dead_letters() {
    let stub = control_plane(Script {
        acks: false,
        ..Script::default()
    })
    .await;
    let mut agent = Agent::start(stub.address(), 10, &[]).await;
    stub.until(|seen| seen.receipts.len() == 10).await.unwrap();
    let refusal = |id: Option<String>| Refused {
        request_id: id.and_then(|id| RequestId::parse(id).ok()),
        kind: ErrorType::InvalidReceipt,
        message: "x".repeat(500).into(),
    };
    for round in 0..50 {
        let invented = (0..1_000).map(|n| refusal(Some(format!("r_{round}_{n}"))));
        let ack = Ack {
            acked_seq: 0,
            refused: invented.chain([refusal(None)]).collect(),
        };
        assert!(stub.send(ToAgent::Ack(ack)).await);
    }
    agent
        .until_link(|link| link.ignored_refusals == 50 * 1_001)
        .await;
    agent.serves().await;
    assert_eq!(agent.letters.count(), 0);
    assert_eq!(agent.receipts.status().dead_letters, 0);
    agent.stop().await;
}

#[tokio::test]
async fn status_frames_cost_a_few_lines_of_the_log() {
    let (log, _guard) = LogMeter::start();
    let stub = control_plane(Script::default()).await;
    let mut agent = Agent::start(stub.address(), 1, &[]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    for round in 0..200 {
        let long = "x".repeat(900_000);
        let frame = format!(
            r#"{{"type":"status","data":{{"status":"active","reason":"{round} {long}"}},"ts":1}}"#
        );
        if !stub.send_text(frame).await {
            break;
        }
    }
    agent
        .until_link(|link| {
            let told = link
                .node
                .as_ref()
                .is_some_and(|node| node.reason.starts_with("199 "));
            told || link.phase == Phase::Waiting
        })
        .await;
    agent.serves().await;
    let reason = agent.status.borrow().node.clone().unwrap().reason;
    assert_eq!(reason.chars().count(), 512);
    assert!(log.bytes() < 32 * 1024, "{} bytes of log", log.bytes());
    agent.stop().await;
}

#[tokio::test]
async fn the_same_status_again_is_not_told_again() {
    let (log, _guard) = LogMeter::start();
    let stub = control_plane(Script::default()).await;
    let mut agent = Agent::start(stub.address(), 0, &[]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    let status = |reason: &str| {
        ToAgent::Status(NodeStatus {
            status: LifecycleStatus::Active,
            reason: reason.into(),
        })
    };
    stub.send(status("once")).await;
    agent.until_link(|link| link.node.is_some()).await;
    let before = log.bytes();
    for _ in 0..100 {
        stub.send(status("once")).await;
    }
    // Read in order: what comes after them was handled after them.
    for n in 0..3 {
        stub.send_text(format!(r#"{{"type":"newer{n}","ts":1}}"#))
            .await;
    }
    agent.until_link(|link| link.unknown_frames == 3).await;
    assert_eq!(log.bytes(), before);
    agent.stop().await;
}

/// Sends the same until the agent has enough, and looks that it says so, serves on and does not grow.
async fn flooded(send: impl AsyncFn(&StubControlPlane) -> bool) {
    let (log, _guard) = LogMeter::start();
    let stub = control_plane(Script::default()).await;
    let mut agent = Agent::start(stub.address(), 20, &Permission::DEFAULT).await;
    agent.until_acknowledged().await;
    let (letters, before_kib) = (agent.letters.count(), resident_kib());
    for round in 0..20_000 {
        if round % 512 == 0 {
            agent.serves().await;
        }
        if agent.status.borrow().phase != Phase::Connected || !send(&stub).await {
            break;
        }
    }
    agent.until_link(is_waiting_for("is not listened to")).await;
    agent.serves().await;
    let link = agent.status.borrow().clone();
    assert!(
        link.retry_in_ms.is_some_and(|wait| wait >= 60_000),
        "{link:?}"
    );
    let grown_kib = resident_kib().saturating_sub(before_kib);
    assert!(grown_kib < 96 * 1024, "grown by {grown_kib} KiB");
    assert!(log.bytes() < 32 * 1024, "{} bytes of log", log.bytes());
    assert_eq!(agent.letters.count(), letters);
    assert!(stub.seen().repeats < 40_000, "{}", stub.seen().repeats);
    agent.stop().await;
}

#[tokio::test]
async fn a_flood_of_needs_is_cut() {
    let turn = AtomicU64::new(0);
    flooded(async |stub| {
        let from = 1 + turn.fetch_add(1, Ordering::SeqCst) % 2;
        stub.send(ToAgent::Need(Need { from, to: 20 })).await
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_pings_is_cut() {
    flooded(StubControlPlane::ping).await;
}

#[tokio::test]
async fn a_flood_of_unknown_frames_is_cut() {
    let frame = format!(r#"{{"type":"{}","data":[],"ts":1}}"#, "z".repeat(5_000));
    flooded(async |stub| stub.send_text(frame.clone()).await).await;
}

#[tokio::test]
async fn a_flood_of_large_frames_is_cut() {
    let frame = format!(
        r#"{{"type":"later","data":"{}","ts":1}}"#,
        "z".repeat(900_000)
    );
    flooded(async |stub| stub.send_text(frame.clone()).await).await;
}

#[tokio::test]
async fn a_reason_that_quotes_what_was_sent_is_cut() {
    let (log, _guard) = LogMeter::start();
    let stub = control_plane(Script::default()).await;
    let mut agent = Agent::start(stub.address(), 0, &[]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    let odd = "q".repeat(900_000);
    let frame = format!(r#"{{"type":"status","data":{{"status":"{odd}","reason":""}},"ts":1}}"#);
    stub.send_text(frame).await;
    agent.until_link(is_waiting_for("cannot be read")).await;
    let reason = agent.status.borrow().last_error.clone().unwrap();
    assert!(reason.len() < 2_000, "{}", reason.len());
    assert!(log.bytes() < 8 * 1024, "{} bytes of log", log.bytes());
    agent.stop().await;
}

#[tokio::test]
async fn a_server_that_reads_nothing_costs_nothing() {
    let stub = control_plane(Script {
        reads: false,
        ..Script::default()
    })
    .await;
    // More than all buffers on the way take.
    let agent = Agent::start(stub.address(), 4_000, &Permission::DEFAULT).await;
    stub.until(|seen| seen.connected).await.unwrap();
    let before_kib = resident_kib();
    for n in 0..200 {
        let job = format!(
            r#"{{"type":"job","data":{{"job_id":"{n}","kind":"command","spec":null,"timeout_s":1}},"ts":1}}"#
        );
        stub.send_text(job).await;
        let open = RelayFrame {
            kind: Kind::Open,
            stream_id: n + 1,
            payload: b"{}",
        };
        if n < 40 {
            stub.send_relay(open.encode().unwrap()).await;
        }
    }
    agent.serves().await;
    agent.record(1_000).await;
    assert!(resident_kib().saturating_sub(before_kib) < 64 * 1024);
    agent.stop().await;
}

#[tokio::test]
async fn a_server_of_a_byte_a_second_is_given_up() {
    let stub = control_plane(Script::default()).await;
    let network = FaultProxy::start(stub.address()).await.unwrap();
    network.set(Weather {
        bytes_per_s: Some(1),
        ..Weather::default()
    });
    let mut agent = Agent::start(network.address(), 1, &[]).await;
    agent.serves().await;
    agent.until_link(is_waiting_for("within 10 seconds")).await;
    agent.serves().await;
    agent.stop().await;
}

#[tokio::test]
async fn a_driver_that_hangs_delays_neither_acknowledgements_nor_answers() {
    let stub = control_plane(Script {
        heartbeat_s: 1,
        ..Script::default()
    })
    .await;
    let agent = Agent::start_with(stub.address(), 10, &[], |parts| {
        parts.heartbeat = Arc::new(|| Box::pin(std::future::pending()));
    })
    .await;
    stub.until(|seen| seen.connected).await.unwrap();
    agent.until_acknowledged().await;
    let job =
        r#"{"type":"job","data":{"job_id":"1","kind":"command","spec":null,"timeout_s":1},"ts":1}"#;
    stub.send_text(job.to_owned()).await;
    let open = RelayFrame {
        kind: Kind::Open,
        stream_id: 7,
        payload: b"{}",
    };
    stub.send_relay(open.encode().unwrap()).await;
    agent.record(10).await;
    let seen = stub
        .until(|seen| seen.jobs.len() == 1 && seen.relayed.len() == 1 && seen.receipts.len() == 20)
        .await
        .unwrap();
    assert_whole(&seen, 20);
    assert_eq!(seen.heartbeats, 0);
    agent.stop().await;
}

#[tokio::test]
async fn a_panic_in_any_task_of_the_link_is_a_panic_of_the_link() {
    let stub = control_plane(Script::default()).await;
    let agent = Agent::start_with(stub.address(), 1, &[], |parts| {
        parts.heartbeat = Arc::new(|| Box::pin(async { panic!("a fault in the program") }));
    })
    .await;
    assert!(agent.link_panic().await);
    tokio::time::timeout(WITHIN, stub.until(|seen| !seen.connected))
        .await
        .unwrap()
        .unwrap();
}
