//! What the control plane may ask for, and what it may not.

use crate::setup::{Agent, control_plane};
use dgon_agent::mode::{Mode, ModeState};
use dgon_protocol::frame::{
    Control, Inventory, Job, LifecycleStatus, NodeStatus, PausedReason, Permission, Probe,
    ProbeOutcome, ToAgent,
};
use dgon_protocol::id::RequestId;
use dgon_protocol::relay::{Kind, RelayFrame};
use dgon_testkit::link_server::{Script, Seen, StubControlPlane};
use std::sync::Arc;

fn probe(id: &str) -> ToAgent {
    ToAgent::Probe(Probe {
        probe_id: id.to_owned(),
        request_id: RequestId::parse(format!("r_{id}")).unwrap(),
        model: None,
        prompt: "hello".to_owned(),
        max_tokens: 1,
        timeout_ms: 1_000,
    })
}

#[tokio::test]
async fn probes_are_served_where_the_owner_allows_them() {
    let stub = control_plane(Script::default()).await;
    let agent = Agent::start(stub.address(), 0, &[Permission::Probe]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    stub.send(probe("1")).await;
    let seen = stub.until(|seen| seen.probes.len() == 1).await.unwrap();
    assert_eq!(seen.probes[0].outcome, ProbeOutcome::Ok);
    assert_eq!(seen.hello.unwrap().allow, [Permission::Probe]);

    stub.send(ToAgent::Control(Control::Pause)).await;
    let seen = stub
        .until(|seen| seen.heartbeat.as_ref().is_some_and(|beat| beat.paused))
        .await
        .unwrap();
    assert_eq!(seen.probes.len(), 1);
    stub.send(probe("2")).await;
    let seen = stub.until(|seen| seen.probes.len() == 2).await.unwrap();
    assert_eq!(seen.probes[1].outcome, ProbeOutcome::Refused);

    stub.send(ToAgent::Control(Control::Resume)).await;
    stub.until(|seen| seen.heartbeat.as_ref().is_some_and(|beat| !beat.paused))
        .await
        .unwrap();
    stub.send(ToAgent::Control(Control::Drain)).await;
    let mut mode = agent.mode.watch();
    mode.wait_for(|stance| stance.decision.mode == Mode::Draining)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_control_plane_never_lifts_the_owners_pause() {
    let stub = control_plane(Script::default()).await;
    let agent = Agent::start(stub.address(), 0, &Permission::DEFAULT).await;
    stub.until(|seen| seen.connected).await.unwrap();
    agent.mode.pause_by_owner(true);
    stub.until(|seen| reason(seen) == Some(PausedReason::Owner))
        .await
        .unwrap();
    stub.send(ToAgent::Control(Control::Drain)).await;
    agent
        .mode
        .watch()
        .wait_for(is(Mode::Draining))
        .await
        .unwrap();
    stub.send(ToAgent::Control(Control::Resume)).await;
    agent.mode.watch().wait_for(is(Mode::Paused)).await.unwrap();
    assert_eq!(agent.mode.state().decision.reasons, [PausedReason::Owner]);
    stub.send(probe("1")).await;
    let seen = stub.until(|seen| seen.probes.len() == 1).await.unwrap();
    assert_eq!(seen.probes[0].outcome, ProbeOutcome::Refused);

    // And the other way round: the owner takes back what is the owner's.
    stub.send(ToAgent::Control(Control::Pause)).await;
    let both = [PausedReason::Owner, PausedReason::ControlPlane];
    agent
        .mode
        .watch()
        .wait_for(|stance| stance.decision.reasons == both)
        .await
        .unwrap();
    agent.mode.pause_by_owner(false);
    assert_eq!(agent.mode.reason(), Some(PausedReason::ControlPlane));
}

fn is(mode: Mode) -> impl FnMut(&ModeState) -> bool {
    move |stance| stance.decision.mode == mode
}

fn reason(seen: &Seen) -> Option<PausedReason> {
    seen.heartbeat.as_ref()?.paused_reason
}

const ALL: [Permission; 6] = [
    Permission::Probe,
    Permission::Gateway,
    Permission::Inference,
    Permission::Benchmark,
    Permission::Container,
    Permission::Command,
];

/// What became of a job of each kind, and of a probe.
async fn ask_everything(stub: &StubControlPlane) -> Seen {
    let before = stub.seen();
    for kind in ALL {
        let job = Job {
            job_id: format!("{kind:?}"),
            kind,
            spec: serde_json::Value::Null,
            timeout_s: 1,
        };
        assert!(stub.send(ToAgent::Job(job)).await);
    }
    assert!(stub.send(probe(&format!("p{}", before.probes.len()))).await);
    let open = RelayFrame {
        kind: Kind::Open,
        stream_id: 7,
        payload: b"{}",
    };
    assert!(stub.send_relay(open.encode().unwrap()).await);
    let (jobs, probes) = (before.jobs.len() + ALL.len(), before.probes.len() + 1);
    let relayed = before.relayed.len() + 1;
    stub.until(|seen| {
        seen.jobs.len() == jobs && seen.probes.len() == probes && seen.relayed.len() == relayed
    })
    .await
    .unwrap()
}

/// Why the stream was given up that was opened last.
fn relay_refusal(seen: &Seen) -> String {
    let bytes = seen.relayed.last().unwrap();
    let frame = RelayFrame::decode(bytes).unwrap();
    assert_eq!((frame.kind, frame.stream_id), (Kind::Cancel, 7));
    String::from_utf8(frame.payload.to_vec()).unwrap()
}

fn forbids(message: Option<&String>) -> bool {
    message.is_some_and(|text| text.contains("the owner of this node does not allow"))
}

#[tokio::test]
async fn each_permission_allows_its_own_kind_and_no_other() {
    for allowed in ALL {
        let stub = control_plane(Script::default()).await;
        let _agent = Agent::start(stub.address(), 0, &[allowed]).await;
        stub.until(|seen| seen.connected).await.unwrap();
        let seen = ask_everything(&stub).await;
        for (kind, update) in ALL.iter().zip(&seen.jobs) {
            assert_eq!(update.job_id, format!("{kind:?}"));
            let is_forbidden = forbids(update.message.as_ref());
            assert_eq!(is_forbidden, *kind != allowed, "{allowed:?}: {update:?}");
        }
        let probed = &seen.probes[0];
        let is_forbidden = forbids(probed.message.as_ref());
        assert_eq!(is_forbidden, allowed != Permission::Probe, "{probed:?}");
        assert_eq!(
            probed.outcome == ProbeOutcome::Ok,
            allowed == Permission::Probe
        );
        let refusal = relay_refusal(&seen);
        let is_forbidden = forbids(Some(&refusal));
        assert_eq!(is_forbidden, allowed != Permission::Gateway, "{refusal}");
    }
}

#[tokio::test]
async fn the_control_plane_cannot_widen_what_the_owner_allows() {
    let stub = control_plane(Script::default()).await;
    let _agent = Agent::start(stub.address(), 0, &[]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    let wide = serde_json::json!({
        "allow": ["probe", "gateway", "inference", "benchmark", "container", "command"],
        "owner": {"idle_only": false},
    });
    let serde_json::Value::Object(config) = wide else {
        unreachable!()
    };
    stub.send(ToAgent::Control(Control::SetConfig { config }))
        .await;
    let seen = ask_everything(&stub).await;
    assert!(seen.jobs.iter().all(|job| forbids(job.message.as_ref())));
    assert!(forbids(seen.probes[0].message.as_ref()));

    stub.cut();
    let seen = stub
        .until(|seen| seen.sessions == 2 && seen.connected)
        .await
        .unwrap();
    assert_eq!(seen.hello.unwrap().allow, []);
    let seen = ask_everything(&stub).await;
    assert!(seen.jobs.iter().all(|job| forbids(job.message.as_ref())));
    assert!(seen.probes.iter().all(|one| forbids(one.message.as_ref())));
}

#[tokio::test]
async fn what_the_owner_does_not_allow_is_refused_with_a_reason() {
    let stub = control_plane(Script::default()).await;
    let _agent = Agent::start(stub.address(), 0, &[]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    stub.send(probe("1")).await;
    stub.send(ToAgent::Job(Job {
        job_id: "j".to_owned(),
        kind: Permission::Command,
        spec: serde_json::Value::Null,
        timeout_s: 1,
    }))
    .await;
    let seen = stub
        .until(|seen| seen.probes.len() == 1 && seen.jobs.len() == 1)
        .await
        .unwrap();
    assert_eq!(seen.probes[0].outcome, ProbeOutcome::Refused);
    assert!(seen.probes[0].message.is_some());
    assert_eq!(seen.jobs[0].state, "refused");
    assert!(
        seen.jobs[0]
            .message
            .as_ref()
            .is_some_and(|text| text.contains("owner"))
    );
}

#[tokio::test]
async fn changes_are_told_and_the_status_is_kept() {
    let stub = control_plane(Script::default()).await;
    let mut agent = Agent::start(stub.address(), 0, &[]).await;
    stub.until(|seen| seen.heartbeats == 1).await.unwrap();
    let changed = Inventory {
        hardware_hash: Some("blake3:x".to_owned()),
        ..Inventory::default()
    };
    agent.inventory.send_replace(Arc::new(changed.clone()));
    let seen = stub
        .until(|seen| !seen.inventories.is_empty())
        .await
        .unwrap();
    assert_eq!(seen.inventories, [changed]);

    let active = NodeStatus {
        status: LifecycleStatus::Active,
        reason: "probe_passed".into(),
    };
    stub.send(ToAgent::Status(active.clone())).await;
    agent
        .until_link(|link| link.node.as_ref() == Some(&active))
        .await;
    stub.send(ToAgent::Control(Control::Refresh)).await;
    agent.refresh.notified().await;
}
