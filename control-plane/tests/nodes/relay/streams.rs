//! What a stream is for, and how it ends.

use super::{Asked, Busy, ask, next, rest, until_open};
use crate::support::{SOON, Server, ack};
use dgon_control_plane::app::SessionEnd;
use dgon_control_plane::relay::{Event, Lost, OpenError};
use dgon_protocol::frame::{Heartbeat, ToAgent, ToControlPlane};
use dgon_protocol::receipt::{Receipt, Source};
use dgon_protocol::relay::CancelReason;
use dgon_testkit::fleet::Event as LinkEvent;
use dgon_testkit::fleet::relay::{Answer, Serving};

#[tokio::test]
async fn a_request_goes_to_the_node_and_its_answer_and_receipt_come_back() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let link = agent.connect().await.expect("connect");
    let node_key = agent.key.public();
    // Larger than a window of each direction.
    let (asked, mut stream) = ask(&server, &agent, vec![b'p'; 200_000], 2_000);
    let busy = Busy::start(agent, link);
    let Event::Head(head) = next(&mut stream).await else {
        panic!("no head")
    };
    assert_eq!(head.status, 200);
    assert_eq!(head.content_type.as_deref(), Some("text/event-stream"));
    let (body, last) = rest(&mut stream).await;
    let expected = Answer::of_words(&asked.order.order, &asked.body).body();
    assert!(expected.len() > 100_000, "{}", expected.len());
    assert_eq!(body, expected);
    let Event::End(end) = last else {
        panic!("{last:?}")
    };
    let receipt = end.receipt.expect("a receipt");
    let receipt = Receipt::parse(receipt.get().as_bytes()).expect("a receipt");
    assert!(receipt.verify(&node_key));
    assert_eq!(receipt.fields.source, Some(Source::Gateway));
    assert_eq!(receipt.fields.order_hash, Some(asked.order.order_hash()));
    assert_eq!(receipt.fields.request_id, asked.order.order.request_id);
    // It is stored when it comes among the others.
    let (_agent, mut link, serving) = busy.stop().await;
    assert_eq!(serving.open_count(), 0);
    let receipts = &serving.receipts;
    link.send_receipts(receipts).await.expect("send");
    let acked = ack(&mut link, receipts[0].seq).await;
    assert!(acked.refused.is_empty(), "{acked:?}");
}

#[tokio::test]
async fn an_answer_that_is_not_read_stops_no_other() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let link = agent.connect().await.expect("connect");
    let (slow_asked, mut slow) = ask(&server, &agent, "slow", 4_000);
    let (quick_asked, mut quick) = ask(&server, &agent, "quick", 4_000);
    let busy = Busy::start(agent, link);
    let (body, last) = rest(&mut quick).await;
    assert!(matches!(last, Event::End(_)), "{last:?}");
    let whole = |asked: &Asked| Answer::of_words(&asked.order.order, &asked.body).body();
    assert_eq!(body, whole(&quick_asked));
    // The other waits at its window, and is whole once it is read.
    let (agent, link, serving) = busy.stop().await;
    assert_eq!(serving.open_count(), 1);
    let is_head = matches!(next(&mut slow).await, Event::Head(_));
    let Event::Body(first) = next(&mut slow).await else {
        panic!("no body")
    };
    assert!(is_head && first.len() == 64 * 1024, "{}", first.len());
    // Who serves on goes on with what was begun.
    let (mut agent, mut link, mut serving) = (agent, link, serving);
    let reading = async {
        let (rest, last) = rest(&mut slow).await;
        assert!(matches!(last, Event::End(_)), "{last:?}");
        assert_eq!([first.to_vec(), rest].concat(), whole(&slow_asked));
    };
    let is_done = |serving: &Serving, _: Option<&LinkEvent>| serving.receipts.len() == 2;
    let (served, ()) = tokio::join!(serving.until(&mut agent, &mut link, SOON, is_done), reading);
    served.expect("served");
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_given_up_by_the_node_too() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let mut serving = Serving::new(&link.welcome);
    let (_, dropped) = ask(&server, &agent, "x", 100_000);
    let (_, stalled) = ask(&server, &agent, "y", 100_000);
    until_open(&mut serving, (&mut agent, &mut link), 2).await;
    drop(dropped);
    stalled.cancel(CancelReason::ClientStalled, "reads nothing");
    let both = |serving: &Serving, _: Option<&LinkEvent>| serving.given_up.len() == 2;
    let served = serving.until(&mut agent, &mut link, SOON, both).await;
    served.expect("told");
    let why = |i: usize| (serving.given_up[i].0, serving.given_up[i].1.reason);
    assert_eq!(why(0), (1, CancelReason::ClientGone));
    assert_eq!(why(1), (2, CancelReason::ClientStalled));
    assert_eq!(serving.given_up[1].1.message.to_string(), "reads nothing");
    assert_eq!(serving.open_count(), 0);
    // What it had sent until then was late, and hurts nobody.
    server.until_heard(&mut [(&agent, &mut link)]).await;
}

#[tokio::test]
async fn streams_are_lost_when_the_session_ends_or_a_newer_one_takes_over() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let nobody = Asked::new(&server, &agent.node_id, "x", 1);
    let refused = nobody.try_open(&server, &agent.node_id);
    assert!(matches!(refused, Err(OpenError::NoSession)), "{refused:?}");
    let mut link = agent.connect().await.expect("connect");
    let mut serving = Serving::new(&link.welcome);
    let (_, mut stream) = ask(&server, &agent, "x", 100_000);
    until_open(&mut serving, (&mut agent, &mut link), 1).await;
    let newer = agent.connect().await.expect("connect");
    let (_, last) = rest(&mut stream).await;
    assert!(matches!(last, Event::Lost(Lost::Replaced)), "{last:?}");
    // The newer one begins anew.
    let (_, mut stream) = ask(&server, &agent, "x", 100_000);
    newer.close().await;
    let (_, last) = rest(&mut stream).await;
    assert!(matches!(last, Event::Lost(Lost::Ended)), "{last:?}");
    // A node that is retired works for nobody.
    let _link = agent.connect().await.expect("connect");
    let (_, mut stream) = ask(&server, &agent, "x", 100_000);
    server.app.sessions.end(&agent.node_id, SessionEnd::Retired);
    let (_, last) = rest(&mut stream).await;
    assert!(matches!(last, Event::Lost(Lost::Ended)), "{last:?}");
}

#[tokio::test]
async fn acks_and_heartbeats_go_on_beside_a_hundred_busy_streams() {
    const STREAMS: usize = 100;
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let mut serving = Serving::new(&link.welcome);
    // Requests of many frames, and answers that nobody would come to the end of.
    let streams: Vec<_> = (0..STREAMS)
        .map(|i| ask(&server, &agent, format!("{i}").repeat(100_000), 1_000_000).1)
        .collect();
    until_open(&mut serving, (&mut agent, &mut link), STREAMS).await;
    let reading: Vec<_> = streams
        .into_iter()
        .map(|mut stream| tokio::spawn(async move { while stream.next().await.is_some() {} }))
        .collect();
    for seq in 1..=20 {
        let receipt = agent.next_receipt().expect("receipt");
        link.send_receipts([&receipt]).await.expect("send");
        let beat = Heartbeat {
            uptime_s: seq,
            ..Heartbeat::default()
        };
        let beat = ToControlPlane::Heartbeat(beat);
        link.send(&beat).await.expect("send");
        let is_acked = |_: &Serving, event: Option<&LinkEvent>| {
            let Some(LinkEvent::Frame(frame)) = event else {
                return false;
            };
            matches!(&**frame, ToAgent::Ack(ack) if ack.acked_seq >= seq)
        };
        let served = serving.until(&mut agent, &mut link, SOON, is_acked).await;
        served.expect("acknowledged");
        let heard = server.app.presence.get(&agent.node_id).expect("known");
        let (_, heartbeat) = heard.heartbeat.expect("heard");
        assert_eq!(heartbeat.uptime_s, seq);
    }
    assert_eq!(serving.open_count(), STREAMS);
    for task in reading {
        task.abort();
    }
}
