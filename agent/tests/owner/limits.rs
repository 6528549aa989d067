//! The owner's limits on the real program: what stops it is said everywhere, and its own clients are served.

use crate::node::Node;
use crate::support::stdout;
use dgon_agent::mode::Mode;
use dgon_agent_core::owner::{Limit, Verdict};
use dgon_protocol::frame::{Control, PausedReason, Probe, ProbeOutcome, ToAgent};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_testkit::link_server::{Script, StubControlPlane};
use serde_json::json;
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
    let card = json!({
        "name": "NVIDIA H200", "uuid": "GPU-1", "pci": "00000000:01:00.0",
        "memory_total": 150_754_820_096_u64, "memory_used": 1_073_741_824_u64,
        "util_pct": 37, "temp_c": temp_c, "power_mw": 312_500,
    });
    let machine = json!({"driver": "550.54.15", "cuda": 12040, "cards": [card]});
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
    let probe = Probe {
        probe_id: "p".to_owned(),
        request_id: RequestId::parse("r_p").unwrap(),
        model: None,
        prompt: "hello".to_owned(),
        max_tokens: 1,
        timeout_ms: 10_000,
    };
    assert!(plane.send(ToAgent::Probe(probe)).await);
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
