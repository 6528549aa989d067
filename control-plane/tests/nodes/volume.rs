//! What a node that sends a lot, or often, can do to others: nothing.

use crate::support::{SERVER, SOON, Server, ack, error_type};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Receipts, ToControlPlane};
use dgon_testkit::fleet::SimLink;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::value::RawValue;

/// Bytes that are no receipts: nearly a whole frame of them.
fn junk() -> ToControlPlane {
    let text = format!("\"{}\"", "x".repeat(64 * 1024 - 2));
    let one = RawValue::from_string(text).expect("JSON");
    ToControlPlane::Receipts(Receipts {
        receipts: vec![one; 15],
    })
}

#[tokio::test]
async fn large_batches_of_many_leave_room_for_a_small_one() {
    const HOSTILE: usize = 36;
    let server = Server::start().await;
    let mut hostile: Vec<SimLink> = Vec::new();
    for number in 0..HOSTILE {
        let agent = server.agent(&format!("hostile-{number}")).await;
        hostile.push(agent.connect().await.expect("connect"));
    }
    let (mut honest, mut link) = server.active_agent("honest").await;
    let all_kib = server.app.ingest.free_kib();
    // Nothing is committed until this is dropped, so all that is sent stays in memory.
    let writing = server.app.store.ingest_begin(SERVER).await.expect("begin");
    let frame = junk();
    let sending: FuturesUnordered<_> = hostile
        .iter_mut()
        .map(async |link| {
            for _ in 0..4 {
                link.send(&frame).await.expect("send");
            }
        })
        .collect();
    sending.collect::<Vec<()>>().await;
    // Two frames of each are there.
    let held_kib = HOSTILE * 2 * (15 * 64);
    server
        .until(|| server.app.ingest.free_kib() <= all_kib - held_kib)
        .await;
    let receipt = honest.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    // What follows a batch is heard when the batch has found room.
    server.until_heard(&mut [(&honest, &mut link)]).await;
    drop(writing);
    assert_eq!(ack(&mut link, receipt.seq).await.acked_seq, receipt.seq);
}

#[tokio::test]
async fn a_node_that_posts_more_than_its_part_is_refused_the_rest_at_once() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let body = format!(
        "[{}]",
        vec![format!("\"{}\"", "x".repeat(60_000)); 15].join(",")
    );
    let writing = server.app.store.ingest_begin(SERVER).await.expect("begin");
    let mut posts: FuturesUnordered<_> = (0..5)
        .map(|_| server.post(&agent, "/api/v1/receipts", body.as_bytes()))
        .collect();
    for _ in 0..3 {
        let refused = tokio::time::timeout(SOON, posts.next()).await;
        let refused = refused.expect("at once").expect("an answer");
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "2");
        assert_eq!(error_type(refused).await, ErrorType::RateLimited);
    }
    drop(writing);
    for answer in posts.collect::<Vec<_>>().await {
        assert_eq!(answer.status(), 201);
    }
}
