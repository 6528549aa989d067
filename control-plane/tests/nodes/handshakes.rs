//! Several handshakes of one node at once: one session stays, and everybody speaks of that one.

use crate::support::{SOON, Server, ack, quick};
use dgon_control_plane::app::Clock;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::ToAgent;
use dgon_testkit::fleet::{SimError, unix_now};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

/// Whoever opened last has the session, and what is shown of the node is that session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_handshakes_at_once_one_session_stays_and_is_the_one_that_is_shown() {
    let clock = Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let server = Server::start_with(quick(), clock.clone()).await;
    let (mut agent, mut link) = server.active_agent("a").await;
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    ack(&mut link, receipt.seq).await;
    drop(link);
    for round in 0..20 {
        clock.advance(1_000);
        // An agent that speaks of fewer receipts makes the handshake ask the database.
        let opening: FuturesUnordered<_> = (0..10)
            .map(|_| agent.connect_with(|hello| hello.next_seq = 1))
            .collect();
        let opened = opening.collect::<Vec<_>>().await;
        let mut ending: FuturesUnordered<_> = opened
            .into_iter()
            .filter_map(Result::ok)
            .map(async |mut link| {
                let ended = link.until(SOON, |_| None::<()>).await;
                (link, ended)
            })
            .collect();
        while ending.len() > 1 {
            let (_, ended) = ending.next().await.expect("one");
            assert!(
                !matches!(ended, Err(SimError::Timeout)),
                "{round}: {ended:?}"
            );
        }
        assert_eq!(server.app.sessions.count(), 1, "{round}");
        let shown = server.app.presence.get(&agent.node_id).expect("seen");
        assert!(shown.is_connected(), "{round}: one is open");
        let open = server.app.sessions.session_id(&agent.node_id);
        assert_eq!(shown.session_id, open, "{round}");
        drop(ending);
        let gone = || {
            let shown = server.app.presence.get(&agent.node_id).expect("seen");
            server.app.sessions.count() == 0 && !shown.is_connected()
        };
        server.until(gone).await;
    }
}

#[tokio::test]
async fn who_is_sent_away_while_a_session_opens_is_not_heard_in_it() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let sent_away = |_: &mut _| server.app.guard.conduct.refused(&agent.node_id, 256);
    let opened = agent.connect_with(sent_away).await.map(drop);
    let Err(SimError::Link(error)) = opened else {
        panic!("not refused: {opened:?}")
    };
    assert_eq!(error.kind, ErrorType::RateLimited);
    assert!(error.retry_after_s.is_some_and(|wait_s| wait_s > 0));
    assert_eq!(server.app.sessions.count(), 0);
}

/// What was refused is told in answers, and a node need not read them.
#[tokio::test]
async fn who_is_sent_away_and_does_not_read_it_is_not_heard_either() {
    let server = Server::start().await;
    let (mut agent, mut link) = server.active_agent("a").await;
    server.app.guard.conduct.refused(&agent.node_id, 256);
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    let ended = link
        .until(SOON, |frame| match frame {
            ToAgent::Ack(ack) => Some(ack.acked_seq),
            _ => None,
        })
        .await;
    let Err(SimError::Link(error)) = ended else {
        panic!("heard: {ended:?}")
    };
    assert_eq!(error.kind, ErrorType::RateLimited);
    let gone = || server.app.sessions.count() == 0;
    server.until(gone).await;
}
