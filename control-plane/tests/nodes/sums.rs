//! Sums of the minutes that are not over are in memory: they and the rows together count each receipt once, whatever ends in
//! between.

use crate::support::{Server, ack, quick};
use dgon_control_plane::app::Clock;
use dgon_control_plane_store::Dialect;
use dgon_testkit::fleet::{SimAgent, SimLink, unix_now};
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;

fn now() -> Clock {
    // In the middle of a minute: what is not waited for ends in the same.
    let now_ms = i64::try_from(unix_now().as_millis()).expect("time");
    Clock::manual(now_ms - now_ms.rem_euclid(MINUTE_MS) + MINUTE_MS / 2)
}

async fn start(clock: &Clock) -> Server {
    let mut settings = quick();
    // The committer looks around as often as it looks for gaps.
    settings.gap_after = Duration::from_millis(20);
    Server::start_with(settings, clock.clone()).await
}

async fn send(agent: &mut SimAgent, link: &mut SimLink, receipts: usize) {
    for _ in 0..receipts {
        let receipt = agent.next_receipt().expect("receipt");
        link.send_receipts([&receipt]).await.expect("send");
        ack(link, receipt.seq).await;
    }
}

/// What everybody is told of a day comes to this; a sum is a second old at most, and the clock of a test stands still.
async fn assert_requests(server: &Server, clock: &Clock, wanted: i64) {
    clock.advance(1_100);
    let shown = server.shown("/summary").await;
    assert_eq!(shown["requests_24h"], wanted, "{shown}");
    let (stored, counted) = server
        .app
        .store
        .inspect()
        .rollups_whole()
        .await
        .expect("sums");
    assert_eq!(stored, counted);
}

/// Waits until the sums of all minutes that are over are rows.
async fn until_sealed(server: &Server, clock: &Clock) {
    server
        .until(|| !server.app.open_minutes.is_due(clock.now_ms()))
        .await;
}

#[tokio::test]
async fn each_receipt_is_counted_once_through_minutes_ends_and_a_clock_that_goes_back() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    // The probe has a receipt, too.
    send(&mut agent, &mut link, 4).await;
    assert_requests(&server, &clock, 5).await;
    let (stored, _) = server
        .app
        .store
        .inspect()
        .rollups_whole()
        .await
        .expect("sums");
    assert!(stored.is_empty(), "the minute is not over: {stored:?}");

    clock.advance(MINUTE_MS);
    until_sealed(&server, &clock).await;
    let (stored, _) = server
        .app
        .store
        .inspect()
        .rollups_whole()
        .await
        .expect("sums");
    assert_eq!(stored.len(), 2, "one of the node and one of all nodes");
    send(&mut agent, &mut link, 2).await;
    assert_requests(&server, &clock, 7).await;

    // What is in memory alone is counted again after a start.
    let server = server.restart().await;
    assert_requests(&server, &clock, 7).await;
    agent.link_url = server.link_url();
    let mut link = agent.connect().await.expect("connect");
    send(&mut agent, &mut link, 1).await;
    clock.advance(MINUTE_MS);
    until_sealed(&server, &clock).await;
    assert_requests(&server, &clock, 8).await;

    // Back into minutes that are rows already, and forward again.
    clock.advance(-30 * MINUTE_MS);
    send(&mut agent, &mut link, 3).await;
    clock.advance(35 * MINUTE_MS);
    send(&mut agent, &mut link, 1).await;
    clock.advance(MINUTE_MS);
    until_sealed(&server, &clock).await;
    assert_requests(&server, &clock, 12).await;
}

#[tokio::test]
async fn what_a_commit_of_unknown_end_stored_is_counted() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 2).await;
    // As a transaction leaves it whose commit was not answered and took effect.
    let _unanswered = server.app.open_minutes.committing();
    let inspect = server.app.store.inspect();
    inspect
        .execute(
            "INSERT INTO receipts (request_id, node_id, node_key_id, received_at_ms, version, region, model_id, ts_start, ts_end, \
             tokens_input, tokens_output, entry_hash, entry, verified) \
             SELECT 'r_unanswered', node_id, node_key_id, received_at_ms, '1.0', region, model_id, ts_start, ts_end, \
             tokens_input, tokens_output, X'00', X'00', verified FROM receipts LIMIT 1",
        )
        .await
        .expect("insert");
    send(&mut agent, &mut link, 1).await;
    assert_requests(&server, &clock, 5).await;
    clock.advance(MINUTE_MS);
    until_sealed(&server, &clock).await;
    assert_requests(&server, &clock, 5).await;
}

#[tokio::test]
async fn sums_are_written_only_behind_the_border_that_memory_knows() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 2).await;
    // Somebody else's work: the rows of this minute are whole, and say so.
    let store = &server.app.store;
    assert_eq!(store.inspect().dialect(), Dialect::Sqlite);
    let by = crate::support::SERVER;
    let facts = store
        .rollups_receipts_after(by, (i64::MIN, 0), 100)
        .await
        .expect("receipts");
    let facts: Vec<_> = facts.into_iter().map(|(_, facts)| facts).collect();
    store.inspect().rollups_add(&facts).await.expect("add");
    clock.advance(MINUTE_MS);
    until_sealed(&server, &clock).await;
    assert_requests(&server, &clock, 3).await;
    send(&mut agent, &mut link, 1).await;
    assert_requests(&server, &clock, 4).await;
}

/// A sum that cannot be read stops the writing of sums, and after ten minutes of it receipts wait; what was counted stays
/// right, and all goes on when the row is mended.
#[tokio::test]
async fn sums_that_cannot_be_written_stay_right_and_do_not_fill_memory() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 1).await;
    clock.advance(MINUTE_MS);
    until_sealed(&server, &clock).await;
    let inspect = server.app.store.inspect();
    let damage = "UPDATE rollups SET ttft = CAST(ttft || 'x' AS BLOB) WHERE node_id = ''";
    inspect.execute(damage).await.expect("damage");
    let mut minutes = 0;
    // Within the quarter of an hour whose row is damaged at first, and beyond.
    while server.app.open_minutes.has_room(clock.now_ms()).is_ok() {
        minutes += 1;
        assert!(minutes < 30, "there is room without end");
        send(&mut agent, &mut link, 1).await;
        clock.advance(MINUTE_MS);
    }
    let waits = agent.next_receipt().expect("receipt");
    link.send_receipts([&waits]).await.expect("send");
    server.until(|| server.app.ingest.is_failing()).await;
    let mend = "UPDATE rollups SET ttft = substr(ttft, 1, length(ttft) - 1) WHERE node_id = ''";
    inspect.execute(mend).await.expect("mend");
    ack(&mut link, waits.seq).await;
    until_sealed(&server, &clock).await;
    assert_requests(&server, &clock, 3 + minutes).await;
}
