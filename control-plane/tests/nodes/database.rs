//! A database that refuses: one node's rows, or everything for a while.

use crate::support::{SERVER, SOON, Server, ack, quick};
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane_store::Dialect;
use dgon_protocol::error::ErrorType;
use dgon_testkit::fleet::{SimAgent, SimLink, SimReceipt, unix_now};
use std::time::Duration;

/// A rule that the program knows nothing of: no row of this model.
const NO_POISON: [&str; 2] = [
    "CREATE TRIGGER no_poison BEFORE INSERT ON receipts WHEN NEW.model_id = 'poison' \
     BEGIN SELECT RAISE(ABORT, 'no poison here'); END",
    "CREATE FUNCTION no_poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF NEW.model_id = 'poison' THEN RAISE EXCEPTION 'no poison here' USING ERRCODE = '22000'; END IF; \
     RETURN NEW; END $$; \
     CREATE TRIGGER no_poison BEFORE INSERT ON receipts FOR EACH ROW EXECUTE FUNCTION no_poison()",
];

fn of(server: &Server, texts: [&'static str; 2]) -> &'static str {
    match server.app.store.inspect().dialect() {
        Dialect::Sqlite => texts[0],
        Dialect::Postgres => texts[1],
    }
}

fn receipts(agent: &mut SimAgent, models: &[&str]) -> Vec<SimReceipt> {
    let one = |model: &&str| {
        agent.next_receipt_with(|draft| {
            if !model.is_empty() {
                (*model).clone_into(&mut draft.model_id);
            }
        })
    };
    models
        .iter()
        .map(one)
        .map(|made| made.expect("receipt"))
        .collect()
}

async fn only_the_guilty_receipt_is_refused(server: Server) {
    let execute = server.app.store.inspect();
    execute.execute(of(&server, NO_POISON)).await.expect("rule");
    let mut nodes: Vec<(SimAgent, SimLink)> = Vec::new();
    for number in 0..9 {
        let agent = server.agent(&format!("n{number}")).await;
        let link = agent.connect().await.expect("connect");
        nodes.push((agent, link));
    }
    // Nothing can be written until all have sent, so that they share transactions.
    let writing = server.app.store.ingest_begin(SERVER).await.expect("begin");
    for (number, (agent, link)) in nodes.iter_mut().enumerate() {
        let models: &[&str] = match number {
            4 => &["", "poison", "", "", "poison", ""],
            _ => &["", ""],
        };
        let made = receipts(agent, models);
        link.send_receipts(&made).await.expect("send");
    }
    let mut links: Vec<_> = nodes
        .iter_mut()
        .map(|(agent, link)| (&*agent, link))
        .collect();
    server.until_heard(&mut links).await;
    drop(writing);
    for (number, (agent, link)) in nodes.iter_mut().enumerate() {
        let acked = ack(link, agent.head.seq).await;
        let refused: Vec<ErrorType> = acked.refused.iter().map(|one| one.kind).collect();
        let expected: &[ErrorType] = match number {
            4 => &[ErrorType::InvalidReceipt, ErrorType::InvalidReceipt],
            _ => &[],
        };
        assert_eq!(
            (acked.acked_seq, refused.as_slice()),
            (agent.head.seq, expected),
            "n{number}"
        );
        // The session stands and what comes next is taken.
        let next = receipts(agent, &[""]);
        link.send_receipts(&next).await.expect("send");
        assert!(ack(link, agent.head.seq).await.refused.is_empty());
    }
    assert_eq!(server.app.sessions.count(), nodes.len());
}

#[tokio::test]
async fn only_the_guilty_receipt_is_refused_on_sqlite() {
    only_the_guilty_receipt_is_refused(Server::start().await).await;
}

#[tokio::test]
async fn only_the_guilty_receipt_is_refused_on_postgres() {
    only_the_guilty_receipt_is_refused(Server::start_on_postgres().await).await;
}

/// What one node says of itself cannot be stored; what all others say is.
async fn only_the_guilty_report_is_left_out(server: Server) {
    let rule = [
        "CREATE TRIGGER no_poison BEFORE INSERT ON node_models WHEN NEW.node_id = 'n2' \
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        "CREATE FUNCTION no_poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.node_id = 'n2' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '22000'; END IF; \
         RETURN NEW; END $$; \
         CREATE TRIGGER no_poison BEFORE INSERT ON node_models FOR EACH ROW EXECUTE FUNCTION no_poison()",
    ];
    let execute = server.app.store.inspect();
    execute.execute(of(&server, rule)).await.expect("rule");
    let mut links = Vec::new();
    for number in 0..5 {
        let agent = server.agent(&format!("n{number}")).await;
        links.push(agent.connect().await.expect("connect"));
    }
    server
        .until_shown("/nodes?runtime=ollama", |shown| {
            let items = shown["items"].as_array().expect("a page");
            let ids: Vec<_> = items
                .iter()
                .filter_map(|item| item["node_id"].as_str())
                .collect();
            ids == ["n0", "n1", "n3", "n4"]
        })
        .await;
}

#[tokio::test]
async fn only_the_guilty_report_is_left_out_on_sqlite() {
    only_the_guilty_report_is_left_out(Server::start().await).await;
}

#[tokio::test]
async fn only_the_guilty_report_is_left_out_on_postgres() {
    only_the_guilty_report_is_left_out(Server::start_on_postgres().await).await;
}

/// A disk that is full: nobody is acknowledged, nobody is sent away, and all goes on by itself.
#[tokio::test]
async fn receipts_wait_while_the_disk_is_full() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let execute = server.app.store.inspect();
    // SQLite takes the size that the file has now for the least that may be said.
    let full = execute.execute("PRAGMA max_page_count = 1").await;
    full.expect("full");
    let made: Vec<_> = (0..512)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    link.send_receipts(&made[..256]).await.expect("send");
    // As an agent sends them while requests end one by one.
    for receipt in &made[256..] {
        link.send_receipts([receipt]).await.expect("send");
    }
    server.until(|| server.app.ingest.is_failing()).await;
    server.until_heard(&mut [(&agent, &mut link)]).await;
    assert_eq!(server.app.sessions.count(), 1);
    let room = execute.execute("PRAGMA max_page_count = 1073741823").await;
    room.expect("room");
    let acked = ack(&mut link, 512).await;
    assert_eq!((acked.acked_seq, acked.refused.len()), (512, 0));
    assert!(!server.app.ingest.is_failing());
}

/// PostgreSQL ends transactions that wait for each other, and may have no room: both are tried again.
#[tokio::test]
async fn transactions_that_postgresql_gave_up_are_tried_again() {
    let server = Server::start_on_postgres().await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let rule = "CREATE SEQUENCE tries; CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ \
         DECLARE n bigint := nextval('tries'); BEGIN \
         IF n = 1 THEN RAISE EXCEPTION 'as if' USING ERRCODE = '40P01'; END IF; \
         IF n = 2 THEN RAISE EXCEPTION 'as if' USING ERRCODE = '40001'; END IF; \
         IF n = 3 THEN RAISE EXCEPTION 'as if' USING ERRCODE = '53100'; END IF; \
         RETURN NULL; END $$; \
         CREATE TRIGGER fails AFTER INSERT ON receipts FOR EACH STATEMENT EXECUTE FUNCTION fails()";
    server
        .app
        .store
        .inspect()
        .execute(rule)
        .await
        .expect("rule");
    let made = receipts(&mut agent, &["", "", ""]);
    link.send_receipts(&made).await.expect("send");
    let acked = ack(&mut link, 3).await;
    assert_eq!((acked.acked_seq, acked.refused.len()), (3, 0));
    assert_eq!(server.app.sessions.count(), 1);
}

/// A table that lets nothing go keeps no other from it.
#[tokio::test]
async fn one_table_that_keeps_its_old_rows_stops_no_others() {
    let settings = Settings {
        retention_interval: Duration::from_millis(20),
        ..quick()
    };
    let now_ms = i64::try_from(unix_now().as_millis()).expect("a time");
    let clock = Clock::manual(now_ms);
    let server = Server::start_with(settings, clock.clone()).await;
    let mut agent = server.agent("a").await;
    let mut link = agent.connect().await.expect("connect");
    let receipt = agent.next_receipt().expect("receipt");
    link.send_receipts([&receipt]).await.expect("send");
    ack(&mut link, receipt.seq).await;
    let store = server.app.store.inspect();
    let rows = "INSERT INTO heartbeats (node_id, at_ms, body) VALUES ('a', 1, '{}')";
    store.execute(rows).await.expect("an old row");
    let rule = "CREATE TRIGGER stays BEFORE DELETE ON heartbeats BEGIN SELECT RAISE(ABORT, 'it stays'); END";
    store.execute(rule).await.expect("rule");
    clock.advance(181 * 86_400_000);
    let gone = async {
        while store
            .receipt_exists(&receipt.request_id)
            .await
            .expect("read")
        {}
    };
    tokio::time::timeout(SOON, gone).await.expect("deleted");
}
