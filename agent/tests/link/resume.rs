//! Receipts arrive exactly once and in order, whatever happens to the link.

use crate::setup::{Agent, assert_whole, control_plane, own_receipt};
use dgon_agent::link::Phase;
use dgon_agent::receipts::NotReady;
use dgon_agent::sink::ReceiptSink as _;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{IssueKind, LinkError, Need, ToAgent};
use dgon_testkit::fault::{FaultProxy, Weather};
use dgon_testkit::link_server::Script;
use std::time::Duration;

#[tokio::test]
async fn a_cut_at_any_byte_costs_nothing() {
    let stub = control_plane(Script::default()).await;
    let network = FaultProxy::start(stub.address()).await.unwrap();
    let agent = Agent::start(network.address(), 0, &[]).await;
    let mut total = 0;
    // From within the upgrade to after several frames; each new connection is cut there.
    for bytes in (50..40_000).step_by(1_733) {
        network.cut_after(Some(bytes));
        network.cut();
        let accepted = network.accepted();
        agent.record(37).await;
        total += 37;
        while network.accepted() < accepted + 2 {
            tokio::task::yield_now().await;
        }
        network.cut_after(None);
        network.cut();
    }
    let seen = stub
        .until(|seen| seen.receipts.len() == total)
        .await
        .unwrap();
    assert_whole(&seen, total as u64);
    assert!(seen.sessions > 10, "{}", seen.sessions);
    agent.until_acknowledged().await;
}

#[tokio::test]
async fn after_a_long_absence_everything_arrives_in_order() {
    let stub = control_plane(Script::default()).await;
    let network = FaultProxy::start(stub.address()).await.unwrap();
    network.set(Weather {
        refuse: true,
        ..Weather::default()
    });
    let mut agent = Agent::start(network.address(), 2_500, &[]).await;
    agent.until_link(|link| link.phase == Phase::Waiting).await;
    assert_eq!(agent.receipts.status().depth(), 2_500);
    agent.receipts.room().unwrap();
    network.set(Weather::default());
    agent.record(100).await;
    let seen = stub
        .until(|seen| seen.receipts.len() == 2_600)
        .await
        .unwrap();
    assert_whole(&seen, 2_600);
    assert_eq!((seen.sessions, seen.repeats), (1, 0));
    agent.until_acknowledged().await;
}

#[tokio::test]
async fn a_slow_network_only_takes_longer() {
    let stub = control_plane(Script::default()).await;
    let network = FaultProxy::start(stub.address()).await.unwrap();
    network.set(Weather {
        delay: Duration::from_millis(2),
        bytes_per_s: Some(4 << 20),
        ..Weather::default()
    });
    let agent = Agent::start(network.address(), 600, &[]).await;
    let seen = stub.until(|seen| seen.receipts.len() == 600).await.unwrap();
    assert_whole(&seen, 600);
    assert_eq!(seen.sessions, 1);
    agent.until_acknowledged().await;
}

#[tokio::test]
async fn what_was_acknowledged_unheard_is_sent_once_more_and_counts_once() {
    let stub = control_plane(Script {
        drop_at: Some(300),
        ..Script::default()
    })
    .await;
    let agent = Agent::start(stub.address(), 700, &[]).await;
    let seen = stub.until(|seen| seen.receipts.len() == 700).await.unwrap();
    assert_whole(&seen, 700);
    // A refusal among them would be heard now.
    assert_eq!(seen.sessions, 2);
    // One batch or both, by whether the second had left when the first session broke.
    assert!([256, 512].contains(&seen.repeats), "{}", seen.repeats);
    agent.until_acknowledged().await;
}

#[tokio::test]
async fn without_acknowledgements_no_more_than_the_window_is_sent() {
    let stub = control_plane(Script {
        acks: false,
        ..Script::default()
    })
    .await;
    let agent = Agent::start(stub.address(), 1_500, &[]).await;
    stub.until(|seen| seen.receipts.len() == 1_024)
        .await
        .unwrap();
    // A heartbeat later nothing more has come.
    agent.mode.pause_by_owner(true);
    let seen = stub
        .until(|seen| seen.heartbeat.as_ref().is_some_and(|beat| beat.paused))
        .await
        .unwrap();
    assert_whole(&seen, 1_024);
    assert_eq!(agent.receipts.status().depth(), 1_500);
}

#[tokio::test]
async fn refused_receipts_are_put_aside_and_the_rest_flows_on() {
    let stub = control_plane(Script {
        refuses: [
            (3, ErrorType::InvalidReceipt),
            (400, ErrorType::ConflictingReceipt),
        ]
        .into(),
        ..Script::default()
    })
    .await;
    let agent = Agent::start(stub.address(), 500, &[]).await;
    agent.until_acknowledged().await;
    let seen = stub.seen();
    assert_eq!((seen.receipts.len(), seen.refused), (498, vec![3, 400]));
    let letters = agent.letters.newest(9).unwrap();
    let seqs: Vec<_> = letters.iter().filter_map(|letter| letter.seq).collect();
    assert_eq!(seqs, [400, 3]);
    assert!(letters.iter().all(|letter| letter.receipt.is_some()));
    assert_eq!(agent.receipts.status().dead_letters, 2);
    let seen = stub.until(|seen| !seen.issues.is_empty()).await.unwrap();
    assert_eq!(seen.issues[0], IssueKind::ReceiptRefused);
}

#[tokio::test]
async fn a_control_plane_restored_from_a_backup_gets_the_rest_again() {
    let stub = control_plane(Script::default()).await;
    let agent = Agent::start(stub.address(), 300, &[]).await;
    agent.until_acknowledged().await;
    stub.restore_to(120);
    stub.cut();
    let seen = stub.until(|seen| seen.receipts.len() == 300).await.unwrap();
    assert_whole(&seen, 300);
    agent.until_acknowledged().await;
}

#[tokio::test]
async fn a_control_plane_that_shows_more_than_the_spool_has_stops_the_node() {
    let stub = control_plane(Script {
        welcome_acked: Some(900),
        welcome_receipt: Some(own_receipt(898)),
        heartbeat_s: 1,
        ..Script::default()
    })
    .await;
    let mut agent = Agent::start(stub.address(), 5, &[]).await;
    agent
        .until_link(|link| link.phase == Phase::Connected)
        .await;
    let mut status = agent.receipts.watch();
    status
        .wait_for(|now| {
            matches!(
                now.not_ready,
                Some(NotReady::ChainBehind { acked_seq: 898, .. })
            )
        })
        .await
        .unwrap();
    assert!(agent.receipts.room().is_err());
    // The session stands and tells of the node; only receipts are held back.
    let seen = stub.until(|seen| seen.heartbeats >= 2).await.unwrap();
    assert!(seen.receipts.is_empty());
    assert_eq!(seen.violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_replaced_link_ends_and_the_node_serves_on() {
    let stub = control_plane(Script::default()).await;
    let network = FaultProxy::start(stub.address()).await.unwrap();
    let mut agent = Agent::start(network.address(), 1, &[]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    let replaced = LinkError {
        kind: ErrorType::Replaced,
        message: "a newer session took over".into(),
        retry_after_s: None,
    };
    assert!(stub.send(ToAgent::Error(replaced)).await);
    agent.until_link(|link| link.phase == Phase::Replaced).await;
    stub.until(|seen| !seen.connected).await.unwrap();
    agent.record(20).await;
    agent.serves().await;
    let link = agent.status.borrow().clone();
    let wait = link.retry_in_ms.unwrap();
    assert!((300_000..=600_000).contains(&wait), "{wait}");
    assert!(link.last_error.unwrap().contains("dgon-agent key rotate"));
    assert_eq!(network.accepted(), 1, "it does not take the link back");
    assert_eq!(agent.receipts.status().last_seq, 22);
    agent.stop().await;
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let stub = control_plane(Script {
        refuse_upgrade: Some((503, 3_600)),
        ..Script::default()
    })
    .await;
    let mut agent = Agent::start(stub.address(), 0, &[]).await;
    agent.until_link(|link| link.phase == Phase::Waiting).await;
    let link = agent.status.borrow().clone();
    assert!(
        link.retry_in_ms.is_some_and(|wait| wait >= 900_000),
        "{link:?}"
    );
    assert!(
        link.last_error
            .is_some_and(|reason| reason.contains("the stub refuses"))
    );
    assert_eq!(stub.seen().refused_upgrades, 1);
    agent.stop().await;
}

#[tokio::test]
async fn what_the_control_plane_misses_is_sent_again() {
    let stub = control_plane(Script::default()).await;
    let agent = Agent::start(stub.address(), 100, &[]).await;
    agent.until_acknowledged().await;
    assert!(stub.send(ToAgent::Need(Need { from: 41, to: 50 })).await);
    let seen = stub.until(|seen| seen.repeats == 60).await.unwrap();
    assert_whole(&seen, 100);
}

#[tokio::test]
async fn a_stopping_agent_sends_the_rest_and_says_bye() {
    let stub = control_plane(Script::default()).await;
    let agent = Agent::start(stub.address(), 0, &[]).await;
    stub.until(|seen| seen.connected).await.unwrap();
    agent.record(900).await;
    agent.stop().await;
    let seen = stub.until(|seen| !seen.connected).await.unwrap();
    assert_whole(&seen, 900);
    assert_eq!(seen.byes, ["stopping"]);
}
