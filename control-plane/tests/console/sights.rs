//! What each browser is told of the same events, in which order, and what a slow one costs the others.

use crate::live::{
    PATIENCE, Page, all_topics, change_the_summary, commit, of_node, start, upgrade,
};
use crate::server::{Server, Who};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::bus::Event;
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane::live::SESSIONS_MAX;
use dgon_protocol::frame::Heartbeat;
use dgon_protocol::id::NodeId;
use dgon_testkit::seed::Seeded;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio_tungstenite::{MaybeTlsStream, client_async};

/// Nodes of the organisation of everybody here, and of nobody.
const OWN: &str = "node-00000";
const FOREIGN: &str = "node-00001";

/// What was told of a node or a receipt: the kind of frame, and the id.
type Heard = BTreeSet<(String, String)>;

fn heard(told: &[(&str, &str)]) -> Heard {
    let own = |(kind, id): &(&str, &str)| ((*kind).to_owned(), (*id).to_owned());
    told.iter().map(own).collect()
}

/// Takes a frame down; whether it is the summary by which a page knows that it was told everything before.
fn take_down(frame: &Value, heard: &mut Heard) -> bool {
    let kind = frame["type"].as_str().expect("a type");
    let id = match kind {
        "receipt" => &frame["data"]["request_id"],
        "node" | "heartbeat" => &frame["data"]["node_id"],
        "summary" => return frame["data"]["models_cached"] == 4,
        "hello" | "snapshot" | "ping" => return false,
        _ => panic!("{frame}"),
    };
    let is_new = heard.insert((kind.to_owned(), id.as_str().expect("an id").to_owned()));
    assert!(is_new || kind != "receipt", "told twice: {frame}");
    false
}

async fn page(server: &Server, who: &Who, topics: &[&str]) -> Page {
    let mut page = Page::enter(server, who).await;
    page.subscribe(json!({ "type": "sub", "topics": topics }))
        .await;
    page
}

#[tokio::test]
async fn everybody_is_told_what_is_in_their_sight_and_nothing_else() {
    let (server, _dir) = start().await;
    let [admin, operator, viewer] = [
        server.sign_in(Role::Admin).await,
        server.sign_in(Role::Operator).await,
        server.sign_in(Role::Viewer).await,
    ];
    const ALL: [&str; 3] = ["summary", "nodes", "receipts"];
    let mut sees_all = page(&server, &admin, &ALL).await;
    let mut others = [
        page(&server, &admin, &["summary", "nodes"]).await,
        page(&server, &operator, &ALL).await,
        page(&server, &viewer, &ALL).await,
        page(&server, &operator, &["summary", "receipts"]).await,
        page(&server, &Who::default(), &ALL).await,
    ];
    let (own, foreign) = (of_node(&server, OWN), of_node(&server, FOREIGN));
    let mut another_orgs = of_node(&server, "node-00003").clone();
    another_orgs.org_id = Some("another".to_owned());
    let receipts = [&another_orgs, own, foreign].map(|one| one.fields.request_id.as_str());
    let all = heard(&[
        ("receipt", receipts[0]),
        ("receipt", receipts[1]),
        ("receipt", receipts[2]),
        ("node", OWN),
        ("node", FOREIGN),
        ("heartbeat", OWN),
        ("heartbeat", FOREIGN),
    ]);
    commit(&server, &[&another_orgs, own, foreign]);
    for node in [FOREIGN, OWN] {
        let node_id = NodeId::parse(node).expect("an id");
        server.app.heard(&node_id, Heartbeat::default());
        server.app.bus.send(Event::Node { node_id });
    }
    let mut told = Heard::new();
    while told != all {
        take_down(&sees_all.next().await, &mut told);
        assert!(told.is_subset(&all), "{told:?}");
    }

    // All of it was handed to everybody. What is told from here on is told after it.
    change_the_summary(&server, &NodeId::parse(OWN).expect("an id")).await;
    let of_own = heard(&[("receipt", receipts[1]), ("node", OWN), ("heartbeat", OWN)]);
    let expected = [
        all.iter()
            .filter(|(kind, _)| kind != "receipt")
            .cloned()
            .collect(),
        of_own,
        // Without an organisation to work for, a person sees what strangers see.
        Heard::new(),
        heard(&[("receipt", receipts[1])]),
        Heard::new(),
    ];
    for (page, expected) in others.iter_mut().zip(expected) {
        let mut told = Heard::new();
        while !take_down(&page.next().await, &mut told) {}
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn receipts_are_told_in_the_order_of_their_commits() {
    let (server, _dir) = start().await;
    let (admin, operator) = (
        server.sign_in(Role::Admin).await,
        server.sign_in(Role::Operator).await,
    );
    let mut sees_all = Page::enter(&server, &admin).await;
    let mut sees_own = Page::enter(&server, &operator).await;
    for page in [&mut sees_all, &mut sees_own] {
        page.subscribe(all_topics()).await;
    }
    let committed: Vec<&Seeded> = server.receipts.iter().collect();
    let own = committed.iter().filter(|one| one.org_id.is_some());
    let own: Vec<&Seeded> = own.copied().collect();
    assert!(own.len() > 1 && own.len() < committed.len());
    for _ in 0..5 {
        // In several commits and one after the other, so that each is in another batch.
        for some in committed.chunks(5) {
            commit(&server, some);
        }
        for receipt in &committed {
            let row = sees_all.next_of("receipt").await;
            assert_eq!(row["request_id"], receipt.fields.request_id.as_str());
        }
    }
    for _ in 0..5 {
        for receipt in &own {
            let row = sees_own.next_of("receipt").await;
            assert_eq!(row["request_id"], receipt.fields.request_id.as_str());
        }
    }
}

/// A page that has said what it wants and reads nothing more, over a connection that holds little.
async fn page_that_does_not_read(server: &Server, who: &Who) -> Page {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2_048).expect("a small buffer");
    let address = server.address.parse().expect("an address");
    let stream = socket.connect(address).await.expect("connect");
    let origin = format!("http://{}", server.address);
    let request = upgrade(server, who, &origin);
    let (socket, _) = client_async(request, MaybeTlsStream::Plain(stream))
        .await
        .expect("upgrade");
    let mut page = Page::of(socket);
    page.subscribe(all_topics()).await;
    page
}

#[tokio::test]
async fn a_page_that_does_not_read_is_let_go_and_others_miss_nothing() {
    let (server, _dir) = start().await;
    let admin = server.sign_in(Role::Admin).await;
    let hasty = HttpSettings {
        live_write_within: Duration::from_millis(200),
        ..HttpSettings::default()
    };
    let receipts = vec![&server.receipts[0]; 100];
    let server = Server::over_with(Arc::clone(&server.app), hasty).await;
    let mut reads = page(&server, &admin, &["receipts"]).await;
    let _slow = page_that_does_not_read(&server, &admin).await;
    let sessions = || {
        let free = (0..).map_while(|_| server.app.live.place(false));
        SESSIONS_MAX - free.collect::<Vec<_>>().len()
    };
    assert_eq!(sessions(), 2);
    let told = async {
        // `Page::next` sees to it that no number is left out.
        while sessions() > 1 {
            commit(&server, &receipts);
            for _ in &receipts {
                reads.next_of("receipt").await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("let go");
    commit(&server, &receipts);
    reads.next_of("receipt").await;
}
