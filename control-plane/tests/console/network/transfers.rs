//! A node passes from one organisation to another while it works: what each of the two has of it, from what its agent sent.

#![allow(
    clippy::large_futures,
    reason = "a test holds all of its story at once, and runs alone"
)]

use super::{Network, OWN_ORG, on_both, vary};
use crate::agents::{self, SOON, error_type};
use crate::server::Who;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_control_plane::accounts::Role;
use dgon_protocol::enrol::{RegisterNonce, RegisterRequest, RegisterResponse, proof_bytes};
use dgon_protocol::error::ErrorType;
use dgon_protocol::key::signature_text;
use dgon_protocol::rotate::ROTATE_PATH;
use dgon_testkit::fleet::{SimAgent, SimReceipt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const NODE: &str = "rig-own";
const OTHERS: &str = "others";
const MINUTE_MS: i64 = 60_000;
const QUARTER_MS: i64 = 15 * MINUTE_MS;

/// Enrols the machine again with its own key, as `dgon-agent enroll --force` does.
async fn enrol_again(
    network: &Network,
    agent: &mut SimAgent,
    token: &str,
) -> Result<(), ErrorType> {
    let (http, url) = (&network.server.http, &network.server.url);
    let nonce = http
        .post(format!("{url}/api/v1/nodes/register/nonce"))
        .send()
        .await;
    let RegisterNonce { nonce, .. } = nonce.expect("nonce").json().await.expect("nonce");
    let public_key = agent.key.public();
    let request = RegisterRequest {
        token: token.to_owned(),
        public_key,
        signature: signature_text(&agent.key.sign(&proof_bytes(&nonce, &public_key))),
        nonce,
        node_id: None,
        region: None,
        agent_version: "1".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        hardware_hash: None,
    };
    let answer = http
        .post(format!("{url}/api/v1/nodes/register"))
        .json(&request)
        .send()
        .await
        .expect("an answer");
    if !answer.status().is_success() {
        return Err(error_type(answer).await);
    }
    let answer: RegisterResponse = answer.json().await.expect("answer");
    assert_eq!(answer.node_id, agent.node_id, "it is the same node");
    agent.secret = STANDARD.decode(answer.node_secret).expect("secret");
    Ok(())
}

async fn rotate(network: &Network, agent: &mut SimAgent) -> StatusCode {
    let mut next = SimAgent::restore(&agent.save()).expect("copy");
    let rotation = next.rotate().expect("rotation");
    let body = serde_json::to_vec(&rotation).expect("json");
    let answer = network.server.post(agent, ROTATE_PATH, &body).await;
    if answer.status().is_success() {
        *agent = next;
    }
    answer.status()
}

/// Posts receipts of the chain before, as the agent does with what its spool still holds.
async fn post(network: &Network, agent: &SimAgent, receipts: &[&SimReceipt]) {
    let texts: Vec<&str> = receipts.iter().map(|receipt| receipt.text()).collect();
    let body = format!("[{}]", texts.join(","));
    let answer = network
        .server
        .post(agent, "/api/v1/receipts", body.as_bytes())
        .await;
    assert_eq!(answer.status(), 201);
    let verdicts: Value = answer.json().await.expect("verdicts");
    for verdict in verdicts["verdicts"].as_array().expect("verdicts") {
        assert_eq!(verdict["verdict"], "accepted", "{verdicts}");
    }
}

/// How many receipts somebody has: in the list, in the sum of all theirs, and in that of the node's.
async fn has(network: &Network, who: &Who) -> [u64; 3] {
    let console = &network.console;
    let list = console.read(who, "/receipts?limit=200").await;
    let count = async |query: &str| {
        let sums = console
            .read(who, &format!("/receipts/aggregate?{query}"))
            .await;
        assert_eq!(sums["complete"], true, "{query}");
        sums["count"].as_u64().expect("a count")
    };
    let of_node = format!("node_id={NODE}");
    let listed = list["items"].as_array().expect("items").len();
    [listed as u64, count("").await, count(&of_node).await]
}

async fn transfer(network: &Network, admin: &Who, org_id: &str) {
    let body = json!({ "action": "transfer", "org_id": org_id, "reason": "sold to them" });
    let path = format!("/nodes/{NODE}/actions");
    network
        .console
        .change(Method::POST, admin, &path, &body)
        .await;
}

#[tokio::test]
async fn receipts_and_sums_stay_whose_key_signed_them() {
    on_both(|mut network| async move {
        let at = network.join(NODE, "eu-west", Some(OWN_ORG)).await;
        let token = network.server.token_of(Some(OTHERS), 1).await;
        network.activate(at).await;
        for n in 0..2 {
            network.send(at, |draft| vary(draft, n)).await;
        }
        let admin = network.console.sign_in(Role::Admin).await;
        let own = network.console.sign_in(Role::Operator).await;
        let theirs = network
            .console
            .sign_in_to(OTHERS, "their-operator", Role::Operator)
            .await;
        assert_eq!(has(&network, &own).await, [3; 3]);
        let (mut agent, link) = network.agents.remove(at);
        // These wait in the spool while the node is passed on.
        let late = [agent.next_receipt(), agent.next_receipt()].map(|made| made.expect("receipt"));

        transfer(&network, &admin, OTHERS).await;
        // Whoever spoke for it does no longer, on the session that was open and with the secret that it had.
        let mut link = link;
        let ended = link.until(SOON, |_| None::<()>).await;
        let told = ended.expect_err("the session ends").to_string();
        assert!(told.contains("passed on"), "{told}");
        assert!(agent.connect().await.is_err());
        assert_eq!(rotate(&network, &mut agent).await, StatusCode::UNAUTHORIZED);
        let node = format!("/nodes/{NODE}");
        // To whom it was passed on is not told to whoever had it; of what they did with it nothing is lost.
        let detail = network.console.read(&own, &node).await;
        assert_eq!(
            (&detail["withheld"], &detail["org_id"], &detail["org_name"]),
            (&json!(true), &Value::Null, &Value::Null)
        );
        let told = |history: &Value| -> Vec<(String, bool)> {
            let history = history.as_array().expect("history").iter();
            let reason = |event: &Value| event["reason"].as_str().expect("a reason").to_owned();
            history
                .map(|event| (reason(event), event["actor"] != ""))
                .collect()
        };
        let all = ["transferred", "probe_passed", "runtime_ready", "enrolled"];
        let told_of = |own: [bool; 4]| -> Vec<(String, bool)> {
            all.into_iter().map(str::to_owned).zip(own).collect()
        };
        assert_eq!(told(&detail["history"]), told_of([false, true, true, true]));
        let detail = network.console.read(&theirs, &node).await;
        assert_eq!(detail["handover"], "enrolment", "{detail}");
        assert_eq!(
            (&detail["org_id"], &detail["receipts"]),
            (&json!(OTHERS), &json!([]))
        );
        // That it was passed on, and why; of what was before what strangers see, too.
        assert_eq!(
            told(&detail["history"]),
            told_of([true, false, false, false])
        );
        assert_eq!(detail["history"][0]["detail"], "sold to them");
        assert_eq!(detail["history"][1]["detail"], Value::Null);
        assert_eq!(has(&network, &theirs).await, [0; 3]);

        // The machine comes back with a token of the organisation that has it, and with no other.
        let before = network.server.token_of(Some(OWN_ORG), 1).await;
        let refused = enrol_again(&network, &mut agent, &before).await;
        assert_eq!(refused, Err(ErrorType::InvalidToken));
        enrol_again(&network, &mut agent, &token)
            .await
            .expect("enrolled");
        let detail = network.console.read(&theirs, &node).await;
        assert_eq!(detail["handover"], "key", "{detail}");
        let told = agent.connect().await.err().expect("refused").to_string();
        assert!(told.contains("key rotate"), "{told}");
        // Nor by HTTP: what the old key signs now would be receipts of who had the node before.
        let mut copy = SimAgent::restore(&agent.save()).expect("copy");
        let forged = copy.next_receipt().expect("receipt");
        let path = "/api/v1/receipts";
        let answer = network.server.post(&agent, path, forged.text().as_bytes());
        assert_eq!(answer.await.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(has(&network, &own).await, [3; 3]);
        assert_eq!(rotate(&network, &mut agent).await, StatusCode::OK);
        let link = agent.connect().await.expect("connect with the new key");
        let detail = network.console.read(&theirs, &node).await;
        assert_eq!(detail["handover"], Value::Null, "{detail}");

        // What the spool still held comes in the same minute as what the new key signs.
        network.agents.push((agent, link));
        network.send(at, |draft| vary(draft, 2)).await;
        post(&network, &network.agents[at].0, &[&late[0], &late[1]]).await;
        assert_eq!(has(&network, &own).await, [5; 3]);
        assert_eq!(has(&network, &theirs).await, [1; 3]);
        assert_eq!(has(&network, &admin).await, [6; 3]);
        for (id, seen_by, hidden_from) in [
            (late[0].request_id.as_str(), &own, &theirs),
            (network.sent[0].draft.request_id.as_str(), &theirs, &own),
        ] {
            let path = format!("/receipts/{id}");
            assert_eq!(network.console.get(seen_by, &path).await.status, 200);
            assert_eq!(network.console.get(hidden_from, &path).await.status, 404);
        }
        // The same once the minute is written, and once its quarter of an hour is closed.
        until_closed(&network).await;
        let [own, theirs, admin] = [
            network.console.log_in("operator").await,
            network.console.log_in("their-operator").await,
            network.console.log_in("admin").await,
        ];
        assert_eq!(has(&network, &own).await, [5; 3]);
        assert_eq!(has(&network, &theirs).await, [1; 3]);
        assert_eq!(has(&network, &admin).await, [6; 3]);
        let (stored, counted) = network
            .server
            .app
            .store
            .inspect()
            .rollups_whole()
            .await
            .expect("sums");
        assert_eq!(stored, counted);
    })
    .await;
}

/// Until everything that was received is in rows of closed quarters.
async fn until_closed(network: &Network) {
    let last_ms = network.clock.now_ms();
    network.clock.advance(2 * QUARTER_MS);
    let closing = async {
        let store = &network.server.app.store;
        while store.rollups_closed(agents::SERVER).await.expect("border") * MINUTE_MS <= last_ms {
            tokio::task::yield_now().await;
        }
    };
    let closed = tokio::time::timeout(SOON, closing).await;
    closed.expect("quarters are closed");
}

#[tokio::test]
async fn a_transfer_is_an_admins_goes_somewhere_else_and_is_in_the_log() {
    on_both(|mut network| async move {
        network.join(NODE, "eu-west", Some(OWN_ORG)).await;
        let _ = network.server.token_of(Some(OTHERS), 1).await;
        let admin = network.console.sign_in(Role::Admin).await;
        let path = format!("/nodes/{NODE}/actions");
        for (body, status, field) in [
            (
                json!({ "action": "transfer", "reason": "sold" }),
                400,
                json!("org_id"),
            ),
            (
                json!({ "action": "quarantine", "reason": "sold", "org_id": OTHERS }),
                400,
                json!("org_id"),
            ),
            (
                json!({ "action": "transfer", "reason": "", "org_id": OTHERS }),
                400,
                json!("reason"),
            ),
            (
                json!({ "action": "transfer", "reason": "sold", "org_id": "nowhere" }),
                404,
                Value::Null,
            ),
            (
                json!({ "action": "transfer", "reason": "sold", "org_id": "a\u{0}b" }),
                404,
                Value::Null,
            ),
            (
                json!({ "action": "transfer", "reason": "sold", "org_id": OWN_ORG }),
                409,
                Value::Null,
            ),
        ] {
            let answer = network
                .console
                .ask(Method::POST, &admin, &path, &body)
                .await;
            assert_eq!(answer.status, status, "{body}: {}", answer.json());
            assert_eq!(answer.json()["error"]["details"]["field"], field, "{body}");
        }
        // What was refused ended nothing.
        let (agent, _) = &network.agents[0];
        agent.connect().await.expect("it is as it was");
        transfer(&network, &admin, OTHERS).await;
        let log = network
            .console
            .read(&admin, "/audit?action=node.transfer")
            .await;
        let row = &log["items"][0];
        assert_eq!(
            (&row["object"], &row["reason"]),
            (&json!(format!("node:{NODE}")), &json!("sold to them"))
        );
        assert_eq!(row["before"], json!({ "org_id": OWN_ORG }));
        assert_eq!(
            row["after"],
            json!({ "org_id": OTHERS, "ended": { "assignments": 0 } })
        );
        assert_eq!(log["items"].as_array().map(Vec::len), Some(1));
        let retire = json!({ "action": "retire", "reason": "broken" });
        network
            .console
            .change(Method::POST, &admin, &path, &retire)
            .await;
        let body = json!({ "action": "transfer", "reason": "sold", "org_id": OWN_ORG });
        let answer = network
            .console
            .ask(Method::POST, &admin, &path, &body)
            .await;
        assert_eq!(answer.status, 409);
    })
    .await;
}
