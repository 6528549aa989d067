//! The owner's limits on the real program: what stops it is said everywhere, and its own clients are served.

use crate::node::Node;
use crate::support::{json, stdout};
use dgon_agent::link::Phase;
use dgon_agent::mode::Mode;
use dgon_agent_core::owner::{Limit, Verdict};
use dgon_protocol::frame::{Control, PausedReason, Probe, ProbeOutcome, ToAgent};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_testkit::link_server::{Script, StubControlPlane};
use dgon_testkit::runtime::{Kind, SimConfig};
use std::path::PathBuf;

/// The stand-in for NVML, which cargo builds beside this test.
fn fake_nvml() -> PathBuf {
    let prefix = std::env::consts::DLL_PREFIX;
    let name = format!("{prefix}dgon_fake_nvml{}", std::env::consts::DLL_SUFFIX);
    let test = std::env::current_exe().unwrap();
    let found = test.ancestors().skip(1).map(|dir| dir.join(&name));
    found.into_iter().find(|path| path.exists()).unwrap()
}

fn with_a_card_at(node: &mut Node, temp_c: u32) {
    let file = node.machine.dir.path().join("machine.json");
    let card = serde_json::json!({
        "name": "NVIDIA H200", "uuid": "GPU-1", "pci": "00000000:01:00.0",
        "memory_total": 150_754_820_096_u64, "memory_used": 1_073_741_824_u64,
        "util_pct": 37, "temp_c": temp_c, "power_mw": 312_500,
    });
    let machine = serde_json::json!({"driver": "550.54.15", "cuda": 12040, "cards": [card]});
    std::fs::write(&file, machine.to_string()).unwrap();
    node.machine
        .set("DGON_FAKE_NVML", file.display().to_string());
    node.machine
        .set("DGON_NVML_LIB", fake_nvml().display().to_string());
}

#[tokio::test]
async fn every_limit_that_stops_is_said_and_own_clients_are_served() {
    let all_day = "owner:\n  quiet_hours: [\"00:00-12:00\", \"12:00-00:00\"]\n  max_gpu_temp_c: 60\n  \
                   idle_only: true\n  min_profit_usd_per_hour: 0.1\n  tariff_usd_per_kwh: 0.3\n";
    let mut node = Node::new(all_day);
    with_a_card_at(&mut node, 71);
    node.with_runtime().await;
    node.start();
    let status = node
        .until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
        .await;
    assert_eq!(status.owner.mode, Mode::Paused);
    let stopping: Vec<Limit> = status.owner.stopping().map(|one| one.limit).collect();
    assert!(stopping.contains(&Limit::QuietHours), "{stopping:?}");
    assert!(stopping.contains(&Limit::GpuTemperature), "{stopping:?}");
    let unjudged: Vec<Limit> = status.owner.unjudged().map(|one| one.limit).collect();
    assert_eq!(unjudged, [Limit::Profit], "no control plane tells prices");
    assert_eq!(node.chat(&status.proxy).await, 200);
    let text = stdout(&node.run(&["status"]));
    for part in ["quiet hours", "71 °C", "not applied"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The owner's own request is use of the machine.
    let status = node
        .until(|status| status.owner.reasons.contains(&PausedReason::MachineInUse))
        .await;
    let idle = status
        .owner
        .limits
        .iter()
        .find(|one| one.limit == Limit::IdleOnly);
    assert_eq!(idle.unwrap().verdict, Verdict::Stops);
}

#[tokio::test]
async fn a_cool_card_lets_the_node_serve() {
    let mut node = Node::new("owner:\n  max_gpu_temp_c: 72\n");
    with_a_card_at(&mut node, 71);
    node.start();
    let status = node.until(|_| true).await;
    assert_eq!(status.owner.mode, Mode::Serving);
    assert_eq!(status.owner.limits[0].verdict, Verdict::Clear);
}

#[tokio::test]
async fn the_control_plane_hears_why_and_cannot_lift_it() {
    let id = NodeId::parse("rig-7").unwrap();
    let plane = StubControlPlane::start(id, &crate::support::machine::SECRET, Script::default())
        .await
        .unwrap();
    let mut node = Node::new("");
    node.machine.set(
        "DGON_CONTROL_PLANE_API",
        format!("http://{}", plane.address()),
    );
    node.with_runtime().await;
    node.start();
    plane.until(|seen| seen.heartbeats > 0).await.unwrap();
    node.run(&["pause"]);
    let reason = |seen: &dgon_testkit::link_server::Seen| seen.heartbeat.as_ref()?.paused_reason;
    plane
        .until(|seen| reason(seen) == Some(PausedReason::Owner))
        .await
        .unwrap();
    assert!(plane.send(ToAgent::Control(Control::Resume)).await);
    assert!(plane.send(probe("p", 10_000)).await);
    let seen = plane.until(|seen| seen.probes.len() == 1).await.unwrap();
    assert_eq!(seen.probes[0].outcome, ProbeOutcome::Refused);
    let why = seen.probes[0].message.clone().unwrap();
    assert!(why.contains("paused by its owner"), "{why}");
    assert_eq!(
        node.until(|_| true).await.owner.reasons,
        [PausedReason::Owner]
    );

    node.run(&["resume"]);
    plane
        .until(|seen| seen.heartbeat.as_ref().is_some_and(|beat| !beat.paused))
        .await
        .unwrap();
    assert_eq!(plane.seen().violations, Vec::<String>::new());
}

fn probe(id: &str, timeout_ms: u32) -> ToAgent {
    ToAgent::Probe(Probe {
        probe_id: id.to_owned(),
        request_id: RequestId::parse(format!("r_{id}")).unwrap(),
        model: None,
        prompt: "hello".to_owned(),
        max_tokens: 16,
        timeout_ms,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_what_the_network_runs_and_takes_no_more() {
    let id = NodeId::parse("rig-7").unwrap();
    let plane = StubControlPlane::start(id, &crate::support::machine::SECRET, Script::default())
        .await
        .unwrap();
    let mut node = Node::new("");
    let api = format!("http://{}", plane.address());
    node.machine.set("DGON_CONTROL_PLANE_API", api);
    // It begins its answer and goes silent, so that the probe runs on.
    let mut silent = SimConfig::new(Kind::Ollama);
    silent.faults.stall_after = Some(1);
    node.with_runtime_like(silent).await;
    node.start();
    node.until(|status| {
        status.runtimes.iter().any(|runtime| runtime.ready) && status.link.phase == Phase::Connected
    })
    .await;
    assert!(plane.send(probe("1", 60_000)).await);
    node.until(|status| status.in_flight == 1 && status.in_flight_local == 0)
        .await;

    let said = node.run(&["drain", "--wait", "0", "--json"]);
    assert_eq!(said.status.code(), Some(1));
    let said = json(&said);
    assert_eq!(
        (&said["drained"], &said["network_requests"]),
        (&false.into(), &1.into())
    );
    assert!(plane.send(probe("2", 60_000)).await);
    let seen = plane.until(|seen| !seen.probes.is_empty()).await.unwrap();
    assert_eq!(seen.probes[0].outcome, ProbeOutcome::Refused);
    assert!(
        seen.probes[0]
            .message
            .as_ref()
            .unwrap()
            .contains("draining")
    );

    node.stop_runtime();
    let said = node.run(&["drain"]);
    assert!(said.status.success(), "{}", stdout(&said));
    let seen = plane.until(|seen| seen.probes.len() == 2).await.unwrap();
    assert_eq!(seen.probes[1].outcome, ProbeOutcome::Failed);
    assert_eq!(node.until(|_| true).await.in_flight, 0);
}
