//! Order keys: told at the beginning of a session and when they change, and believed under their proof alone.

use super::{Asked, ask, rest, until_open};
use crate::support::{SOON, Server, quick};
use dgon_control_plane::app::{Clock, OVERLAP, SIGNS};
use dgon_control_plane::relay::Event;
use dgon_protocol::frame::{KeysError, SealedKeys};
use dgon_protocol::order::OrderKeys;
use dgon_protocol::relay::CancelReason;
use dgon_testkit::fleet::relay::Serving;
use dgon_testkit::fleet::{Event as LinkEvent, SimAgent, unix_now};

fn now_ms() -> i64 {
    i64::try_from(unix_now().as_millis()).expect("time")
}

fn kids(keys: &OrderKeys) -> Vec<String> {
    keys.as_slice()
        .iter()
        .map(|key| key.kid.to_string())
        .collect()
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("short")
}

#[tokio::test]
async fn a_session_that_stands_is_told_of_the_next_key_before_an_order_of_it_comes() {
    // Agents judge by a clock that shows what this one shows once it was moved on.
    let clock = Clock::manual(now_ms() - millis(SIGNS));
    let server = Server::start_with(quick(), clock.clone()).await;
    let mut agent = server.agent("a").await;
    clock.advance(millis(SIGNS) - 1);
    let mut link = agent.connect().await.expect("connect");
    let mut serving = Serving::new(&link.welcome);
    let first = kids(&serving.keys);
    assert_eq!(first.len(), 1);
    clock.advance(1);
    server.app.order_keys_renew().await.expect("a key");
    let (asked, mut stream) = ask(&server, &agent, "x", 3);
    assert_ne!(asked.order.kid().as_str(), first[0], "the next key signs");
    let is_done = |serving: &Serving, _: Option<&LinkEvent>| serving.receipts.len() == 1;
    let served = serving.until(&mut agent, &mut link, SOON, is_done).await;
    served.expect("served");
    assert!(matches!(rest(&mut stream).await.1, Event::End(_)));
    // The key before is believed a while longer.
    let told = kids(&serving.keys);
    assert_eq!((told.len(), &told[1]), (2, &first[0]));
    assert_eq!(told[0], asked.order.kid().as_str());
    clock.advance(millis(OVERLAP) + 1);
    let (live, _) = server.app.order_keys.live(clock.now_ms());
    assert_eq!(kids(&live), told[..1]);
}

#[tokio::test]
async fn a_session_that_opens_while_the_key_changes_has_the_new_one() {
    let clock = Clock::manual(now_ms());
    let server = Server::start_with(quick(), clock.clone()).await;
    let agent = server.agent("a").await;
    let link = agent.connect().await.expect("connect");
    let before = kids(&link.welcome.order_keys);
    clock.advance(millis(SIGNS));
    server.app.order_keys_renew().await.expect("a key");
    server.app.order_keys_renew().await.expect("nothing is due");
    let (live, _) = server.app.order_keys.live(clock.now_ms());
    assert_eq!(live.as_slice().len(), 2);
    assert_eq!(kids(&live)[1..], before[..]);
}

#[tokio::test]
async fn a_server_that_starts_ends_the_keys_of_the_one_before_and_shows_them_all() {
    for on_postgres in [false, true] {
        let clock = Clock::manual(now_ms());
        let server = match on_postgres {
            false => Server::start_with(quick(), clock.clone()).await,
            true => Server::start_on_postgres_with(quick(), clock.clone()).await,
        };
        let first = kids(&server.app.order_keys.live(clock.now_ms()).0);
        clock.advance(60_000);
        let server = server.restart().await;
        let second = kids(&server.app.order_keys.live(clock.now_ms()).0);
        assert_eq!(second.len(), 1);
        assert_ne!(first, second);
        // Anybody may see them, page by page.
        let page = server.shown("/keys?limit=1").await;
        assert_eq!(page["items"][0]["kid"], second[0]);
        let cursor = page["next_cursor"].as_str().expect("more");
        let page = server
            .shown(&format!("/keys?limit=1&cursor={cursor}"))
            .await;
        assert_eq!(page["items"][0]["kid"], first[0]);
        assert!(page["next_cursor"].is_null());
        let (made, ended) = (
            &page["items"][0]["created_at"],
            &page["items"][0]["not_after"],
        );
        let ms = |text: &serde_json::Value| {
            let time: jiff::Timestamp = text.as_str().expect("text").parse().expect("a time");
            time.as_millisecond()
        };
        assert_eq!(ms(ended) - ms(made), 60_000);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_set_that_is_not_of_this_session_and_secret_is_not_believed_nor_an_order_of_its_keys() {
    let server = Server::start().await;
    let stranger = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let mut serving = Serving::new(&link.welcome);
    let forged = stranger.app.order_keys.live(now_ms()).0;
    let session_id = link.welcome.session_id.clone();
    let seal = |secret: &[u8], session_id: &str| {
        SealedKeys::seal(forged.clone(), secret, session_id).expect("sealed")
    };
    let before = serving.keys.clone();
    serving.take_keys(&agent, &seal(b"another secret", &session_id));
    serving.take_keys(&agent, &seal(&agent.secret, "another session"));
    let refused = &serving.keys_not_believed;
    assert!(
        matches!(refused.as_slice(), [KeysError::Proof, KeysError::Proof]),
        "{refused:?}"
    );
    assert_eq!(serving.keys, before);
    // An order that a stranger signed.
    let theirs = Asked::new(&stranger, &agent.node_id, "x", 1);
    let mut stream = theirs.open(&server, &agent.node_id);
    refuses(
        &mut serving,
        &mut agent,
        &mut link,
        CancelReason::OrderUnknownKey,
    )
    .await;
    let (_, last) = rest(&mut stream).await;
    assert!(
        matches!(&last, Event::Cancelled(why) if why.reason == CancelReason::OrderUnknownKey),
        "{last:?}"
    );
    // And the control: with the same proof as the server's own, they would be believed.
    serving.take_keys(&agent, &seal(&agent.secret, &session_id));
    let _stream = Asked::new(&stranger, &agent.node_id, "x", 1_000_000);
    let stream = _stream.open(&server, &agent.node_id);
    until_open(&mut serving, (&mut agent, &mut link), 1).await;
    drop(stream);
}

async fn refuses(
    serving: &mut Serving,
    agent: &mut SimAgent,
    link: &mut dgon_testkit::fleet::SimLink,
    reason: CancelReason,
) {
    let refused = |serving: &Serving, _: Option<&LinkEvent>| !serving.refused.is_empty();
    let served = serving.until(agent, link, SOON, refused).await;
    served.expect("refused");
    assert_eq!(serving.refused[0].1, reason);
    // What it has to say of it goes out with the next step.
    while let Some(frame) = serving.poll(agent).expect("entropy") {
        link.send_binary(frame).await.expect("send");
    }
}

#[tokio::test]
async fn a_node_refuses_what_is_not_its_own_comes_twice_or_has_another_body() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let other = server.agent("b").await;
    let mut link = agent.connect().await.expect("connect");
    let asked = Asked::new(&server, &agent.node_id, "x", 1);
    let foreign = Asked::new(&server, &other.node_id, "x", 1);
    let mut tampered = Asked::new(&server, &agent.node_id, "x", 1);
    tampered.body = "y".into();
    for (asked, reason) in [
        (&foreign, CancelReason::OrderForeign),
        (&tampered, CancelReason::BodyMismatch),
        (&asked, CancelReason::OrderReplayed),
    ] {
        let mut serving = Serving::new(&link.welcome);
        let first =
            (reason == CancelReason::OrderReplayed).then(|| asked.open(&server, &agent.node_id));
        let mut stream = asked.open(&server, &agent.node_id);
        refuses(&mut serving, &mut agent, &mut link, reason).await;
        let (_, last) = rest(&mut stream).await;
        assert!(
            matches!(&last, Event::Cancelled(why) if why.reason == reason),
            "{last:?}"
        );
        drop(first);
        server.until_heard(&mut [(&agent, &mut link)]).await;
    }
}
