//! Private pools over HTTP: made by admins with a line in the log, seen by those whom they admit, and off as long as the flag
//! says so.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use super::assignments::{ids, node, org};
use crate::support::{Answer, Browser, Server};
use dgon_control_plane::accounts::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A network with two organisations, nodes of the first, and people of both.
struct World {
    server: Server,
    admin: Browser,
    org_id: String,
    other_id: String,
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
        let org_id = org(&mut admin, "North").await;
        let other_id = org(&mut admin, "South").await;
        node(&server, &org_id, "rig-1", 1).await;
        node(&server, &org_id, "rig-2", 2).await;
        node(&server, &other_id, "rig-3", 3).await;
        let mut world = Self {
            server,
            admin,
            org_id,
            other_id,
        };
        world.flag(true).await;
        world
    }

    async fn flag(&mut self, enabled: bool) {
        let path = "/api/v1/flags/enable_private_pools";
        let set = self.admin.put(path, json!({ "enabled": enabled })).await;
        assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    }

    async fn signed_in(&self, org_id: &str, role: Role) -> Browser {
        let email = format!("{}@{}.example.com", role.as_str(), org_id.replace('_', "-"));
        self.server.user_of(org_id, &email, &[role]).await;
        self.server.sign_in(&email).await
    }

    /// Makes a pool of the first organisation; its id.
    async fn pool(&mut self, name: &str, existence: &str) -> String {
        let body = json!({
            "org_id": self.org_id, "name": name, "labels": { "team/tier": "gold" }, "existence": existence,
            "reason": "for them alone",
        });
        let made = self.admin.post("/api/v1/pools", body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        made.json["pool_id"].as_str().expect("an id").to_owned()
    }

    async fn put(&mut self, pool_id: &str, node_id: &str, in_pool: bool) -> Answer {
        let body = json!({ "node_id": node_id, "in_pool": in_pool, "reason": "their wish" });
        let path = format!("/api/v1/pools/{pool_id}/nodes");
        self.admin.post(&path, body).await
    }

    async fn admit(&mut self, pool_id: &str, org_id: &str, admitted: bool) -> Answer {
        let body = json!({ "org_id": org_id, "admitted": admitted });
        let path = format!("/api/v1/pools/{pool_id}/members");
        self.admin.post(&path, body).await
    }
}

async fn nodes(who: &mut Browser, query: &str) -> Vec<String> {
    let page = who.get(&format!("/api/v1/nodes{query}")).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    ids(&page.json).into_iter().map(str::to_owned).collect()
}

async fn statuses(who: &mut Browser, node_id: &str) -> [u16; 2] {
    let detail = who.get(&format!("/api/v1/nodes/{node_id}")).await;
    let keys = who.get(&format!("/api/v1/nodes/{node_id}/keys")).await;
    [detail.status.as_u16(), keys.status.as_u16()]
}

#[tokio::test]
async fn an_admin_makes_a_pool_and_the_log_says_so() {
    let mut world = World::new().await;
    let pool_id = world.pool("gold", "hidden").await;
    assert!(pool_id.starts_with("pool_"));
    let put = world.put(&pool_id, "rig-1", true).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.text);
    assert_eq!(
        (&put.json["nodes"], &put.json["members"]),
        (&json!(1), &json!(0))
    );
    let other_id = world.other_id.clone();
    let admitted = world.admit(&pool_id, &other_id, true).await;
    assert_eq!(
        admitted.json["admitted"][0]["org_name"], "South",
        "{}",
        admitted.text
    );
    assert_eq!(
        admitted.json["admitted"][0]["admitted_by_email"],
        "admin@example.com"
    );
    let path = format!("/api/v1/pools/{pool_id}");
    let body = json!({ "name": "silver", "labels": {}, "existence": "listed" });
    let changed = world.admin.patch(&path, body).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    assert_eq!(changed.json["labels"], json!({}));
    let log = world
        .admin
        .get(&format!("/api/v1/audit?object=pool:{pool_id}"))
        .await;
    let rows = log.json["items"].as_array().expect("items");
    let actions: Vec<&Value> = rows.iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["pool.change", "pool.admit", "pool.create"]);
    assert_eq!(
        rows[0]["before"],
        json!({ "name": "gold", "labels": { "team/tier": "gold" }, "existence": "hidden" })
    );
    assert_eq!(
        rows[0]["after"],
        json!({ "name": "silver", "labels": {}, "existence": "listed" })
    );
    assert_eq!(
        rows[1]["after"],
        json!({ "org_id": other_id, "is_admitted": true })
    );
    assert_eq!(rows[2]["reason"], "for them alone");
    let log = world.admin.get("/api/v1/audit?object=node:rig-1").await;
    let row = &log.json["items"][0];
    assert_eq!(
        (&row["action"], &row["reason"]),
        (&json!("pool.put_node"), &json!("their wish"))
    );
    assert_eq!(
        (&row["before"], &row["after"]),
        (&json!({ "pool_id": null }), &json!({ "pool_id": pool_id }))
    );
    // Closed with nodes in it, it would show them to everybody.
    let close = json!({ "closed": true, "reason": "over" });
    let refused = world.admin.patch(&path, close.clone()).await;
    assert_eq!(
        (refused.status, refused.error()),
        (StatusCode::CONFLICT, "conflict")
    );
    assert_eq!(refused.json["error"]["details"]["nodes"], 1);
    assert_eq!(
        world.put(&pool_id, "rig-1", false).await.status,
        StatusCode::OK
    );
    let closed = world.admin.patch(&path, close).await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.text);
    assert!(closed.json["closed_at"].is_string() && closed.json["admitted"] == json!([]));
    let open = world.admin.get("/api/v1/pools").await;
    assert_eq!(open.json["items"], json!([]));
    let gone = world.admin.get("/api/v1/pools?closed=true").await;
    assert_eq!(gone.json["items"][0]["pool_id"], json!(pool_id));
}

#[tokio::test]
async fn a_private_node_is_nobodys_but_those_who_may_see_it() {
    let mut world = World::new().await;
    let (org_id, other_id) = (world.org_id.clone(), world.other_id.clone());
    let (hidden, listed) = (
        world.pool("dark", "hidden").await,
        world.pool("lit", "listed").await,
    );
    assert_eq!(
        world.put(&hidden, "rig-1", true).await.status,
        StatusCode::OK
    );
    assert_eq!(
        world.put(&listed, "rig-2", true).await.status,
        StatusCode::OK
    );
    let mut anonymous = Browser::new(&world.server);
    let mut viewer = world.signed_in(&org_id, Role::Viewer).await;
    let mut consumer = world.signed_in(&other_id, Role::Consumer).await;
    let mut own = world.signed_in(&org_id, Role::Operator).await;
    let mut other = world.signed_in(&other_id, Role::Operator).await;
    for stranger in [&mut anonymous, &mut viewer, &mut consumer] {
        assert_eq!(nodes(stranger, "").await, ["rig-3"]);
        assert_eq!(
            nodes(stranger, &format!("?pool={hidden}")).await,
            Vec::<String>::new()
        );
        assert_eq!(statuses(stranger, "rig-1").await, [404, 404]);
        // Of what is listed they are told that it is there.
        assert_eq!(statuses(stranger, "rig-2").await, [403, 403]);
        assert_eq!(statuses(stranger, "rig-3").await, [200, 200]);
        let refused = stranger.get("/api/v1/nodes/rig-2").await;
        assert_eq!(refused.error(), "forbidden");
        let error = &refused.json["error"];
        assert_eq!(
            error["message"],
            "it exists; its contents are restricted to the members of its pool"
        );
        assert_eq!(error["details"]["restricted_to"], "pool members");
    }
    assert_eq!(nodes(&mut own, "").await, ["rig-1", "rig-2", "rig-3"]);
    assert_eq!(nodes(&mut own, &format!("?pool={listed}")).await, ["rig-2"]);
    let detail = own.get("/api/v1/nodes/rig-1").await.json;
    assert_eq!(detail["pool"], json!({ "pool_id": hidden, "name": "dark" }));
    assert_eq!(
        (&detail["withheld"], &detail["org_id"]),
        (&json!(false), &json!(org_id))
    );
    assert_eq!(statuses(&mut other, "rig-1").await, [404, 404]);
    assert_eq!(
        world.admit(&hidden, &other_id, true).await.status,
        StatusCode::OK
    );
    // Who is admitted uses it, and owns nothing of it.
    let detail = other.get("/api/v1/nodes/rig-1").await.json;
    assert_eq!(detail["pool"]["name"], "dark");
    assert_eq!(
        (&detail["withheld"], &detail["org_id"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(statuses(&mut other, "rig-1").await, [200, 200]);
    assert_eq!(
        nodes(&mut other, &format!("?pool={hidden}")).await,
        ["rig-1"]
    );
    let page = other.get(&format!("/api/v1/nodes?pool={hidden}")).await;
    assert_eq!(page.json["items"][0]["agent_version"], Value::Null);
    assert_eq!(page.json["total"], 1);
    assert_eq!(nodes(&mut other, "").await, ["rig-1", "rig-3"]);
    let action = json!({ "action": "refresh", "reason": "mine" });
    let refused = other.post("/api/v1/nodes/rig-1/actions", action).await;
    assert_eq!(refused.error(), "not_found");
    // A consumer there is a stranger to nodes as ever.
    assert_eq!(statuses(&mut consumer, "rig-1").await, [404, 404]);
    // Without the flag nobody is admitted, and nothing is shown that was not.
    world.flag(false).await;
    assert_eq!(statuses(&mut other, "rig-1").await, [404, 404]);
    assert_eq!(statuses(&mut anonymous, "rig-1").await, [404, 404]);
    assert_eq!(nodes(&mut anonymous, "").await, ["rig-3"]);
    assert_eq!(nodes(&mut own, "").await, ["rig-1", "rig-2", "rig-3"]);
}

#[tokio::test]
async fn pools_are_seen_by_those_whom_they_admit() {
    let mut world = World::new().await;
    let (org_id, other_id) = (world.org_id.clone(), world.other_id.clone());
    let (hidden, listed) = (
        world.pool("dark", "hidden").await,
        world.pool("lit", "listed").await,
    );
    let mut viewer = world.signed_in(&org_id, Role::Viewer).await;
    let mut other = world.signed_in(&other_id, Role::Consumer).await;
    let names = async |who: &mut Browser, query: &str| {
        let page = who.get(&format!("/api/v1/pools{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let items = page.json["items"].as_array().expect("items").clone();
        let mut names: Vec<String> = items
            .iter()
            .map(|pool| pool["name"].as_str().expect("a name").to_owned())
            .collect();
        names.sort();
        names
    };
    for who in [&mut world.admin, &mut viewer] {
        assert_eq!(names(who, "").await, ["dark", "lit"]);
        assert_eq!(names(who, "?q=DAR").await, ["dark"]);
    }
    assert_eq!(
        names(&mut world.admin, &format!("?org={other_id}")).await,
        Vec::<String>::new()
    );
    let first = world.admin.get("/api/v1/pools?limit=1").await.json;
    let cursor = first["next_cursor"].as_str().expect("a cursor").to_owned();
    let second = world
        .admin
        .get(&format!("/api/v1/pools?limit=1&cursor={cursor}"))
        .await
        .json;
    assert_ne!(first["items"][0]["name"], second["items"][0]["name"]);
    assert_eq!(second["next_cursor"], Value::Null);
    assert_eq!(names(&mut other, "").await, Vec::<String>::new());
    let of = |id: &str| format!("/api/v1/pools/{id}");
    assert_eq!(other.get(&of(&hidden)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(other.get(&of(&listed)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(
        world.admit(&hidden, &other_id, true).await.status,
        StatusCode::OK
    );
    let third = org(&mut world.admin, "West").await;
    assert_eq!(
        world.admit(&hidden, &third, true).await.status,
        StatusCode::OK
    );
    let pool = other.get(&of(&hidden)).await.json;
    assert_eq!(
        (&pool["org_name"], &pool["members"]),
        (&json!("North"), &Value::Null)
    );
    let admitted = pool["admitted"].as_array().expect("admitted");
    assert_eq!(
        (admitted.len(), &admitted[0]["org_id"]),
        (1, &json!(other_id))
    );
    assert_eq!(admitted[0]["admitted_by_email"], Value::Null);
    assert_eq!(viewer.get(&of(&hidden)).await.json["members"], 2);
    // What they see they do not change.
    let asked = [
        viewer.patch(&of(&hidden), json!({ "name": "mine" })).await,
        viewer
            .post("/api/v1/pools", json!({ "org_id": org_id, "name": "mine" }))
            .await,
        other
            .post(
                &format!("{}/members", of(&hidden)),
                json!({ "org_id": other_id, "admitted": true }),
            )
            .await,
        other
            .post(
                &format!("{}/nodes", of(&hidden)),
                json!({ "node_id": "rig-3", "in_pool": true }),
            )
            .await,
    ];
    for refused in asked {
        assert_eq!(
            (refused.status, refused.error()),
            (StatusCode::FORBIDDEN, "forbidden")
        );
    }
    let mut anonymous = Browser::new(&world.server);
    assert_eq!(anonymous.get("/api/v1/pools").await.error(), "unauthorized");
}

#[tokio::test]
async fn while_the_flag_is_off_all_of_it_is_refused() {
    let mut world = World::new().await;
    let pool_id = world.pool("gold", "hidden").await;
    assert_eq!(
        world.admin.get("/api/v1/users/me").await.json["private_pools"],
        true
    );
    world.flag(false).await;
    assert_eq!(
        world.admin.get("/api/v1/users/me").await.json["private_pools"],
        false
    );
    let of = format!("/api/v1/pools/{pool_id}");
    let org_id = world.org_id.clone();
    let bodies = [
        (Method::GET, "/api/v1/pools".to_owned(), Value::Null),
        (Method::GET, of.clone(), Value::Null),
        (
            Method::POST,
            "/api/v1/pools".to_owned(),
            json!({ "org_id": org_id, "name": "new" }),
        ),
        (Method::PATCH, of.clone(), json!({ "name": "new" })),
        (
            Method::PATCH,
            of.clone(),
            json!({ "closed": true, "reason": "over" }),
        ),
        (
            Method::POST,
            format!("{of}/nodes"),
            json!({ "node_id": "rig-1", "in_pool": true }),
        ),
        (
            Method::POST,
            format!("{of}/members"),
            json!({ "org_id": world.other_id, "admitted": true }),
        ),
        (
            Method::POST,
            "/api/v1/enrolment-tokens".to_owned(),
            json!({ "pool_id": pool_id }),
        ),
    ];
    for (method, path, body) in bodies {
        let request = world.admin.request(method.clone(), &path);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let refused = world.admin.send(request).await;
        assert_eq!(
            (refused.status, refused.error()),
            (StatusCode::CONFLICT, "conflict"),
            "{method} {path}"
        );
        assert_eq!(
            refused.json["error"]["details"]["flag"], "enable_private_pools",
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_pool_is_said_with_its_field() {
    let mut world = World::new().await;
    let pool_id = world.pool("gold", "hidden").await;
    let (org_id, other_id) = (world.org_id.clone(), world.other_id.clone());
    let new = |more: Value| {
        let mut body = json!({ "org_id": org_id, "name": "new" });
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let many: serde_json::Map<String, Value> =
        (0..17).map(|n| (format!("k{n}"), json!(""))).collect();
    for (body, status, field) in [
        (new(json!({ "name": "Gold" })), 400, json!("name")),
        (new(json!({ "labels": { "K": "v" } })), 400, json!("labels")),
        (
            new(json!({ "labels": { "k": "x".repeat(64) } })),
            400,
            json!("labels"),
        ),
        (new(json!({ "labels": many })), 400, json!("labels")),
        (new(json!({ "existence": "open" })), 400, json!("existence")),
        (new(json!({ "reason": "two\nlines" })), 400, json!("reason")),
        (new(json!({ "org_id": "nowhere" })), 404, Value::Null),
        (new(json!({ "org_id": "a\u{0}b" })), 404, Value::Null),
        (new(json!({ "name": "gold" })), 409, json!("name")),
    ] {
        let refused = world.admin.post("/api/v1/pools", body.clone()).await;
        assert_eq!(refused.status.as_u16(), status, "{body}: {}", refused.text);
        assert_eq!(refused.json["error"]["details"]["field"], field, "{body}");
    }
    let path = format!("/api/v1/pools/{pool_id}");
    for (body, field) in [
        (json!({ "closed": true }), "reason"),
        (json!({ "closed": false, "reason": "again" }), "closed"),
        (
            json!({ "closed": true, "name": "new", "reason": "over" }),
            "closed",
        ),
    ] {
        let refused = world.admin.patch(&path, body.clone()).await;
        assert_eq!(refused.json["error"]["details"]["field"], field, "{body}");
    }
    // Taken out, everybody may see it: that has a reason.
    let out = json!({ "node_id": "rig-1", "in_pool": false });
    let refused = world.admin.post(&format!("{path}/nodes"), out).await;
    assert_eq!(refused.json["error"]["details"]["field"], "reason");
    assert_eq!(world.put(&pool_id, "rig-3", true).await.error(), "conflict");
    assert_eq!(
        world.put(&pool_id, "nowhere", true).await.error(),
        "not_found"
    );
    assert_eq!(
        world.put("pool_none", "rig-1", true).await.error(),
        "not_found"
    );
    assert_eq!(
        world.admit(&pool_id, &org_id, true).await.error(),
        "conflict"
    );
    assert_eq!(
        world.admit(&pool_id, "nowhere", true).await.error(),
        "not_found"
    );
    assert_eq!(
        world.admit("pool_none", &other_id, true).await.error(),
        "not_found"
    );
    let none = world.admin.get("/api/v1/pools/pool_%00").await;
    assert_eq!(none.error(), "not_found");
}

/// The token of a list that is one of a pool.
fn of_pool(listed: &Value) -> Value {
    let mut tokens = listed["items"].as_array().expect("items").iter();
    let token = tokens.find(|token| !token["pool"].is_null());
    token.expect("a token of a pool").clone()
}

#[tokio::test]
async fn an_operator_makes_tokens_for_pools_of_their_own() {
    let mut world = World::new().await;
    let (org_id, other_id) = (world.org_id.clone(), world.other_id.clone());
    let pool_id = world.pool("gold", "hidden").await;
    let mut own = world.signed_in(&org_id, Role::Operator).await;
    let mut other = world.signed_in(&other_id, Role::Operator).await;
    assert_eq!(
        world.admit(&pool_id, &other_id, true).await.status,
        StatusCode::OK
    );
    let made = own
        .post("/api/v1/enrolment-tokens", json!({ "pool_id": pool_id }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!(
        made.json["pool"],
        json!({ "pool_id": pool_id, "name": "gold" })
    );
    let listed = own.get("/api/v1/enrolment-tokens").await.json;
    let token = of_pool(&listed);
    assert_eq!(token["pool"]["name"], "gold");
    // Who is admitted puts nothing into it.
    for id in [pool_id.as_str(), "pool_none", "a\u{0}b"] {
        let refused = other
            .post("/api/v1/enrolment-tokens", json!({ "pool_id": id }))
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
        assert_eq!(refused.json["error"]["details"]["field"], "pool_id");
    }
    let close = json!({ "closed": true, "reason": "over" });
    let closed = world
        .admin
        .patch(&format!("/api/v1/pools/{pool_id}"), close)
        .await;
    assert_eq!(closed.status, StatusCode::OK, "{}", closed.text);
    let listed = own.get("/api/v1/enrolment-tokens").await.json;
    let token = of_pool(&listed);
    assert!(token["revoked_at"].is_string(), "{listed}");
}
