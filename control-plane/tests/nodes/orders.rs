//! What people ask nodes to do: a row until the node was told.

use crate::support::{ALL, SOON, Server, quick};
use dgon_control_plane::app::{Cause, Clock};
use dgon_control_plane_store::node_orders::OrderRow;
use dgon_protocol::frame::{Control, ToAgent};
use dgon_testkit::fleet::{SimAgent, SimLink, unix_now};

async fn refresh(server: &Server, agent: &SimAgent) -> OrderRow {
    let cause = Cause {
        actor: "user:u1",
        owner: None,
        ..Cause::system(Some("look again"))
    };
    let ordered = server.app.order_refresh(&ALL, &agent.node_id, cause).await;
    ordered.expect("order").expect("a node")
}

async fn told(link: &mut SimLink) {
    link.until(SOON, |frame| {
        matches!(frame, ToAgent::Control(Control::Refresh)).then_some(())
    })
    .await
    .expect("the order");
}

/// Waits until the order is marked as sent; the state of all orders of the node, the newest first.
async fn states(server: &Server, agent: &SimAgent, newest: &str) -> Vec<String> {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
    let waiting = async {
        loop {
            ticks.tick().await;
            let inspect = server.app.store.inspect();
            let states = inspect.order_states(&agent.node_id).await.expect("read");
            if states.first().is_some_and(|state| state == newest) {
                return states;
            }
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("in time")
}

#[tokio::test]
async fn a_node_that_is_away_is_told_when_it_comes_back_to_a_server_that_was_started_anew() {
    for server in [Server::start().await, Server::start_on_postgres().await] {
        let mut agent = server.agent("a").await;
        let order = refresh(&server, &agent).await;
        assert_eq!((order.state.as_str(), order.sent_at_ms), ("queued", None));
        assert_eq!(order.expires_at_ms - order.created_at_ms, 600_000);
        assert_eq!(
            refresh(&server, &agent).await,
            order,
            "a repeat is the same"
        );
        let inspect = server.app.store.inspect();
        let audit = inspect.audit_latest(Some("node:a"), 10).await;
        let audit = audit.expect("audit").into_iter();
        let said: Vec<String> = audit.map(|row| row.action).collect();
        assert_eq!(said, ["node.refresh", "node.enrol"]);
        let server = server.restart().await;
        agent.link_url = server.link_url();
        let mut link = agent.connect().await.expect("connect");
        told(&mut link).await;
        assert_eq!(states(&server, &agent, "sent").await, ["sent"]);
        // It is told once: the next session begins with other things alone.
        let mut link = agent.connect().await.expect("connect");
        let order = refresh(&server, &agent).await;
        told(&mut link).await;
        assert_eq!(states(&server, &agent, "sent").await, ["sent", "sent"]);
        assert_eq!(order.state, "queued");
        server.stop().await;
    }
}

#[tokio::test]
async fn an_order_whose_time_is_over_is_not_sent_and_makes_room_for_the_next() {
    // The node's clock shows what this one will show when it connects.
    let now_ms = i64::try_from(unix_now().as_millis()).expect("time");
    let clock = Clock::manual(now_ms - 1_200_000);
    let server = Server::start_with(quick(), clock.clone()).await;
    let agent = server.agent("a").await;
    refresh(&server, &agent).await;
    clock.advance(600_000);
    let second = refresh(&server, &agent).await;
    assert_eq!(
        states(&server, &agent, "queued").await,
        ["queued", "expired"]
    );
    clock.advance(600_000);
    let mut link = agent.connect().await.expect("connect");
    // What waits is read when the session opens: one that is given now is the only one that comes.
    let third = refresh(&server, &agent).await;
    assert_ne!(second.id, third.id);
    told(&mut link).await;
    let all = states(&server, &agent, "sent").await;
    assert_eq!(all, ["sent", "expired", "expired"]);
}
