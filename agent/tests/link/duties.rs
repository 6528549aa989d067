//! What the control plane may ask for, and what it may not.

use crate::setup::{Agent, control_plane};
use dgon_agent::mode::Mode;
use dgon_protocol::frame::{
    Control, Inventory, Job, LifecycleStatus, NodeStatus, Permission, Probe, ProbeOutcome, ToAgent,
};
use dgon_protocol::id::RequestId;
use dgon_testkit::link_server::Script;
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
    mode.wait_for(|mode| *mode == Mode::Draining).await.unwrap();
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
        reason: "probe_passed".to_owned(),
    };
    stub.send(ToAgent::Status(active.clone())).await;
    agent
        .until_link(|link| link.node.as_ref() == Some(&active))
        .await;
    stub.send(ToAgent::Control(Control::Refresh)).await;
    agent.refresh.notified().await;
}
