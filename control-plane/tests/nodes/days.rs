//! A node's last 24 hours, from its receipts over the link to the list of nodes.

use crate::support::{Server, ack, quick};
use dgon_control_plane::app::Clock;
use dgon_protocol::receipt::Status;
use dgon_testkit::fleet::unix_now;
use serde_json::Value;

const HOUR_MS: i64 = 3_600_000;

fn node<'a>(shown: &'a Value, node_id: &str) -> &'a Value {
    let items = shown["items"].as_array().expect("a page");
    let found = items.iter().find(|item| item["node_id"] == node_id);
    found.expect("the node")
}

/// Requests and p95 of a node become these.
async fn until_day(server: &Server, node_id: &str, requests: i64, p95_ms: Option<i64>) {
    server
        .until_shown("/nodes", |shown| {
            let row = node(shown, node_id);
            row["requests_24h"] == requests && row["p95_ms"].as_i64() == p95_ms
        })
        .await;
}

async fn a_day_follows_the_receipts_and_passes(server: Server, clock: Clock) {
    let (mut agent, mut link) = server.active_agent("a").await;
    let (_other, _idle) = server.active_agent("b").await;
    for (ttft_ms, status) in [(5, Status::Ok), (90, Status::Ok), (7_000, Status::Error)] {
        let receipt = agent
            .next_receipt_with(|draft| {
                draft.ttft_ms = Some(ttft_ms);
                draft.status = status;
            })
            .expect("receipt");
        link.send_receipts([&receipt]).await.expect("send");
        ack(&mut link, receipt.seq).await;
    }
    // The probe's own receipt counts as well; what failed has no time.
    server
        .until_shown("/nodes", |shown| node(shown, "a")["requests_24h"] == 4)
        .await;
    let shown = server.shown("/nodes").await;
    let p95 = node(&shown, "a")["p95_ms"].as_i64();
    assert!(p95.is_some_and(|ms| (90..1_000).contains(&ms)), "{p95:?}");
    server
        .until_shown("/nodes", |shown| node(shown, "b")["requests_24h"] == 1)
        .await;
    // One more, six hours later; then the first ones leave the window, and at last this one.
    clock.advance(6 * HOUR_MS);
    let receipt = agent
        .next_receipt_with(|draft| draft.ttft_ms = Some(64))
        .expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    ack(&mut link, receipt.seq).await;
    server
        .until_shown("/nodes", |shown| node(shown, "a")["requests_24h"] == 5)
        .await;
    clock.advance(19 * HOUR_MS);
    until_day(&server, "a", 1, Some(64)).await;
    clock.advance(6 * HOUR_MS);
    until_day(&server, "a", 0, None).await;
    until_day(&server, "b", 0, None).await;
}

fn now() -> Clock {
    Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"))
}

#[tokio::test]
async fn a_day_follows_the_receipts_and_passes_on_sqlite() {
    let clock = now();
    let server = Server::start_with(quick(), clock.clone()).await;
    Box::pin(a_day_follows_the_receipts_and_passes(server, clock)).await;
}

#[tokio::test]
async fn a_day_follows_the_receipts_and_passes_on_postgres() {
    let clock = now();
    let server = Server::start_on_postgres_with(quick(), clock.clone()).await;
    Box::pin(a_day_follows_the_receipts_and_passes(server, clock)).await;
}

/// What was stored before a restart and what comes after it make one day.
#[tokio::test]
async fn a_day_goes_on_after_a_restart() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let receipts: Vec<_> = (0..9)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    link.send_receipts(&receipts).await.expect("send");
    ack(&mut link, agent.head.seq).await;
    let server = server.restart().await;
    agent.link_url = server.link_url();
    let mut link = agent.connect().await.expect("connect");
    let one = agent.next_receipt().expect("receipt");
    link.send_receipts([&one]).await.expect("send");
    ack(&mut link, one.seq).await;
    server
        .until_shown("/nodes", |shown| node(shown, "a")["requests_24h"] == 11)
        .await;
}
