//! Node HTTP: who is let in, and what a third-party agent can do with two posts.

use crate::support::{ALL, Server, as_documented, error_type};
use dgon_control_plane::app::Clock;
use dgon_control_plane_model::lifecycle::State;
use dgon_control_plane_store::receipt_queries::ReceiptFilter;
use dgon_protocol::auth::{HEADER_AUTH, HEADER_NODE_ID, HEADER_TIMESTAMP, sign_v1};
use dgon_protocol::error::{ErrorBody, ErrorType};
use dgon_protocol::key::signature_text;
use dgon_testkit::fleet::{SimAgent, SimError, unix_now};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const RECEIPTS: &str = "/api/v1/receipts";
const HEARTBEAT: &str = "/api/v1/nodes/heartbeat";

async fn post_v1(
    server: &Server,
    agent: &SimAgent,
    path: &str,
    body: &str,
    ts: u64,
) -> reqwest::Response {
    let ts = ts.to_string();
    server
        .http
        .post(format!("{}{path}", server.url))
        .header(HEADER_NODE_ID, agent.node_id.as_str())
        .header(HEADER_TIMESTAMP, &ts)
        .header(HEADER_AUTH, sign_v1(&agent.secret, body.as_bytes(), &ts))
        .body(body.to_owned())
        .send()
        .await
        .expect("send")
}

fn heartbeat(agent: &SimAgent, ts: u64) -> String {
    json!({"node_id": agent.node_id, "metrics": {"uptime_s": 1, "gpu_util": 0.5, "temp_c": 50}, "ts": ts}).to_string()
}

#[tokio::test]
async fn a_list_of_the_fields_of_a_heartbeat_is_none() {
    let server = Server::start().await;
    let agent = server.agent("listed").await;
    let now = unix_now().as_secs();
    for body in [
        json!([agent.node_id, { "uptime_s": 1, "gpu_util": 0.5 }, now]),
        json!({ "node_id": agent.node_id, "metrics": [1, 0.5], "ts": now }),
    ] {
        let answer = post_v1(&server, &agent, HEARTBEAT, &body.to_string(), now).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(
            error_type(answer).await,
            ErrorType::InvalidRequest,
            "{body}"
        );
    }
}

async fn verdicts(response: reqwest::Response) -> Vec<String> {
    assert_eq!(response.status(), 201);
    let body: Value = response.json().await.expect("json");
    let verdicts = body["verdicts"].as_array().expect("verdicts");
    verdicts
        .iter()
        .map(|v| {
            v["type"]
                .as_str()
                .or(v["verdict"].as_str())
                .expect("verdict")
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn a_third_party_agent_posts_receipts_in_any_json_form() {
    let server = Server::start().await;
    let mut agent = server.agent("third").await;
    let now = unix_now().as_secs();
    let receipt = agent.next_receipt().expect("receipt");
    let value: Value = serde_json::from_str(receipt.text()).expect("json");
    let pretty = serde_json::to_string_pretty(&value).expect("pretty");
    let first = post_v1(&server, &agent, RECEIPTS, &pretty, now).await;
    assert_eq!(verdicts(first).await, ["accepted"]);
    // The same receipt in its canonical form is the same receipt.
    let again = post_v1(&server, &agent, RECEIPTS, receipt.text(), now).await;
    assert_eq!(verdicts(again).await, ["duplicate"]);
    let next = agent.next_receipt().expect("receipt");
    let batch = format!("[{}, {{\"not\": \"a receipt\"}}]", next.text());
    let many = server.post(&agent, RECEIPTS, batch.as_bytes()).await;
    assert_eq!(verdicts(many).await, ["accepted", "invalid_receipt"]);
}

#[tokio::test]
async fn junk_of_a_stranger_changes_nothing_about_the_node_it_names() {
    let server = Server::start().await;
    let (mut victim, link) = server.active_agent("victim").await;
    let forged = victim
        .next_receipt_with(|draft| draft.tokens_output = 1_000_000)
        .expect("receipt");
    let forged = forged.text().replace("1000000", "1000001");
    let now = unix_now().as_secs().to_string();
    for secret in [&b"guessed"[..], &[0; 32]] {
        let response = server
            .http
            .post(format!("{}{RECEIPTS}", server.url))
            .header(HEADER_NODE_ID, victim.node_id.as_str())
            .header(HEADER_TIMESTAMP, &now)
            .header(HEADER_AUTH, sign_v1(secret, forged.as_bytes(), &now))
            .body(forged.clone())
            .send()
            .await
            .expect("send");
        assert_eq!(response.status(), 401);
        assert_eq!(error_type(response).await, ErrorType::Unauthorized);
    }
    assert_eq!(server.state(&victim), State::Active);
    assert_eq!(
        server
            .app
            .store
            .inspect()
            .evidence_count(&victim.node_id)
            .await
            .expect("count"),
        0
    );
    link.close().await;
}

#[tokio::test]
async fn a_bad_signature_over_the_nodes_own_hmac_quarantines_it() {
    let server = Server::start().await;
    let (mut agent, link) = server.active_agent("liar").await;
    let receipt = agent
        .next_receipt_with(|draft| draft.tokens_output = 1_000_000)
        .expect("receipt");
    let forged = receipt.text().replace("1000000", "1000001");
    let response = server.post(&agent, RECEIPTS, forged.as_bytes()).await;
    assert_eq!(verdicts(response).await, ["invalid_signature"]);
    assert_eq!(server.state(&agent), State::Quarantine);
    assert_eq!(
        server
            .app
            .store
            .inspect()
            .evidence_count(&agent.node_id)
            .await
            .expect("count"),
        1
    );
    link.close().await;
}

#[tokio::test]
async fn the_same_request_twice_is_a_replay() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let path = "/api/v1/nodes/self";
    let headers = agent.headers("GET", path, b"").expect("headers");
    let send = || {
        let mut request = server.http.get(format!("{}{path}", server.url));
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        request.send()
    };
    let first = as_documented(Method::GET, send().await.expect("send")).await;
    assert_eq!(first.status(), 200);
    let own: Value = first.json().await.expect("json");
    assert_eq!(
        (&own["status"], &own["acked_seq"]),
        (&json!("pending"), &json!(0))
    );
    let again = as_documented(Method::GET, send().await.expect("send")).await;
    assert_eq!(error_type(again).await, ErrorType::ReplayedRequest);
}

#[tokio::test]
async fn a_captured_header_is_of_no_use_elsewhere() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let headers = agent
        .headers("GET", "/api/v1/nodes/other", b"")
        .expect("headers");
    let mut request = server.http.get(format!("{}/api/v1/nodes/self", server.url));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = as_documented(Method::GET, request.send().await.expect("send")).await;
    assert_eq!(error_type(response).await, ErrorType::Unauthorized);
}

#[tokio::test]
async fn a_wrong_clock_is_told_the_right_time() {
    let server = Server::start_with(crate::support::quick(), Clock::system()).await;
    let agent = server.agent("a").await;
    let old = unix_now().as_secs() - 121;
    let response = post_v1(&server, &agent, HEARTBEAT, &heartbeat(&agent, old), old).await;
    assert_eq!(response.status(), 401);
    let body: ErrorBody = response.json().await.expect("body");
    assert_eq!(body.error.kind, ErrorType::StaleTimestamp);
    let told = body.error.details["server_time"].as_u64().expect("time");
    assert!(told.abs_diff(unix_now().as_secs()) <= 5);
}

#[tokio::test]
async fn heartbeats_over_http_must_move_forward() {
    let server = Server::start().await;
    let agent = server.agent("a").await;
    let now = unix_now().as_secs();
    let first = post_v1(&server, &agent, HEARTBEAT, &heartbeat(&agent, now), now).await;
    assert_eq!(first.status(), 202);
    let again = post_v1(&server, &agent, HEARTBEAT, &heartbeat(&agent, now), now).await;
    assert_eq!(error_type(again).await, ErrorType::ReplayedRequest);
    let beat = server
        .app
        .presence
        .get(&agent.node_id)
        .and_then(|node| node.heartbeat)
        .expect("heartbeat");
    assert_eq!(beat.1.gpus[0].temp_c, Some(50.0));
}

#[tokio::test]
async fn too_many_posts_are_told_when_to_come_back() {
    let server = Server::start_with(
        crate::support::quick(),
        Clock::manual(unix_now().as_millis() as i64),
    )
    .await;
    let mut agent = server.agent("a").await;
    for _ in 0..5 {
        let receipt = agent.next_receipt().expect("receipt");
        let response = server
            .post(&agent, RECEIPTS, receipt.text().as_bytes())
            .await;
        assert_eq!(response.status(), 201);
    }
    let response = server.post(&agent, RECEIPTS, b"[]").await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
}

/// A receipt of version 1.0, as any agent signs it: canonical JSON is sorted and without spaces.
fn version_1_0(agent: &SimAgent, request_id: &str, ts_end: u64, tokens_output: u64) -> String {
    let mut receipt = BTreeMap::from([
        ("version", json!("1.0")),
        ("request_id", json!(request_id)),
        ("node_id", json!(agent.node_id.as_str())),
        ("model_id", json!("phi4")),
        ("ts_start", json!(ts_end - 1)),
        ("ts_end", json!(ts_end)),
        ("tokens_input", json!(3)),
        ("tokens_output", json!(tokens_output)),
    ]);
    let signed = serde_json::to_vec(&receipt).expect("JSON");
    let signature = signature_text(&agent.key.sign(&signed));
    receipt.insert("signature", json!(signature));
    serde_json::to_string(&receipt).expect("JSON")
}

#[tokio::test]
async fn receipts_outside_of_a_chain_are_told_apart_by_their_ids() {
    for server in [Server::start().await, Server::start_on_postgres().await] {
        let agent = server.agent("third").await;
        let now = unix_now().as_secs();
        let first = version_1_0(&agent, "r1", now, 5);
        let other = version_1_0(&agent, "r1", now, 6);
        let second = version_1_0(&agent, "r2", now, 5);
        let body = format!("[{first}, {second}, {first}]");
        let verdict = server.post(&agent, RECEIPTS, body.as_bytes()).await;
        assert_eq!(
            verdicts(verdict).await,
            ["accepted", "accepted", "duplicate"]
        );
        let again = version_1_0(&agent, "r3", now, 5);
        let body = format!("[{second}, {again}, {other}]");
        let verdict = server.post(&agent, RECEIPTS, body.as_bytes()).await;
        assert_eq!(
            verdicts(verdict).await,
            ["duplicate", "accepted", "conflicting_receipt"]
        );
        let filter = ReceiptFilter::default();
        let stored = server
            .app
            .store
            .receipts_list(&ALL, &filter, None, 10)
            .await;
        assert_eq!(stored.expect("list").len(), 3);
        // Whether one of long ago was here, nobody knows any more.
        let old = version_1_0(&agent, "r4", now - 181 * 86_400, 5);
        let verdict = server.post(&agent, RECEIPTS, old.as_bytes()).await;
        assert_eq!(verdicts(verdict).await, ["receipt_expired"]);
    }
}

#[tokio::test]
async fn refused_receipts_count_whatever_way_they_came() {
    let server = Server::start().await;
    let mut agent = server.agent("a").await;
    let forged = |agent: &mut SimAgent, count: usize| {
        let receipts: Vec<String> = (0..count)
            .map(|_| {
                let receipt = agent.next_receipt().expect("receipt");
                let text = receipt.text();
                text.replace("\"tokens_input\":", "\"tokens_input\":1")
            })
            .collect();
        format!("[{}]", receipts.join(","))
    };
    let (first, second) = (forged(&mut agent, 200), forged(&mut agent, 100));
    let now = unix_now().as_secs();
    let told = post_v1(&server, &agent, RECEIPTS, &first, now).await;
    assert_eq!(verdicts(told).await.len(), 200);
    let told = post_v1(&server, &agent, RECEIPTS, &second, now).await;
    assert_eq!(verdicts(told).await, vec!["invalid_signature"; 100]);
    let good = format!("[{}]", agent.next_receipt().expect("receipt").text());
    let away = post_v1(&server, &agent, RECEIPTS, &good, now).await;
    assert_eq!(away.status(), 429);
    assert_eq!(away.headers()["retry-after"], "60");
    let link = agent.connect().await.map(drop);
    assert!(
        matches!(&link, Err(SimError::Refused { status: 429, .. })),
        "{link:?}"
    );
}
