//! Each flag does what its name says, over HTTP and over the link of a simulated agent.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::{ALL, Browser, Server, client};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane::http::HttpSettings;
use dgon_control_plane::tasks;
use dgon_control_plane_model::lifecycle::{Reason, State};
use dgon_protocol::frame::ToAgent;
use dgon_testkit::fleet::{Enrol, SimAgent, SimLink, SimReceipt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for anything; a working server needs milliseconds.
const SOON: Duration = Duration::from_secs(20);

struct Network {
    server: Server,
    admin: Browser,
    stop: CancellationToken,
    _tasks: TaskTracker,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Network {
    async fn start() -> Self {
        let clock = Clock::system();
        let server = Server::start_at(Settings::default(), HttpSettings::default(), clock).await;
        let stop = CancellationToken::new();
        let _tasks = tasks::spawn(&server.state.app, &stop);
        let admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
        Self {
            server,
            admin,
            stop,
            _tasks,
        }
    }

    async fn set(&mut self, flag: &str, enabled: bool) {
        let request = self
            .admin
            .request(Method::PUT, &format!("/api/v1/flags/{flag}"))
            .json(&json!({ "enabled": enabled }));
        let answer = self.admin.send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }

    async fn agent(&mut self) -> (SimAgent, SimLink) {
        let token = self.admin.post("/api/v1/enrolment-tokens", json!({})).await;
        let token = token.json["token"].as_str().expect("a token").to_owned();
        let enrol = Enrol {
            node_id: None,
            region: None,
        };
        let agent = SimAgent::enrol(&client(), &self.server.base, &token, enrol)
            .await
            .expect("enrol");
        let link = agent.connect().await.expect("connect");
        (agent, link)
    }

    async fn detail(&mut self, receipt: &SimReceipt) -> Value {
        let answer = self.admin.get(&path(receipt)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json
    }
}

fn path(receipt: &SimReceipt) -> String {
    let value: Value = serde_json::from_str(receipt.text()).expect("JSON");
    let id = value["request_id"].as_str().expect("an id");
    format!("/api/v1/receipts/{id}")
}

/// The next receipt, changed after it was signed.
fn forged(agent: &mut SimAgent) -> SimReceipt {
    let mut receipt = agent
        .next_receipt_with(|draft| draft.tokens_output = 1_000_000)
        .expect("receipt");
    let text = receipt.text().replace("1000000", "1000001");
    receipt.signed.entry_bytes = text.into_bytes();
    receipt
}

/// Waits until everything up to `seq` was answered; how many were refused.
async fn refused(link: &mut SimLink, seq: u64) -> usize {
    link.until(SOON, |frame| match frame {
        ToAgent::Ack(ack) if ack.acked_seq >= seq => Some(ack.refused.len()),
        _ => None,
    })
    .await
    .expect("ack")
}

#[tokio::test]
async fn without_signature_verification_bad_receipts_are_kept_and_told_apart() {
    let mut network = Network::start().await;
    network.set("enable_signature_verify", false).await;
    let (mut agent, mut link) = network.agent().await;
    let (good, bad) = (agent.next_receipt().expect("receipt"), forged(&mut agent));
    link.send_receipts([&good, &bad]).await.expect("send");
    assert_eq!(refused(&mut link, bad.seq).await, 0);
    let life = network.server.state.app.lifecycles.get(&agent.node_id);
    assert_ne!(life.expect("known").state, State::Quarantine);
    for (receipt, verdict) in [(&good, "valid"), (&bad, "invalid_signature")] {
        let detail = network.detail(receipt).await;
        assert_eq!(detail["verification"]["verdict"], verdict);
        assert_eq!(detail["raw"].as_str(), Some(receipt.text()));
    }

    network.set("enable_signature_verify", true).await;
    let (mut other, mut link) = network.agent().await;
    let bad = forged(&mut other);
    link.send_receipts([&bad]).await.expect("send");
    assert_eq!(refused(&mut link, bad.seq).await, 1);
    let life = network.server.state.app.lifecycles.get(&other.node_id);
    let life = life.expect("known");
    assert_eq!(
        (life.state, life.reason),
        (State::Quarantine, Reason::InvalidSignature)
    );
    assert_eq!(
        network.admin.get(&path(&bad)).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_flag_for_signatures_is_read_at_a_start() {
    let network = Network::start().await;
    let app = &network.server.state.app;
    let before = app.switches.signatures();
    app.store
        .flag_set(&ALL, "enable_signature_verify", false, &Default::default())
        .await
        .expect("set");
    app.load().await.expect("load");
    assert_ne!(app.switches.signatures(), before);
}

#[tokio::test]
async fn public_receipts_are_read_by_id_and_lead_to_no_other() {
    let mut network = Network::start().await;
    let (mut agent, mut link) = network.agent().await;
    let receipts: Vec<_> = (0..3)
        .map(|_| agent.next_receipt().expect("receipt"))
        .collect();
    link.send_receipts(&receipts).await.expect("send");
    assert_eq!(refused(&mut link, receipts[2].seq).await, 0);
    let (detail, raw) = (path(&receipts[1]), format!("{}/raw", path(&receipts[1])));
    let mut viewer = network
        .server
        .signed_in("viewer@example.com", &[Role::Viewer])
        .await;
    let mut stranger = Browser::new(&network.server);
    for path in [&detail, &raw] {
        assert_eq!(stranger.get(path).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(viewer.get(path).await.status, StatusCode::FORBIDDEN);
    }

    network.set("public_receipts", true).await;
    for reader in [&mut stranger, &mut viewer] {
        let shown = reader.get(&detail).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
        assert_eq!(shown.json["raw"].as_str(), Some(receipts[1].text()));
        let chain = &shown.json["chain"];
        assert_eq!(
            (&chain["prev_request_id"], &chain["next_request_id"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(reader.get(&raw).await.text, receipts[1].text());
        assert_eq!(
            reader.get("/api/v1/receipts/r_unknown").await.status,
            StatusCode::NOT_FOUND
        );
    }
    let own = network.detail(&receipts[1]).await;
    assert!(own["chain"]["prev_request_id"].is_string(), "{own}");
    assert_eq!(
        stranger.get("/api/v1/receipts").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_flag_without_effect_says_so() {
    let mut network = Network::start().await;
    let flags = network.admin.get("/api/v1/flags").await;
    let items = flags.json["items"].as_array().expect("items").clone();
    let mut working = Vec::new();
    for flag in &items {
        let name = flag["name"].as_str().expect("a name");
        if flag["in_effect"] == true {
            assert_eq!(flag["note"], Value::Null, "{name}");
            working.push(name);
        } else {
            assert!(
                flag["note"]
                    .as_str()
                    .is_some_and(|note| note.contains("This version")),
                "{flag}"
            );
        }
    }
    let expected = [
        "allow_anonymous_overview",
        "enable_private_pools",
        "enable_signature_verify",
        "open_registration",
        "public_receipts",
    ];
    assert_eq!(working, expected);
}
