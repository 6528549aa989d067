//! Sums of the minutes that are not over are in memory: they and the rows together count each receipt once, whatever ends in
//! between.

use crate::support::{SERVER, SOON, Server, ack, quick};
use dgon_control_plane::app::Clock;
use dgon_control_plane_model::rollup::Batch;
use dgon_control_plane_store::Dialect;
use dgon_testkit::fleet::{SimAgent, SimLink, unix_now};
use std::time::Duration;

const MINUTE_MS: i64 = 60_000;
const QUARTER_MS: i64 = 15 * MINUTE_MS;

fn now() -> Clock {
    // In the middle of a minute: what is not waited for ends in the same.
    let now_ms = i64::try_from(unix_now().as_millis()).expect("time");
    Clock::manual(now_ms - now_ms.rem_euclid(MINUTE_MS) + MINUTE_MS / 2)
}

async fn start(clock: &Clock) -> Server {
    let mut settings = quick();
    // The committer looks around as often as it looks for gaps.
    settings.gap_after = Duration::from_millis(20);
    settings.closing_interval = Duration::from_millis(20);
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
    written(server).await;
}

/// The sums that are rows; they are those of their receipts.
async fn written(server: &Server) -> Batch {
    let sums = server.app.store.inspect().rollups_whole().await;
    let (stored, counted) = sums.expect("sums");
    assert_eq!(stored, counted);
    stored
}

/// A minute passes, and the sums of all that are over become rows.
async fn minute_passes(server: &Server, clock: &Clock) {
    clock.advance(MINUTE_MS);
    until_sealed(server, clock).await;
}

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
    let stored = written(&server).await;
    assert!(stored.is_empty(), "the minute is not over: {stored:?}");

    minute_passes(&server, &clock).await;
    let stored = written(&server).await;
    assert_eq!(stored.len(), 2, "one of the node and one of all nodes");
    send(&mut agent, &mut link, 2).await;
    assert_requests(&server, &clock, 7).await;

    // What is in memory alone is counted again after a start.
    let server = server.restart().await;
    assert_requests(&server, &clock, 7).await;
    agent.link_url = server.link_url();
    let mut link = agent.connect().await.expect("connect");
    send(&mut agent, &mut link, 1).await;
    minute_passes(&server, &clock).await;
    assert_requests(&server, &clock, 8).await;

    // Back into minutes that are rows already, and forward again.
    clock.advance(-30 * MINUTE_MS);
    send(&mut agent, &mut link, 3).await;
    clock.advance(35 * MINUTE_MS);
    send(&mut agent, &mut link, 1).await;
    minute_passes(&server, &clock).await;
    assert_requests(&server, &clock, 12).await;
}

/// A quarter of an hour that a wrong clock closed too soon: what comes in it afterwards is in the sums of organisations, too.
#[tokio::test]
async fn a_clock_that_is_ahead_for_a_moment_costs_no_sum_a_receipt() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    clock.advance(QUARTER_MS - clock.now_ms().rem_euclid(QUARTER_MS) + MINUTE_MS / 2);
    send(&mut agent, &mut link, 2).await;
    minute_passes(&server, &clock).await;
    let ahead_ms = 30 * QUARTER_MS;
    clock.advance(ahead_ms);
    let closed = async || {
        server
            .app
            .store
            .rollups_closed(SERVER)
            .await
            .expect("border")
    };
    let now_minute = (clock.now_ms() - ahead_ms) / MINUTE_MS;
    let closing = async {
        while closed().await <= now_minute {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, closing).await.expect("closed");
    let border = closed().await;
    clock.advance(-ahead_ms);
    for _ in 0..3 {
        send(&mut agent, &mut link, 1).await;
        minute_passes(&server, &clock).await;
        assert!(clock.now_ms() / MINUTE_MS < border, "still in it");
        let stored = written(&server).await;
        assert!(stored.keys().any(|key| key.node_id.starts_with('@')));
    }
    assert_requests(&server, &clock, 6).await;
    assert_eq!(closed().await, border, "and no more than that was closed");
}

/// Quarters that are long over are read once a minute, and what is newer each time.
#[tokio::test]
async fn a_day_is_what_was_read_before_and_what_came_since() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 2).await;
    clock.advance(3 * QUARTER_MS);
    send(&mut agent, &mut link, 1).await;
    minute_passes(&server, &clock).await;
    assert_requests(&server, &clock, 4).await;
    send(&mut agent, &mut link, 4).await;
    assert_requests(&server, &clock, 8).await;
    let trends = server.shown("/summary/trends").await;
    let requests = trends["series"]["requests"].as_array().expect("a series");
    let told = requests.iter().filter_map(|quarter| quarter.as_i64());
    let told: Vec<i64> = told.filter(|requests| *requests > 0).collect();
    // The last two may lie in one quarter.
    assert_eq!((told[0], told.iter().sum()), (3, 8), "{told:?}");

    // One that is rebuilt shows within a minute.
    let rebuilt = "UPDATE rollups SET requests = 13 WHERE node_id = '' AND requests = 3";
    let inspect = server.app.store.inspect();
    inspect.execute(rebuilt).await.expect("update");
    for (later_ms, wanted) in [(1_100, 8), (MINUTE_MS, 18)] {
        clock.advance(later_ms);
        assert_eq!(server.shown("/summary").await["requests_24h"], wanted);
    }
}

/// So many receipts like the last one, each in a region of its own.
macro_rules! more_receipts {
    ($count:literal) => {
        concat!(
            "WITH RECURSIVE some (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM some WHERE n < ",
            $count,
            ") INSERT INTO receipts (request_id, node_id, node_key_id, received_at_ms, version, region, model_id, ts_start, \
             ts_end, tokens_input, tokens_output, entry_hash, entry, verified) \
             SELECT 'r_stored_' || n, node_id, node_key_id, received_at_ms, '1.0', 'region-' || n, model_id, ts_start, ts_end, \
             tokens_input, tokens_output, X'00', X'00', verified FROM some, (SELECT * FROM receipts ORDER BY id DESC LIMIT 1)"
        )
    };
}

/// Stores receipts, and the server does not know.
async fn store(server: &Server, more: &'static str) {
    let inspect = server.app.store.inspect();
    inspect.execute(more).await.expect("insert");
}

#[tokio::test]
async fn what_a_commit_of_unknown_end_stored_is_counted() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 2).await;
    // As a transaction leaves it whose commit was not answered and took effect.
    server.app.open_minutes.doubt([agent.node_id.clone()]);
    store(&server, more_receipts!(1)).await;
    send(&mut agent, &mut link, 1).await;
    assert_requests(&server, &clock, 5).await;
    let day = |shown: &serde_json::Value| shown["items"][0]["requests_24h"] == 5;
    server.until_shown("/nodes", day).await;
    minute_passes(&server, &clock).await;
    assert_requests(&server, &clock, 5).await;
}

/// No minute is written for good that has other receipts than are stored, whatever it is that stored them.
#[tokio::test]
async fn what_nobody_told_memory_of_is_counted_before_a_minute_is_sealed() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 1).await;
    store(&server, more_receipts!(1)).await;
    assert_requests(&server, &clock, 2).await;
    minute_passes(&server, &clock).await;
    assert_requests(&server, &clock, 3).await;
}

#[tokio::test]
async fn a_minute_of_many_rows_is_written_in_pieces() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 1).await;
    server.app.open_minutes.doubt([agent.node_id.clone()]);
    store(&server, more_receipts!(600)).await;
    send(&mut agent, &mut link, 1).await;
    minute_passes(&server, &clock).await;
    let stored = written(&server).await;
    assert_eq!(stored.len(), 2 * 601, "of the node and of all nodes");
    assert_requests(&server, &clock, 603).await;
}

/// While a clock that was set back catches up, receipts come at the time of the last one, and lists by time and by order
/// say the same.
#[tokio::test]
async fn a_clock_that_goes_back_a_little_stands_still_for_receipts() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 1).await;
    // No node is refused for its clock: these agree within two minutes.
    clock.advance(-MINUTE_MS);
    send(&mut agent, &mut link, 1).await;
    let (mut other, mut other_link) = server.active_agent("b").await;
    send(&mut other, &mut other_link, 1).await;
    let rows = server
        .app
        .store
        .rollups_receipts_after(SERVER, (i64::MIN, 0), 100)
        .await;
    let mut rows = rows.expect("receipts");
    let by_time: Vec<_> = rows.iter().map(|(place, _)| place.1).collect();
    rows.sort_by_key(|(place, _)| place.1);
    let by_order: Vec<_> = rows.iter().map(|(place, _)| place.1).collect();
    assert_eq!((by_time.len(), &by_time), (5, &by_order));
    assert_requests(&server, &clock, 5).await;
    clock.advance(2 * MINUTE_MS);
    minute_passes(&server, &clock).await;
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
    let by = SERVER;
    let facts = store
        .rollups_receipts_after(by, (i64::MIN, 0), 100)
        .await
        .expect("receipts");
    let facts: Vec<_> = facts.into_iter().map(|(_, facts)| facts).collect();
    store.inspect().rollups_add(&facts).await.expect("add");
    minute_passes(&server, &clock).await;
    assert_requests(&server, &clock, 3).await;
    send(&mut agent, &mut link, 1).await;
    assert_requests(&server, &clock, 4).await;
}

/// The network's row of a quarter of an hour is read to be added to; one that is damaged is counted from the receipts.
#[tokio::test]
async fn a_damaged_sum_is_counted_again_from_its_receipts() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    // All of it within one quarter of an hour.
    clock.advance(QUARTER_MS - clock.now_ms().rem_euclid(QUARTER_MS) + MINUTE_MS / 2);
    send(&mut agent, &mut link, 1).await;
    minute_passes(&server, &clock).await;
    let inspect = server.app.store.inspect();
    let damage = "UPDATE rollups SET ttft = CAST(ttft || 'x' AS BLOB) WHERE node_id = '' \
         AND minute = (SELECT MAX(minute) FROM rollups WHERE node_id = '')";
    inspect.execute(damage).await.expect("damage");
    assert!(inspect.rollups_whole().await.is_err(), "it is damaged");
    send(&mut agent, &mut link, 2).await;
    minute_passes(&server, &clock).await;
    assert_requests(&server, &clock, 4).await;
}

/// While sums cannot be written memory does not fill: after ten minutes of it receipts wait, `/readyz` says why, and all goes
/// on when they can be.
#[tokio::test]
async fn sums_that_cannot_be_written_stay_right_and_do_not_fill_memory() {
    let clock = now();
    let server = start(&clock).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    send(&mut agent, &mut link, 1).await;
    let inspect = server.app.store.inspect();
    let refuse =
        "CREATE TRIGGER refused BEFORE INSERT ON rollups BEGIN SELECT RAISE(ABORT, 'refused'); END";
    inspect.execute(refuse).await.expect("trigger");
    let mut minutes = 0;
    while server.app.open_minutes.has_room(clock.now_ms()).is_ok() {
        minutes += 1;
        assert!(minutes < 30, "there is room without end");
        send(&mut agent, &mut link, 1).await;
        clock.advance(MINUTE_MS);
    }
    let waits = agent.next_receipt().expect("receipt");
    link.send_receipts([&waits]).await.expect("send");
    server.until(|| server.app.ingest.is_failing()).await;
    assert_eq!(server.app.failing().await, ["sums_behind"]);
    inspect.execute("DROP TRIGGER refused").await.expect("drop");
    ack(&mut link, waits.seq).await;
    until_sealed(&server, &clock).await;
    assert_eq!(server.app.failing().await, [""; 0]);
    assert_requests(&server, &clock, 3 + minutes).await;
}
