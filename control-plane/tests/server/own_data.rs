//! What is kept of a person: in one file, and gone; and accounts that people make themselves.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{ALL, Answer, Browser, PASSWORD, SERVER, Server, client};
use dgon_control_plane::accounts::Role;
use dgon_control_plane::app::audit_check;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const ME: &str = "/api/v1/users/me";
const EXPORT: &str = "/api/v1/users/me/export";
const REGISTER: &str = "/api/v1/auth/register";
const TOKENS: &str = "/api/v1/enrolment-tokens";

async fn delete(browser: &mut Browser, email: &str) -> Answer {
    let request = browser.request(Method::DELETE, ME);
    let body = json!({ "email": email, "current": PASSWORD });
    browser.send(request.json(&body)).await
}

async fn seal(server: &Server) {
    while server.state.app.audit_seal().await.expect("seal").0 {}
}

async fn open_registration(server: &Server) -> Browser {
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    let path = "/api/v1/flags/open_registration";
    let set = admin.put(path, json!({ "enabled": true })).await;
    assert!(set.status.is_success(), "{}", set.text);
    admin
}

fn wish(email: &str, organisation: &str) -> Value {
    json!({ "email": email, "password": PASSWORD, "organisation": organisation })
}

/// Everything in the database that a text could be in.
async fn dump(server: &Server) -> String {
    let inspect = server.state.app.store.inspect();
    let tables = inspect.texts("SELECT name FROM sqlite_master WHERE type = 'table'");
    let tables = tables.await.expect("tables");
    assert!(tables.len() > 20, "{tables:?}");
    let file = inspect.texts("SELECT file FROM pragma_database_list WHERE name = 'main'");
    let file = file.await.expect("file").remove(0).expect("a path");
    inspect.execute("VACUUM").await.expect("vacuum");
    inspect
        .execute("PRAGMA wal_checkpoint(TRUNCATE)")
        .await
        .expect("checkpoint");
    String::from_utf8_lossy(&std::fs::read(file).expect("the database")).into_owned()
}

/// Makes an API key, and with it an enrolment token of this label.
async fn token_by_program(server: &Server, browser: &mut Browser, label: &str) {
    let key = json!({ "name": "mine", "scopes": ["enrolment.write"] });
    let key = browser.post("/api/v1/api-keys", key).await;
    let key = format!("Bearer {}", key.json["key"].as_str().expect("a key"));
    let made = client()
        .post(format!("{}{TOKENS}", server.base))
        .header("authorization", key);
    let made = made.json(&json!({ "label": label })).send().await;
    assert_eq!(made.expect("an answer").status(), StatusCode::CREATED);
}

#[tokio::test]
async fn an_export_has_what_is_kept_and_nobody_elses_address() {
    let server = Server::start().await;
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    let mut browser = server.signed_in("a@example.com", &[Role::Operator]).await;
    let token = browser.post(TOKENS, json!({ "label": "my rig" })).await;
    assert_eq!(token.status, StatusCode::CREATED, "{}", token.text);
    let user_id = browser.get(ME).await.json["user_id"]
        .as_str()
        .expect("id")
        .to_owned();
    let link = format!("/api/v1/users/{user_id}/sign-in-link");
    assert_eq!(
        admin.post(&link, Value::Null).await.status,
        StatusCode::CREATED
    );
    token_by_program(&server, &mut browser, "by a program").await;
    let export = browser.get(EXPORT).await;
    assert_eq!(export.status, StatusCode::OK, "{}", export.text);
    assert!(
        export
            .header("content-disposition")
            .contains("dgon-account.json")
    );
    let data = &export.json;
    assert_eq!(
        (&data["email"], &data["is_cut"]),
        (&json!("a@example.com"), &json!(false))
    );
    assert_eq!(data["memberships"][0]["roles"], json!(["operator"]));
    assert_eq!(data["sessions"].as_array().expect("sessions").len(), 1);
    let actions = |of: &str| -> Vec<String> {
        let rows = data[of].as_array().expect("rows").iter();
        rows.map(|row| row["action"].as_str().expect("text").to_owned())
            .collect()
    };
    assert!(
        actions("done").contains(&"session.sign_in".to_owned()),
        "{data}"
    );
    assert!(
        actions("done_to").contains(&"link.create".to_owned()),
        "{data}"
    );
    let by_programs = data["done"].as_array().expect("rows").iter();
    let by_programs = by_programs.filter(|row| {
        row["actor"]
            .as_str()
            .is_some_and(|by| by.starts_with("key:"))
    });
    assert_eq!(by_programs.count(), 1, "{data}");
    assert_eq!(data["keys"][0]["name"], "mine");
    let by_others = data["done_to"].as_array().expect("rows");
    assert!(by_others.iter().all(|row| row["ip"].is_null()), "{data}");
    assert!(!export.text.contains("argon2") && !export.text.contains("admin@example.com"));
    assert_eq!(
        Browser::new(&server).get(EXPORT).await.error(),
        "unauthorized"
    );
}

#[tokio::test]
async fn an_account_that_is_deleted_is_in_no_file_and_the_chain_is_whole() {
    let server = Server::start().await;
    let mut admin = open_registration(&server).await;
    let mut browser = Browser::new(&server);
    let made = browser
        .post(
            REGISTER,
            wish("Gone.Soon@example.com", "Gone soon and sons"),
        )
        .await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    let mut other = server.sign_in("gone.soon@example.com").await;
    let token = browser
        .post(TOKENS, json!({ "label": "Gone soon at home" }))
        .await;
    assert_eq!(token.status, StatusCode::CREATED, "{}", token.text);
    token_by_program(&server, &mut browser, "Gone soon elsewhere").await;
    seal(&server).await;
    // Of what is deleted, what was said before is gone from the file as well.
    assert!(dump(&server).await.to_lowercase().contains("gone.soon"));

    assert_eq!(
        delete(&mut browser, "other@example.com").await.error(),
        "invalid_request"
    );
    let gone = delete(&mut browser, " Gone.Soon@example.com").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    assert!(gone.cookies().iter().all(|(_, value)| value.is_empty()));
    assert_eq!(other.get(ME).await.error(), "unauthorized");
    assert_eq!(
        other
            .post("/api/v1/auth/refresh", Value::Null)
            .await
            .error(),
        "unauthorized"
    );
    let body = json!({ "email": "gone.soon@example.com", "password": PASSWORD });
    let refused = Browser::new(&server).post("/api/v1/auth/login", body).await;
    assert_eq!(refused.error(), "unauthorized", "{}", refused.text);
    let secret = token.json["token"].as_str().expect("a token");
    assert!(!secret.is_empty());

    seal(&server).await;
    server.clock.advance(61_000);
    seal(&server).await;
    let kept = dump(&server).await.to_lowercase();
    for name in ["gone.soon", "gone soon"] {
        assert!(!kept.contains(name), "{name} is still in the database");
    }
    let inspect = server.state.app.store.inspect();
    assert!(
        inspect
            .texts("SELECT subject FROM erasures")
            .await
            .expect("rows")
            .is_empty()
    );
    let by_programs = inspect
        .texts("SELECT facts FROM audit WHERE actor LIKE 'key:%'")
        .await;
    assert_eq!(by_programs.expect("rows"), [None]);
    let (store, now_ms) = (&server.state.app.store, server.clock.now_ms());
    let check = audit_check(store, None, now_ms).await.expect("check");
    assert_eq!(check.faults, []);
    assert!(check.erased > 3, "{check:?}");
    let log = admin.get("/api/v1/audit?action=user.erase").await;
    let rows = log.json["items"].as_array().expect("items").iter();
    let mut of: Vec<_> = rows
        .filter_map(|row| row["object"].as_str()?.split(':').next())
        .collect();
    of.sort_unstable();
    assert_eq!(of, ["key", "user"]);
    // The address is free again, and is another account.
    let again = Browser::new(&server)
        .post(REGISTER, wish("gone.soon@example.com", "Anew"))
        .await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
}

#[tokio::test]
async fn whoever_is_needed_here_stays() {
    let server = Server::start().await;
    let mut admin = open_registration(&server).await;
    assert_eq!(
        delete(&mut admin, "admin@example.com").await.error(),
        "conflict"
    );
    let mut browser = Browser::new(&server);
    let made = browser
        .post(REGISTER, wish("a@example.com", "A and sons"))
        .await;
    let org_id = made.json["org_id"]
        .as_str()
        .expect("an organisation")
        .to_owned();
    let inspect = server.state.app.store.inspect();
    let node = inspect.execute(
        "INSERT INTO nodes (node_id, region, state, state_reason, state_since_ms, enrolled_at_ms, org_id, agent_version, \
         os, arch) SELECT 'n', 'eu', 'active', 'x', 1, 1, org_id, '1', 'linux', 'x86_64' FROM orgs WHERE org_id <> 'main'",
    );
    node.await.expect("a node");
    let refused = delete(&mut browser, "a@example.com").await;
    assert_eq!(refused.error(), "conflict", "{}", refused.text);
    assert!(
        refused.text.contains("in A and sons, and"),
        "{}",
        refused.text
    );
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
    // Where somebody else is, the nodes have somebody who sees to them.
    server
        .user_of(&org_id, "b@example.com", &[Role::Operator])
        .await;
    let gone = delete(&mut browser, "a@example.com").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    let org = server
        .state
        .app
        .store
        .org_get(&ALL, &org_id)
        .await
        .expect("read");
    assert!(org.is_some_and(|org| org.closed_at_ms.is_none() && org.name == "A and sons"));
    // Not by a browser that was left signed in.
    let mut late = server.sign_in("b@example.com").await;
    server.clock.advance(9 * 60_000);
    late.post("/api/v1/auth/refresh", Value::Null).await;
    server.clock.advance(7 * 60_000);
    late.post("/api/v1/auth/refresh", Value::Null).await;
    assert_eq!(
        delete(&mut late, "b@example.com").await.error(),
        "forbidden"
    );
    let chain = server.state.app.store.audit_chain(SERVER).await;
    assert!(chain.is_ok());
}

#[tokio::test]
async fn people_make_accounts_where_an_admin_has_opened_that() {
    let server = Server::start().await;
    let closed = Browser::new(&server)
        .post(REGISTER, wish("a@example.com", "A"))
        .await;
    assert_eq!(closed.error(), "forbidden", "{}", closed.text);
    let state = Browser::new(&server).get("/api/v1/auth/state").await;
    assert_eq!(state.json["open_registration"], false);
    open_registration(&server).await;
    let state = Browser::new(&server).get("/api/v1/auth/state").await;
    assert_eq!(state.json["open_registration"], true);
    let mut browser = Browser::new(&server);
    let me = browser
        .post(REGISTER, wish("a@example.com", "A and sons"))
        .await;
    assert_eq!(
        me.json["roles"],
        json!(["operator", "consumer"]),
        "{}",
        me.text
    );
    assert_eq!(me.json["memberships"].as_array().expect("one").len(), 1);
    assert_ne!(me.json["org_id"], "main");
    assert_eq!(browser.get("/api/v1/users").await.error(), "forbidden");
    for (email, organisation, field) in [
        ("a@example.com", "B", Value::Null),
        ("b@example.com", "A and sons", Value::Null),
        ("nobody", "C", json!("email")),
        ("c@example.com", " ", json!("name")),
    ] {
        let refused = Browser::new(&server)
            .post(REGISTER, wish(email, organisation))
            .await;
        assert!(refused.status.is_client_error(), "{}", refused.text);
        assert_eq!(
            refused.json["error"]["details"]["field"], field,
            "{}",
            refused.text
        );
    }
    // What was refused left no organisation behind.
    let inspect = server.state.app.store.inspect();
    let orgs = inspect
        .texts("SELECT name FROM orgs WHERE org_id <> 'main'")
        .await;
    assert_eq!(orgs.expect("rows"), [Some("A and sons".to_owned())]);
}

#[tokio::test]
async fn one_network_tries_few_accounts_in_an_hour() {
    let server = Server::start().await;
    open_registration(&server).await;
    let mut last = None;
    for n in 0..11 {
        let email = format!("a{n}@example.com");
        let made = Browser::new(&server)
            .post(REGISTER, wish(&email, &format!("A{n}")))
            .await;
        last = Some((n, made));
    }
    let (_, last) = last.expect("an answer");
    assert_eq!(last.error(), "rate_limited", "{}", last.text);
    assert!(!last.header("retry-after").is_empty());
}

#[tokio::test]
async fn what_somebody_decided_for_others_outlives_their_account() {
    let server = Server::start().await;
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    let mut rogue = server.signed_in("rogue@example.com", &[Role::Admin]).await;
    let path = "/api/v1/flags/public_receipts";
    let set = rogue.put(path, json!({ "enabled": true })).await;
    assert!(set.status.is_success(), "{}", set.text);
    let user_id = rogue.get(ME).await.json["user_id"]
        .as_str()
        .expect("id")
        .to_owned();
    let membership = format!("/api/v1/users/{user_id}/memberships/main");
    let taken = admin.put(&membership, json!({ "roles": ["viewer"] })).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text);
    rogue.csrf = rogue.get(ME).await.json["csrf_token"]
        .as_str()
        .map(str::to_owned);
    let gone = delete(&mut rogue, "rogue@example.com").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{}", gone.text);
    seal(&server).await;
    server.clock.advance(61_000);
    seal(&server).await;
    let log = admin.get("/api/v1/audit?action=flag.set").await;
    let row = &log.json["items"][0];
    assert_eq!(row["actor"], json!(format!("user:{user_id}")));
    assert_eq!(
        (&row["is_erased"], &row["after"]),
        (&json!(false), &json!({ "enabled": true }))
    );
    let own = admin.get("/api/v1/audit?action=session.sign_in").await;
    let rows = own.json["items"].as_array().expect("rows").iter();
    let theirs: Vec<&Value> = rows
        .filter(|row| row["actor"] == json!(format!("user:{user_id}")))
        .collect();
    assert!(
        !theirs.is_empty() && theirs.iter().all(|row| row["is_erased"] == true),
        "{theirs:?}"
    );
}

#[tokio::test]
async fn a_browser_that_was_left_signed_in_opens_no_account_for_others() {
    let server = Server::start().await;
    let mut admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    let user_id = server
        .user_of("main", "a@example.com", &[Role::Viewer])
        .await;
    server.clock.advance(9 * 60_000);
    admin.post("/api/v1/auth/refresh", Value::Null).await;
    server.clock.advance(7 * 60_000);
    admin.post("/api/v1/auth/refresh", Value::Null).await;
    let user = format!("/api/v1/users/{user_id}");
    let invite = json!({ "email": "b@example.com", "roles": ["admin"] });
    let reset = json!({ "reason": "lost" });
    let refused = [
        admin.post("/api/v1/users", invite).await,
        admin
            .post(&format!("{user}/sign-in-link"), Value::Null)
            .await,
        admin
            .post(&format!("{user}/reset-second-factor"), reset)
            .await,
        admin
            .put(
                &format!("{user}/memberships/main"),
                json!({ "roles": ["admin"] }),
            )
            .await,
    ];
    for answer in refused {
        assert_eq!(answer.error(), "forbidden", "{}", answer.text);
        assert_eq!(
            answer.json["error"]["details"]["sign_in"], "again",
            "{}",
            answer.text
        );
    }
    let allowed = admin
        .put(
            &format!("{user}/memberships/main"),
            json!({ "roles": ["operator"] }),
        )
        .await;
    assert_eq!(allowed.status, StatusCode::OK, "{}", allowed.text);
}
