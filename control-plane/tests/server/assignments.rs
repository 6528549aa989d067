//! Who takes care of which node, over HTTP: said by admins with a name in the log, told to those who may see it, and no right.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{ALL, Browser, NOW_MS, Server};
use dgon_control_plane::accounts::Role;
use dgon_control_plane_store::enrolment_tokens::NewEnrolmentToken;
use dgon_control_plane_store::{Enrolment, NewNode, System};
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::Sha256Hash;
use reqwest::StatusCode;
use serde_json::{Value, json};

pub(super) async fn org(admin: &mut Browser, name: &str) -> String {
    let made = admin.post("/api/v1/orgs", json!({ "name": name })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    made.json["org_id"].as_str().expect("an id").to_owned()
}

/// A node of an organisation.
pub(super) async fn node(server: &Server, org_id: &str, name: &str, seed: u8) {
    let store = &server.state.app.store;
    let token_hash = Sha256Hash::of(name.as_bytes()).0;
    let token = NewEnrolmentToken {
        id: format!("et_{name}"),
        token_hash,
        label: String::new(),
        region: None,
        org_id: Some(org_id.to_owned()),
        pool_id: None,
        created_by: "cli".to_owned(),
        created_at_ms: NOW_MS,
        expires_at_ms: NOW_MS + 1_000,
        uses: 1,
        key_id: None,
    };
    let entry = dgon_control_plane_store::audit::AuditEntry::default();
    let made = store.enrolment_token_create(&ALL, &token, &entry).await;
    assert!(made.expect("token"));
    let node_id = NodeId::parse(name).expect("id");
    let new = NewNode {
        node_id: &node_id,
        region: None,
        public_key: &NodeKey::from_seed(&[seed; 32]).public(),
        sealed_secret: b"sealed",
        agent_version: "1",
        os: "linux",
        arch: "x86_64",
        hardware_hash: None,
        at_ms: NOW_MS,
        ip: None,
        request_id: None,
    };
    let enrolled = store
        .enrol(System::of_the_server(), &token_hash, &new)
        .await;
    assert!(matches!(
        enrolled.expect("enrol"),
        Enrolment::Enrolled { .. }
    ));
}

/// A network with two organisations, a node of the first, and its operator.
struct World {
    server: Server,
    admin: Browser,
    org_id: String,
    other_id: String,
    operator: String,
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
        let org_id = org(&mut admin, "North").await;
        let other_id = org(&mut admin, "South").await;
        node(&server, &org_id, "rig-1", 1).await;
        node(&server, &org_id, "rig-2", 2).await;
        let operator = server
            .user_of(&org_id, "op@example.com", &[Role::Operator])
            .await;
        Self {
            server,
            admin,
            org_id,
            other_id,
            operator,
        }
    }

    async fn assign(&mut self, node_id: &str, user_id: &str, assigned: bool) -> (u16, Value) {
        let body = json!({ "user_id": user_id, "assigned": assigned, "reason": "the rota" });
        let path = format!("/api/v1/nodes/{node_id}/assign");
        let answer = self.admin.post(&path, body).await;
        (answer.status.as_u16(), answer.json)
    }
}

/// Ids of the nodes on a page.
pub(super) fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().expect("items").iter();
    items
        .map(|row| row["node_id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn an_admin_says_who_takes_care_of_a_node_and_the_log_says_so_too() {
    let mut world = World::new().await;
    let operator = world.operator.clone();
    let (status, now) = world.assign("rig-1", &operator, true).await;
    assert_eq!(status, 200, "{now}");
    let who = &now["assignees"][0];
    assert_eq!(who["email"], "op@example.com");
    assert_eq!(who["assigned_by_email"], "admin@example.com");
    assert_eq!(who["assigned_at"], "2026-11-21T03:00:00.000Z");
    let log = world.admin.get("/api/v1/audit?action=node.assign").await;
    let row = &log.json["items"][0];
    assert_eq!(row["object"], "node:rig-1");
    assert_eq!(row["reason"], "the rota");
    assert_eq!(
        (&row["before"], &row["after"]),
        (
            &json!({ "user_id": operator, "is_assigned": false }),
            &json!({ "user_id": operator, "is_assigned": true })
        )
    );
    // The same again is so already, and no change.
    let (status, again) = world.assign("rig-1", &operator, true).await;
    assert_eq!((status, &again), (200, &now));
    let (status, none) = world.assign("rig-1", &operator, false).await;
    assert_eq!((status, none), (200, json!({ "assignees": [] })));
    let log = world.admin.get("/api/v1/audit?object=node:rig-1").await;
    let actions: Vec<&Value> = log.json["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|row| &row["action"])
        .collect();
    assert_eq!(actions, ["node.unassign", "node.assign", "node.enrol"]);
}

#[tokio::test]
async fn who_cannot_take_care_of_a_node_is_refused_with_what_to_do() {
    let mut world = World::new().await;
    let (org_id, other_id) = (world.org_id.clone(), world.other_id.clone());
    let server = &world.server;
    let viewer = server
        .user_of(&org_id, "viewer@example.com", &[Role::Viewer])
        .await;
    let other = server
        .user_of(&other_id, "other@example.com", &[Role::Operator])
        .await;
    for user_id in [viewer.as_str(), &other, "u_nobody", "a\0b"] {
        let (status, refused) = world.assign("rig-1", user_id, true).await;
        assert_eq!(status, 409, "{user_id}: {refused}");
        let error = &refused["error"];
        assert_eq!(error["details"]["field"], "user_id");
        let told = error["message"].as_str().expect("text");
        assert!(told.contains("give the person that role"), "{told}");
    }
    let operator = world.operator.clone();
    for node_id in ["rig-3", "not a node"] {
        let (status, refused) = world.assign(node_id, &operator, true).await;
        assert_eq!(status, 404, "{node_id}: {refused}");
    }
    let body = json!({ "user_id": operator, "assigned": true, "reason": "x".repeat(501) });
    let refused = world.admin.post("/api/v1/nodes/rig-1/assign", body).await;
    assert_eq!(refused.json["error"]["details"]["field"], "reason");
    let actions = json!({ "action": "retire", "reason": "sold" });
    let retired = world
        .admin
        .post("/api/v1/nodes/rig-2/actions", actions)
        .await;
    assert_eq!(retired.status, StatusCode::OK, "{}", retired.text);
    let (status, refused) = world.assign("rig-2", &operator, true).await;
    assert_eq!(status, 409, "{refused}");
    let log = world.admin.get("/api/v1/audit?action=node.assign").await;
    assert_eq!(log.json["items"], json!([]));
}

#[tokio::test]
async fn an_assignment_is_seen_by_the_nodes_own_people_and_gives_no_right() {
    let mut world = World::new().await;
    let (org_id, other_id) = (world.org_id.clone(), world.other_id.clone());
    let operator = world.operator.clone();
    world.assign("rig-1", &operator, true).await;
    let mut own = world.server.sign_in("op@example.com").await;
    let detail = own.get("/api/v1/nodes/rig-1").await;
    let who = &detail.json["assignees"][0];
    assert_eq!(
        (&detail.json["org_id"], &detail.json["org_name"]),
        (&json!(org_id), &json!("North"))
    );
    assert_eq!(
        (
            &who["email"],
            detail.json["assignees"].as_array().map(Vec::len)
        ),
        (&json!("op@example.com"), Some(1))
    );
    // Who administers the network is not everybody's to know.
    assert_eq!(who["assigned_by_email"], Value::Null);
    for (assignee, found) in [
        ("me", vec!["rig-1"]),
        (operator.as_str(), vec!["rig-1"]),
        ("nobody", vec!["rig-2"]),
        ("u_nobody", vec![]),
    ] {
        let page = own.get(&format!("/api/v1/nodes?assignee={assignee}")).await;
        assert_eq!(ids(&page.json), found, "{assignee}: {}", page.text);
        assert_eq!(page.json["total"], found.len());
    }
    // It is a name and no right.
    for (path, body) in [
        (
            "/api/v1/nodes/rig-1/assign",
            json!({ "user_id": operator, "assigned": false }),
        ),
        (
            "/api/v1/nodes/rig-1/actions",
            json!({ "action": "quarantine", "reason": "mine" }),
        ),
    ] {
        assert_eq!(own.post(path, body).await.error(), "forbidden", "{path}");
    }
    assert_eq!(own.get("/api/v1/assignments").await.error(), "forbidden");

    world
        .server
        .user_of(&other_id, "other@example.com", &[Role::Operator])
        .await;
    world
        .server
        .user_of(&org_id, "viewer@example.com", &[Role::Viewer])
        .await;
    let mut other = world.server.sign_in("other@example.com").await;
    let theirs = other
        .get(&format!("/api/v1/nodes?assignee={operator}"))
        .await;
    assert_eq!(ids(&theirs.json), [""; 0]);
    // A viewer sees what strangers see.
    let mut viewer = world.server.sign_in("viewer@example.com").await;
    let seen = viewer.get("/api/v1/nodes/rig-1").await;
    assert_eq!(
        (&seen.json["assignees"], &seen.json["withheld"]),
        (&json!([]), &json!(true))
    );
    assert_eq!(
        (&seen.json["org_id"], &seen.json["org_name"]),
        (&Value::Null, &Value::Null)
    );
    for assignee in ["nobody", operator.as_str()] {
        let page = viewer
            .get(&format!("/api/v1/nodes?assignee={assignee}"))
            .await;
        assert_eq!(ids(&page.json), [""; 0], "{assignee}");
    }
    let mut stranger = Browser::new(&world.server);
    let refused = stranger.get("/api/v1/nodes?assignee=nobody").await;
    assert_eq!(refused.error(), "unauthorized");
}

#[tokio::test]
async fn an_assignment_ends_when_its_person_may_take_care_no_more() {
    let mut world = World::new().await;
    let (org_id, operator) = (world.org_id.clone(), world.operator.clone());
    world.assign("rig-1", &operator, true).await;
    let at = format!("/api/v1/users/{operator}/memberships/{org_id}");
    let viewer = world.admin.put(&at, json!({ "roles": ["viewer"] })).await;
    assert_eq!(viewer.status, StatusCode::OK, "{}", viewer.text);
    let log = world
        .admin
        .get("/api/v1/audit?action=membership.set&limit=1")
        .await;
    let after = &log.json["items"][0]["after"];
    assert_eq!(after["ended"], json!({ "assignments": 1 }), "{}", log.text);
    let detail = world.admin.get("/api/v1/nodes/rig-1").await;
    assert_eq!(detail.json["assignees"], json!([]));
    // It does not come back by itself.
    let operator_again = json!({ "roles": ["operator"] });
    world.admin.put(&at, operator_again).await;
    let detail = world.admin.get("/api/v1/nodes/rig-1").await;
    assert_eq!(detail.json["assignees"], json!([]));
}

#[tokio::test]
async fn the_map_of_nodes_and_people_is_paged_and_filtered() {
    let mut world = World::new().await;
    let (other_id, operator) = (world.other_id.clone(), world.operator.clone());
    node(&world.server, &other_id, "rig-3", 3).await;
    world.assign("rig-2", &operator, true).await;
    let first = world.admin.get("/api/v1/assignments?limit=2").await;
    assert_eq!(ids(&first.json), ["rig-1", "rig-2"]);
    let row = &first.json["items"][1];
    assert_eq!(row["org_name"], "North");
    assert_eq!(row["status"], "pending");
    assert_eq!(row["assignees"][0]["user_id"], json!(operator));
    assert_eq!(first.json["items"][0]["assignees"], json!([]));
    let cursor = first.json["next_cursor"].as_str().expect("a cursor");
    let second = format!("/api/v1/assignments?limit=2&cursor={cursor}");
    let second = world.admin.get(&second).await;
    assert_eq!(ids(&second.json), ["rig-3"]);
    assert_eq!(second.json["next_cursor"], Value::Null);
    for (query, found) in [
        ("assignee=nobody", vec!["rig-1", "rig-3"]),
        (&format!("assignee={operator}"), vec!["rig-2"]),
        ("assignee=me", vec![]),
        ("assignee=nobody&q=IG-3", vec!["rig-3"]),
    ] {
        let page = world
            .admin
            .get(&format!("/api/v1/assignments?{query}"))
            .await;
        assert_eq!(ids(&page.json), found, "{query}");
    }
    let wrong = world.admin.get("/api/v1/assignments?cursor=%20x").await;
    assert_eq!(wrong.json["error"]["details"]["parameter"], "cursor");
}
