//! From enrolled to active by a real probe, and all ways away from there and back.

use crate::support::{
    ALL, SOON, Server, answer_probe, become_active, probe, quick, serve_probe, status,
};
use dgon_control_plane::app::{Cause, Clock, Settings};
use dgon_control_plane_model::lifecycle::{Event, State};
use dgon_protocol::frame::{
    Heartbeat, Inventory, LifecycleStatus, Permission, ProbeOutcome, ToAgent, ToControlPlane,
};
use dgon_protocol::receipt::Source;
use dgon_testkit::fleet::{inventory, unix_now};
use std::time::Duration;

#[tokio::test]
async fn a_node_becomes_active_by_a_probe_whose_receipt_is_stored() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let probe = probe(&mut link).await;
    // The result alone is not enough.
    answer_probe(&mut link, &probe, ProbeOutcome::Ok).await;
    let before = server.state(&agent);
    serve_probe(&mut agent, &mut link, &probe).await;
    server.until_state(&agent, State::Active).await;
    assert_eq!(before, State::PendingProbe);
    let events = server
        .app
        .store
        .inspect()
        .lifecycle_events(&agent.node_id, 10)
        .await
        .expect("events");
    let reasons: Vec<&str> = events
        .iter()
        .rev()
        .map(|event| event.reason.as_str())
        .collect();
    assert_eq!(reasons, ["enrolled", "runtime_ready", "probe_passed"]);
    let audit = server
        .app
        .store
        .inspect()
        .audit_latest(Some("node:a"), 10)
        .await
        .expect("audit");
    let said: Vec<&str> = audit.iter().map(|row| row.action.as_str()).collect();
    assert_eq!(said, ["node.lifecycle", "node.lifecycle", "node.enrol"]);
    let last = server
        .app
        .store
        .inspect()
        .probe_last(&agent.node_id)
        .await
        .expect("probe")
        .expect("one");
    assert_eq!((last.outcome.as_str(), last.ttft_ms), ("ok", Some(5)));
}

#[tokio::test]
async fn a_node_without_a_runtime_waits_and_says_why() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    link.send(&ToControlPlane::Inventory(Inventory::default()))
        .await
        .expect("send");
    // Depending on what was seen first there is a probe under way; the agent has no runtime for it.
    loop {
        let asked = link
            .until(SOON, |frame| match frame {
                ToAgent::Probe(probe) => Some(Some(probe.clone())),
                ToAgent::Status(status) if status.reason == "no_runtime" => Some(None),
                _ => None,
            })
            .await
            .expect("a probe or a status");
        match asked {
            Some(probe) => answer_probe(&mut link, &probe, ProbeOutcome::NoRuntime).await,
            None => break,
        }
    }
    link.send(&ToControlPlane::Inventory(inventory()))
        .await
        .expect("send");
    become_active(&mut agent, &mut link).await;
}

#[tokio::test]
async fn a_failed_probe_quarantines_and_two_that_pass_release() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let first = probe(&mut link).await;
    answer_probe(&mut link, &first, ProbeOutcome::Failed).await;
    assert_eq!(
        status(&mut link, LifecycleStatus::Quarantine).await,
        "probe_failed"
    );
    let second = probe(&mut link).await;
    serve_probe(&mut agent, &mut link, &second).await;
    assert_eq!(
        status(&mut link, LifecycleStatus::Pending).await,
        "probe_passed"
    );
    become_active(&mut agent, &mut link).await;
}

#[tokio::test]
async fn an_owner_who_allows_no_probe_stays_pending() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let probe = probe(&mut link).await;
    answer_probe(&mut link, &probe, ProbeOutcome::Refused).await;
    loop {
        if status(&mut link, LifecycleStatus::Pending).await == "probe_refused" {
            break;
        }
    }
}

#[tokio::test]
async fn silence_makes_offline_and_a_heartbeat_brings_back() {
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let settings = Settings {
        offline_after: Duration::from_secs(60),
        ..quick()
    };
    let server = Server::start_with(settings, clock.clone()).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    clock.advance(59_000);
    link.send(&ToControlPlane::Heartbeat(Heartbeat::default()))
        .await
        .expect("send");
    clock.advance(1);
    // The receipt's ack shows that the heartbeat before it was seen.
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    crate::support::ack(&mut link, receipt.seq).await;
    clock.advance(58_000);
    assert_eq!(server.state(&agent), State::Active);
    clock.advance(2_000);
    assert_eq!(
        status(&mut link, LifecycleStatus::Offline).await,
        "no_heartbeat"
    );
    clock.advance(1_000);
    link.send(&ToControlPlane::Heartbeat(Heartbeat::default()))
        .await
        .expect("send");
    assert_eq!(
        status(&mut link, LifecycleStatus::Pending).await,
        "heartbeat_resumed"
    );
    become_active(&mut agent, &mut link).await;
}

/// A server that has nothing to do has not stopped: else silence in it would never count.
#[tokio::test]
async fn nothing_to_do_is_no_absence_of_the_server() {
    let settings = Settings {
        offline_after: Duration::from_secs(6),
        ..quick()
    };
    let server = Server::start_with(settings, Clock::system()).await;
    let (_agent, mut link) = server.active_agent("a").await;
    assert_eq!(
        status(&mut link, LifecycleStatus::Offline).await,
        "no_heartbeat"
    );
}

#[tokio::test]
async fn an_admin_stops_clears_and_retires() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let cause = Cause {
        actor: "user:u1",
        owner: None,
        detail: Some("looks odd"),
        ip: None,
        request_id: None,
    };
    let act = |event| server.app.node_event(&ALL, &agent.node_id, event, cause);
    act(Event::AdminQuarantine)
        .await
        .expect("store")
        .expect("a change");
    assert_eq!(
        status(&mut link, LifecycleStatus::Quarantine).await,
        "admin_quarantine"
    );
    act(Event::AdminClear)
        .await
        .expect("store")
        .expect("a change");
    assert_eq!(
        status(&mut link, LifecycleStatus::Pending).await,
        "admin_cleared"
    );
    become_active(&mut agent, &mut link).await;
    let retired = server
        .app
        .node_event(&ALL, &agent.node_id, Event::Retire, cause)
        .await;
    assert_eq!(
        retired.expect("store").expect("a change").to,
        State::Retired
    );
    assert!(
        link.until(crate::support::SOON, |_| None::<()>)
            .await
            .is_err()
    );
    assert!(agent.connect().await.is_err());
    let audit = server
        .app
        .store
        .inspect()
        .audit_latest(Some("node:a"), 1)
        .await
        .expect("audit");
    assert_eq!(audit[0].actor, "user:u1");
}

#[tokio::test]
async fn a_probe_passes_only_by_its_own_receipt() {
    let server = Server::start().await;
    let (mut other, mut elsewhere) = server.active_agent("other").await;
    for wrong in ["model", "source", "node"] {
        let mut agent = server.agent(&format!("wrong-{wrong}")).await;
        let mut link = agent.connect().await.expect("connect");
        let first = probe(&mut link).await;
        let asked = first.model.clone().expect("a model is named");
        if wrong == "node" {
            // Another node's receipt with the id says nothing of this one.
            let receipt = other
                .next_receipt_with(|draft| {
                    draft.request_id = first.request_id.clone();
                    draft.source = Source::Probe;
                    draft.model_id = asked.clone();
                })
                .expect("receipt");
            elsewhere.send_receipts([&receipt]).await.expect("send");
            crate::support::ack(&mut elsewhere, receipt.seq).await;
            answer_probe(&mut link, &first, ProbeOutcome::Ok).await;
            server.until_heard(&mut [(&agent, &mut link)]).await;
            assert_eq!(server.state(&agent), State::PendingProbe);
            serve_probe(&mut agent, &mut link, &first).await;
            server.until_state(&agent, State::Active).await;
            continue;
        }
        let receipt = agent
            .next_receipt_with(|draft| {
                draft.request_id = first.request_id.clone();
                draft.model_id = asked.clone();
                if wrong == "model" {
                    draft.model_id.push_str("-small");
                    draft.source = Source::Probe;
                }
            })
            .expect("receipt");
        link.send_receipts([&receipt]).await.expect("send");
        crate::support::ack(&mut link, receipt.seq).await;
        answer_probe(&mut link, &first, ProbeOutcome::Ok).await;
        if wrong == "model" {
            let reason = status(&mut link, LifecycleStatus::Quarantine).await;
            assert_eq!(reason, "probe_failed");
        } else {
            server.until_heard(&mut [(&agent, &mut link)]).await;
            assert_eq!(server.state(&agent), State::PendingProbe);
        }
    }
}

#[tokio::test]
async fn a_node_whose_runtime_is_gone_is_not_active_until_it_is_back() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let gone = ToControlPlane::Inventory(Inventory::default());
    link.send(&gone).await.expect("send");
    assert_eq!(
        status(&mut link, LifecycleStatus::Pending).await,
        "no_runtime"
    );
    let back = ToControlPlane::Inventory(inventory());
    link.send(&back).await.expect("send");
    become_active(&mut agent, &mut link).await;
}

#[tokio::test]
async fn a_node_that_serves_is_probed_again_and_stopped_when_it_fails_twice() {
    let settings = Settings {
        probe_again: Duration::from_millis(50),
        ..quick()
    };
    let server = Server::start_with(settings, Clock::system()).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    for _ in 0..2 {
        let again = probe(&mut link).await;
        serve_probe(&mut agent, &mut link, &again).await;
        assert_eq!(server.state(&agent), State::Active);
    }
    let third = probe(&mut link).await;
    answer_probe(&mut link, &third, ProbeOutcome::Failed).await;
    assert_eq!(
        status(&mut link, LifecycleStatus::Pending).await,
        "probe_failed"
    );
    let fourth = probe(&mut link).await;
    answer_probe(&mut link, &fourth, ProbeOutcome::Failed).await;
    assert_eq!(
        status(&mut link, LifecycleStatus::Quarantine).await,
        "probe_failed"
    );
}

/// More than there are places for probes, and more than any queue of results had room for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_joins_at_once_is_judged_one_by_one() {
    const NODES: usize = 700;
    let server = Server::start().await;
    let token = server.token(i64::try_from(NODES).expect("count")).await;
    let agents = dgon_testkit::fleet::load::enrol(
        &server.url,
        std::slice::from_ref(&token),
        NODES,
        Some("crowd"),
    )
    .await;
    let joining = agents.expect("enrol").into_iter().map(|mut agent| {
        tokio::spawn(async move {
            let mut link = agent.connect().await.expect("connect");
            become_active(&mut agent, &mut link).await;
            link
        })
    });
    let mut links = Vec::new();
    for joined in joining.collect::<Vec<_>>() {
        links.push(joined.await.expect("active"));
    }
    let lives = server.app.lifecycles.all();
    assert_eq!(lives.len(), NODES);
    assert!(lives.iter().all(|(_, life)| life.state == State::Active));
    let events = server.shown("/nodes?status=quarantine").await["items"]
        .as_array()
        .map(Vec::len);
    assert_eq!(events, Some(0));
}

/// Times that a node comes and goes.
const SESSIONS: u32 = 120;

#[tokio::test]
async fn a_node_that_comes_and_goes_writes_a_bounded_number_of_rows() {
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let server = Server::start_with(quick(), clock.clone()).await;
    let agent = server.agent("a").await;
    let mut link = None;
    for session in 1..=SESSIONS {
        // As often as its share of requests allows.
        clock.advance(100);
        // Without a runtime, then with one whose probes it refuses.
        let connected = agent.connect_with(|hello| {
            let ready = session % 2 == 0;
            hello.inventory = if ready {
                inventory()
            } else {
                Inventory::default()
            };
            hello.allow.retain(|allowed| *allowed != Permission::Probe);
        });
        link = Some(connected.await.expect("connect"));
    }
    drop(link);
    let events = server
        .app
        .store
        .inspect()
        .lifecycle_events(&agent.node_id, 1_000)
        .await
        .expect("events");
    assert!(
        events.len() <= 25,
        "{} rows in {SESSIONS} sessions",
        events.len()
    );
}
