//! Enrolment tokens, flags, node actions and agent.yaml, with their audit rows.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use crate::support::{Browser, SERVER, Server};
use dgon_control_plane::accounts::Role;
use dgon_control_plane_store::audit::{AuditFacts, AuditRow};
use dgon_control_plane_store::{Enrolment, NewNode};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::Sha256Hash;
use reqwest::{Method, StatusCode};
use serde_json::json;

const TOKENS: &str = "/api/v1/enrolment-tokens";

#[tokio::test]
async fn a_token_is_shown_once_listed_and_revoked() {
    let server = Server::start().await;
    let mut operator = server.signed_in("op@example.com", &[Role::Operator]).await;
    let made = operator
        .post(
            TOKENS,
            json!({ "label": "rack 1", "region": "eu-west", "uses": 2, "ttl_s": 600 }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let secret = made.json["token"].as_str().expect("token").to_owned();
    assert!(secret.starts_with("dgon_enrol_") && secret.len() > 50);
    assert_eq!(made.json["expires_at"], "2026-11-21T03:10:00.000Z");
    let list = operator.get(TOKENS).await;
    assert!(!list.text.contains(&secret));
    assert_eq!(list.json["total"], 1);
    assert_eq!(list.json["items"][0]["uses_left"], 2);
    let id = list.json["items"][0]["id"].as_str().expect("id").to_owned();
    let gone = operator.delete(&format!("{TOKENS}/{id}")).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert!(operator.get(TOKENS).await.json["items"][0]["revoked_at"].is_string());
    assert_eq!(
        operator.delete(&format!("{TOKENS}/et_none")).await.error(),
        "not_found"
    );
    let actions: Vec<String> = audit(&server).await.into_iter().map(|row| row.0).collect();
    assert_eq!(
        actions[..2],
        ["enrolment_token.revoke", "enrolment_token.create"]
    );
}

fn facts(row: &AuditRow) -> AuditFacts {
    row.read_facts().expect("facts").unwrap_or_default()
}

/// Action and actor of all audit rows, newest first.
async fn audit(server: &Server) -> Vec<(String, String)> {
    let rows = server
        .state
        .app
        .store
        .inspect()
        .audit_latest(None, 50)
        .await
        .expect("audit");
    for row in &rows {
        assert!(
            row.actor == "cli" || facts(row).ip.as_deref() == Some("127.0.0.1"),
            "{row:?}"
        );
    }
    rows.into_iter()
        .map(|row| (row.action, row.actor))
        .collect()
}

#[tokio::test]
async fn tokens_are_paged_and_their_fields_checked() {
    let server = Server::start().await;
    let mut admin = server.signed_in("a@example.com", &[Role::Admin]).await;
    for _ in 0..5 {
        server.clock.advance(1);
        assert_eq!(
            admin.post(TOKENS, json!({})).await.status,
            StatusCode::CREATED
        );
    }
    let mut seen = Vec::new();
    let mut path = format!("{TOKENS}?limit=2");
    loop {
        let page = admin.get(&path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        seen.extend(
            page.json["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|row| row["created_at"].to_string()),
        );
        match page.json["next_cursor"].as_str() {
            Some(cursor) => path = format!("{TOKENS}?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "{seen:?}");
    for bad in [
        json!({"uses": 0}),
        json!({"uses": 1001}),
        json!({"ttl_s": 59}),
        json!({"ttl_s": 86401}),
        json!({"region": "a\nb"}),
        json!({"region": "mars"}),
        json!({"region": "EU-WEST"}),
        json!({"uses": "2"}),
        json!({"usess": 2}),
    ] {
        assert_eq!(
            admin.post(TOKENS, bad.clone()).await.error(),
            "invalid_request",
            "{bad}"
        );
    }
    let mars = admin.post(TOKENS, json!({"region": "mars"})).await;
    let details = &mars.json["error"]["details"];
    assert_eq!(details["field"], "region");
    assert_eq!(details["regions"][0], "local");
    let file = admin.get("/api/v1/nodes/agent.yaml?region=mars").await;
    assert_eq!(file.error(), "invalid_request");
    for bad in [
        "?limit=0",
        "?limit=201",
        "?cursor=x",
        "?cursor=x.y",
        "?limt=1",
    ] {
        assert_eq!(
            admin.get(&format!("{TOKENS}{bad}")).await.error(),
            "invalid_request",
            "{bad}"
        );
    }
}

#[tokio::test]
async fn roles_decide() {
    let server = Server::start().await;
    let mut viewer = server
        .signed_in("v@example.com", &[Role::Viewer, Role::Consumer])
        .await;
    let mut operator = server.signed_in("o@example.com", &[Role::Operator]).await;
    let mut stranger = Browser::new(&server);
    assert_eq!(
        stranger.post(TOKENS, json!({})).await.error(),
        "unauthorized"
    );
    assert_eq!(viewer.post(TOKENS, json!({})).await.error(), "forbidden");
    assert_eq!(operator.get("/api/v1/flags").await.error(), "forbidden");
    let action = json!({ "action": "quarantine", "reason": "test" });
    assert_eq!(
        operator
            .post("/api/v1/nodes/n/actions", action.clone())
            .await
            .error(),
        "forbidden"
    );
    assert_eq!(
        stranger
            .post("/api/v1/nodes/n/actions", action)
            .await
            .error(),
        "unauthorized"
    );
}

#[tokio::test]
async fn flags_are_changed_by_admins_and_audited() {
    let server = Server::start().await;
    let mut admin = server.signed_in("a@example.com", &[Role::Admin]).await;
    let flags = admin.get("/api/v1/flags").await;
    let value = |flags: &serde_json::Value, name: &str| {
        let items = flags["items"].as_array().expect("items").clone();
        items
            .into_iter()
            .find(|flag| flag["name"] == name)
            .map(|flag| flag["enabled"].clone())
    };
    assert_eq!(
        value(&flags.json, "allow_anonymous_overview"),
        Some(json!(true))
    );
    assert_eq!(value(&flags.json, "public_receipts"), Some(json!(false)));
    let request = admin
        .request(Method::PUT, "/api/v1/flags/allow_anonymous_overview")
        .json(&json!({"enabled": false}));
    let changed = admin.send(request).await;
    assert_eq!(
        value(&changed.json, "allow_anonymous_overview"),
        Some(json!(false))
    );
    assert_eq!(
        admin.get("/api/v1/auth/state").await.json["anonymous_overview"],
        false
    );
    let request = admin
        .request(Method::PUT, "/api/v1/flags/nonsense")
        .json(&json!({"enabled": false}));
    assert_eq!(admin.send(request).await.error(), "not_found");
    assert_eq!(audit(&server).await[0].0, "flag.set");
}

#[tokio::test]
async fn agent_yaml_names_this_server_and_the_wishes() {
    let server = Server::start().await;
    let mut operator = server.signed_in("o@example.com", &[Role::Operator]).await;
    let file = operator
        .get("/api/v1/nodes/agent.yaml?region=eu-west&node_id=rig-7")
        .await;
    assert_eq!(file.status, StatusCode::OK);
    assert!(file.header("content-type").starts_with("text/yaml"));
    assert!(
        file.text.contains(&format!("api: \"{}\"", server.base)),
        "{}",
        file.text
    );
    assert!(file.text.contains("id: \"rig-7\"") && file.text.contains("region: \"eu-west\""));
    assert_eq!(
        operator
            .get("/api/v1/nodes/agent.yaml?node_id=a/b")
            .await
            .error(),
        "invalid_request"
    );
    assert_eq!(
        Browser::new(&server)
            .get("/api/v1/nodes/agent.yaml")
            .await
            .error(),
        "unauthorized"
    );
}

/// A node of the organisation `main`, enrolled with a token of an admin.
async fn enrolled(server: &Server, admin: &mut Browser) -> NodeId {
    let made = admin.post(TOKENS, json!({})).await;
    let token = made.json["token"].as_str().expect("token").to_owned();
    let node_id = NodeId::parse("rig-7").expect("node id");
    let key = NodeKey::from_seed(&[3; 32]).public();
    let node = NewNode {
        node_id: &node_id,
        region: Some("eu"),
        public_key: &key,
        sealed_secret: b"sealed",
        agent_version: "1",
        os: "linux",
        arch: "x86_64",
        hardware_hash: None,
        at_ms: crate::support::NOW_MS,
        ip: None,
        request_id: None,
    };
    let store = &server.state.app.store;
    let done = store
        .enrol(SERVER, &Sha256Hash::of(token.as_bytes()).0, &node)
        .await
        .expect("enrol");
    assert!(matches!(done, Enrolment::Enrolled { .. }), "{done:?}");
    server.state.app.load().await.expect("load");
    node_id
}

#[tokio::test]
async fn an_admin_decides_about_a_node_and_says_why() {
    let server = Server::start().await;
    let mut admin = server.signed_in("a@example.com", &[Role::Admin]).await;
    let node_id = enrolled(&server, &mut admin).await;
    let path = format!("/api/v1/nodes/{node_id}/actions");
    let act = |action: &str, reason: &str| json!({ "action": action, "reason": reason });
    for reason in ["", "  ", &"x".repeat(501)] {
        assert_eq!(
            admin.post(&path, act("quarantine", reason)).await.error(),
            "invalid_request"
        );
    }
    assert_eq!(
        admin.post(&path, act("explode", "why")).await.error(),
        "invalid_request"
    );
    assert_eq!(
        admin
            .post("/api/v1/nodes/none/actions", act("clear", "why"))
            .await
            .error(),
        "not_found"
    );
    assert_eq!(
        admin
            .post(&path, act("clear", "nothing to clear"))
            .await
            .error(),
        "conflict"
    );
    let stopped = admin.post(&path, act("quarantine", "odd answers")).await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.text);
    assert_eq!(
        (&stopped.json["status"], &stopped.json["status_reason"]),
        (&json!("quarantine"), &json!("admin_quarantine"))
    );
    let cleared = admin.post(&path, act("clear", "explained")).await;
    assert_eq!(
        (&cleared.json["status"], &cleared.json["status_reason"]),
        (&json!("pending"), &json!("admin_cleared"))
    );
    // The node is not connected: the order waits for it, and a second one is the same.
    let ordered = admin.post(&path, act("refresh", "look again")).await;
    assert_eq!(ordered.status, StatusCode::OK, "{}", ordered.text);
    assert_eq!(ordered.json["node_id"], json!(node_id));
    assert_eq!(ordered.json["order"]["state"], json!("queued"));
    assert_eq!(ordered.json["order"]["sent_at"], json!(null));
    let again = admin.post(&path, act("refresh", "and again")).await;
    assert_eq!(again.json["order"], ordered.json["order"]);
    assert_eq!(
        admin.post(&path, act("retire", "sold")).await.status,
        StatusCode::OK
    );
    assert_eq!(
        admin
            .post(&path, act("quarantine", "too late"))
            .await
            .error(),
        "conflict"
    );
    assert_eq!(
        admin.post(&path, act("refresh", "too late")).await.error(),
        "conflict"
    );
    let object = format!("node:{node_id}");
    let trail = server
        .state
        .app
        .store
        .inspect()
        .audit_latest(Some(&object), 10)
        .await
        .expect("audit");
    let (enrolled, trail) = trail.split_last().expect("rows");
    assert_eq!(enrolled.action, "node.enrol");
    assert_eq!(trail.len(), 4, "{trail:?}");
    let reasons = ["sold", "look again", "explained", "odd answers"];
    for (row, reason) in trail.iter().zip(reasons) {
        assert!(row.actor.starts_with("user:"), "{row:?}");
        assert!(
            facts(row).ip.is_some() && row.request_id.is_some(),
            "{row:?}"
        );
        assert_eq!(facts(row).reason.as_deref(), Some(reason), "{row:?}");
    }
    assert_eq!(
        admin.get(TOKENS).await.json["items"][0]["used_by"],
        json!(["rig-7"])
    );
}
