//! People and organisations over HTTP: invited, given roles, shut out, and acting for one organisation at a time.

#![expect(clippy::expect_used, reason = "helpers of tests fail like tests do")]

use crate::support::{Answer, Browser, Server};
use dgon_control_plane::accounts::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

const ME: &str = "/api/v1/users/me";
const USERS: &str = "/api/v1/users";
const ORGS: &str = "/api/v1/orgs";

async fn with_admin() -> (Server, Browser) {
    let server = Server::start().await;
    let admin = server.signed_in("admin@example.com", &[Role::Admin]).await;
    (server, admin)
}

/// Makes an organisation; its id.
async fn org(admin: &mut Browser, name: &str) -> String {
    let made = admin.post(ORGS, json!({ "name": name })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    made.json["org_id"].as_str().expect("an id").to_owned()
}

/// The secret in the link of an invitation.
fn secret(invited: &Answer) -> String {
    let path = invited.json["path"].as_str().expect("a path");
    let secret = path.strip_prefix("/sign-in#token=").expect("a link");
    secret.to_owned()
}

async fn redeem(server: &Server, secret: &str) -> (Browser, Answer) {
    let mut browser = Browser::new(server);
    let body = json!({ "token": secret });
    let answer = browser.post("/api/v1/auth/redeem", body).await;
    (browser, answer)
}

fn user_at(user_id: &str) -> String {
    format!("{USERS}/{user_id}")
}

fn membership_at(user_id: &str, org_id: &str) -> String {
    format!("{USERS}/{user_id}/memberships/{org_id}")
}

async fn newest_audit(admin: &mut Browser) -> Value {
    let log = admin.get("/api/v1/audit?limit=1").await;
    log.json["items"][0].clone()
}

#[tokio::test]
async fn somebody_is_invited_and_signs_in_with_their_link_once() {
    let (server, mut admin) = with_admin().await;
    let org_id = org(&mut admin, "Rigs of the north").await;
    let wish = json!({ "email": "New@Example.com", "org_id": org_id, "roles": ["operator"] });
    let invited = admin.post(USERS, wish.clone()).await;
    assert_eq!(invited.status, StatusCode::CREATED, "{}", invited.text);
    let (mut browser, me) = redeem(&server, &secret(&invited)).await;
    assert_eq!(me.status, StatusCode::OK);
    assert_eq!(
        (&me.json["email"], &me.json["org_id"]),
        (&json!("new@example.com"), &json!(org_id))
    );
    assert_eq!(me.json["roles"], json!(["operator"]));
    assert_eq!(me.json["memberships"][0]["org_name"], "Rigs of the north");
    assert_eq!(
        browser.get("/api/v1/enrolment-tokens").await.status,
        StatusCode::OK
    );
    assert_eq!(browser.get(USERS).await.error(), "forbidden");
    assert_eq!(
        redeem(&server, &secret(&invited)).await.1.error(),
        "invalid_token"
    );

    let again = admin.post(USERS, wish).await;
    assert_eq!(
        (again.status, again.error()),
        (StatusCode::CONFLICT, "conflict")
    );
    let listed = admin
        .get(&format!("{USERS}?q=NEW%40&org_id={org_id}"))
        .await;
    let items = listed.json["items"].as_array().expect("items");
    assert_eq!(items.len(), 1, "{}", listed.text);
    assert_eq!(items[0]["memberships"][0]["roles"], json!(["operator"]));
    assert!(items[0]["last_sign_in_at"].is_string());
    // Whoever lost their way in is given another one, which lasts for a day.
    let user_id = items[0]["user_id"].as_str().expect("an id");
    let link = admin
        .post(&format!("{}/sign-in-link", user_at(user_id)), Value::Null)
        .await;
    assert_eq!(link.status, StatusCode::CREATED, "{}", link.text);
    server.clock.advance(24 * 3_600_000 + 1);
    assert_eq!(
        redeem(&server, &secret(&link)).await.1.error(),
        "invalid_token"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_to_do() {
    let (server, mut admin) = with_admin().await;
    let org_id = org(&mut admin, "One").await;
    let user_id = server
        .user_of("main", "a@example.com", &[Role::Viewer])
        .await;
    let invite = |email: &str, org_id: &str, roles: &[&str]| json!({ "email": email, "org_id": org_id, "roles": roles });
    for (wish, error, field) in [
        (
            invite("nobody", "main", &["viewer"]),
            "invalid_request",
            json!("email"),
        ),
        (
            invite("b@example.com", "main", &[]),
            "invalid_request",
            json!("roles"),
        ),
        (
            invite("b@example.com", &org_id, &["admin"]),
            "invalid_request",
            json!("roles"),
        ),
        (
            invite("b@example.com", "nowhere", &["viewer"]),
            "not_found",
            Value::Null,
        ),
        (
            invite("b@example.com", "main", &["king"]),
            "invalid_request",
            Value::Null,
        ),
    ] {
        let refused = admin.post(USERS, wish.clone()).await;
        assert_eq!(refused.error(), error, "{wish}: {}", refused.text);
        assert_eq!(refused.json["error"]["details"]["field"], field, "{wish}");
    }
    let roles = json!({ "roles": ["admin"] });
    let elsewhere = admin
        .put(&membership_at(&user_id, &org_id), roles.clone())
        .await;
    assert_eq!(elsewhere.error(), "invalid_request", "{}", elsewhere.text);
    let nobody = admin.put(&membership_at("u_nobody", "main"), roles).await;
    assert_eq!(nobody.error(), "not_found");
    let not_in = admin.delete(&membership_at(&user_id, &org_id)).await;
    assert_eq!(not_in.error(), "not_found");
    let no_reason = admin
        .patch(&user_at(&user_id), json!({ "disabled": true }))
        .await;
    assert_eq!(
        no_reason.json["error"]["details"]["field"], "reason",
        "{}",
        no_reason.text
    );
    for name in ["", "  ", "two\nlines", &"x".repeat(65)] {
        let refused = admin.post(ORGS, json!({ "name": name })).await;
        assert_eq!(
            refused.json["error"]["details"]["field"], "name",
            "{name:?}: {}",
            refused.text
        );
    }
    let taken = admin.post(ORGS, json!({ "name": " One " })).await;
    assert_eq!(taken.error(), "conflict", "{}", taken.text);
    let own = admin
        .post(
            &format!("{ORGS}/main/close"),
            json!({ "reason": "why not" }),
        )
        .await;
    assert_eq!(own.error(), "conflict", "{}", own.text);
    let wrong = admin.get(&format!("{USERS}?cursor=x")).await;
    assert_eq!(
        wrong.json["error"]["details"]["parameter"], "cursor",
        "{}",
        wrong.text
    );
}

#[tokio::test]
async fn whoever_is_disabled_is_out_at_once_and_for_good() {
    let (server, mut admin) = with_admin().await;
    let user_id = server
        .user_of("main", "a@example.com", &[Role::Operator])
        .await;
    let mut browser = server.sign_in("a@example.com").await;
    let change = json!({ "disabled": true, "reason": "left the company" });
    let shut = admin.patch(&user_at(&user_id), change).await;
    assert!(shut.json["disabled_at"].is_string(), "{}", shut.text);
    assert_eq!(browser.get(ME).await.error(), "unauthorized");
    let refreshed = browser.post("/api/v1/auth/refresh", Value::Null).await;
    assert_eq!(refreshed.error(), "unauthorized");
    let link = admin
        .post(&format!("{}/sign-in-link", user_at(&user_id)), Value::Null)
        .await;
    assert_eq!(link.error(), "conflict", "{}", link.text);
    let row = newest_audit(&mut admin).await;
    assert_eq!(
        (&row["action"], &row["reason"]),
        (&json!("user.disable"), &json!("left the company"))
    );
    assert_eq!(row["object"], format!("user:{user_id}"));

    let open = admin
        .patch(&user_at(&user_id), json!({ "disabled": false }))
        .await;
    assert_eq!(open.json["disabled_at"], Value::Null, "{}", open.text);
    // The old session stays ended; a new one begins.
    assert_eq!(browser.get(ME).await.error(), "unauthorized");
    assert_eq!(
        server.sign_in("a@example.com").await.get(ME).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_last_admin_stays_one() {
    let (_server, mut admin) = with_admin().await;
    let me = admin.get(ME).await.json["user_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let main = membership_at(&me, "main");
    for refused in [
        admin.put(&main, json!({ "roles": ["viewer"] })).await,
        admin.delete(&main).await,
        admin
            .patch(
                &user_at(&me),
                json!({ "disabled": true, "reason": "tired" }),
            )
            .await,
    ] {
        assert_eq!(refused.error(), "conflict", "{}", refused.text);
    }
    assert_eq!(admin.get(ME).await.json["roles"], json!(["admin"]));
}

#[tokio::test]
async fn a_person_of_two_organisations_acts_for_one_and_changes() {
    let (server, mut admin) = with_admin().await;
    let org_id = org(&mut admin, "Two").await;
    let user_id = server
        .user_of("main", "a@example.com", &[Role::Viewer])
        .await;
    let mut browser = server.sign_in("a@example.com").await;
    let act_for = |org_id: &str| json!({ "org_id": org_id });
    let path = "/api/v1/auth/organisation";
    assert_eq!(
        browser.post(path, act_for(&org_id)).await.error(),
        "not_found"
    );
    let roles = json!({ "roles": ["operator", "consumer"], "reason": "new rig" });
    let set = admin.put(&membership_at(&user_id, &org_id), roles).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let row = newest_audit(&mut admin).await;
    assert_eq!(
        (&row["action"], &row["before"]),
        (&json!("membership.set"), &Value::Null)
    );
    assert_eq!(
        row["after"],
        json!({ "org_id": org_id, "roles": ["operator", "consumer"] })
    );

    let me = browser.post(path, act_for(&org_id)).await;
    assert_eq!(
        me.json["roles"],
        json!(["operator", "consumer"]),
        "{}",
        me.text
    );
    assert_eq!(me.json["memberships"].as_array().map(Vec::len), Some(2));
    let made = browser.post("/api/v1/enrolment-tokens", json!({})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let removed = admin.delete(&membership_at(&user_id, &org_id)).await;
    assert_eq!(
        removed.json["memberships"].as_array().map(Vec::len),
        Some(1)
    );
    let me = browser.get(ME).await;
    assert_eq!(
        (&me.json["org_id"], &me.json["roles"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(
        browser.get("/api/v1/enrolment-tokens").await.error(),
        "forbidden"
    );
    let tokens = admin.get("/api/v1/enrolment-tokens").await;
    assert!(
        tokens.json["items"][0]["revoked_at"].is_string(),
        "{}",
        tokens.text
    );
    let me = browser.post(path, act_for("main")).await;
    assert_eq!(me.json["roles"], json!(["viewer"]));
}

#[tokio::test]
async fn an_organisation_is_renamed_and_closed() {
    let (server, mut admin) = with_admin().await;
    let org_id = org(&mut admin, "Before").await;
    let at = format!("{ORGS}/{org_id}");
    let renamed = admin.patch(&at, json!({ "name": "After" })).await;
    assert_eq!(renamed.json["name"], "After", "{}", renamed.text);
    let row = newest_audit(&mut admin).await;
    assert_eq!(
        (&row["before"], &row["after"]),
        (&json!({ "name": "Before" }), &json!({ "name": "After" }))
    );
    server
        .user_of(&org_id, "a@example.com", &[Role::Operator])
        .await;
    let mut browser = server.sign_in("a@example.com").await;
    let closed = admin
        .post(&format!("{at}/close"), json!({ "reason": "sold" }))
        .await;
    assert!(closed.json["closed_at"].is_string(), "{}", closed.text);
    assert_eq!(browser.get(ME).await.json["org_id"], Value::Null);
    assert_eq!(
        browser.get("/api/v1/enrolment-tokens").await.error(),
        "forbidden"
    );
    let again = admin
        .post(&format!("{at}/close"), json!({ "reason": "sold" }))
        .await;
    assert_eq!(again.error(), "not_found");
    let listed = admin.get(ORGS).await;
    let names: Vec<&str> = listed.json["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|org| org["name"].as_str())
        .collect();
    assert!(
        names.contains(&"After") && names.contains(&"main"),
        "{names:?}"
    );
}

#[tokio::test]
async fn whoever_is_in_no_organisation_is_a_stranger() {
    let (server, mut admin) = with_admin().await;
    let user_id = server
        .user_of("main", "a@example.com", &[Role::Viewer])
        .await;
    let mut browser = server.sign_in("a@example.com").await;
    admin.delete(&membership_at(&user_id, "main")).await;
    let overview = "/api/v1/summary";
    assert_eq!(
        browser.get(overview).await.status,
        StatusCode::OK,
        "open to all"
    );
    let flag = "/api/v1/flags/allow_anonymous_overview";
    admin.put(flag, json!({ "enabled": false })).await;
    assert_eq!(
        Browser::new(&server).get(overview).await.error(),
        "unauthorized"
    );
    let refused = browser.get(overview).await;
    assert_eq!(refused.error(), "forbidden", "{}", refused.text);
    assert_eq!(browser.get(ME).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_admin_who_was_dismissed_has_no_way_back() {
    let (server, mut admin) = with_admin().await;
    let root = admin.get(ME).await.json["user_id"].clone();
    let other = server
        .user_of("main", "b@example.com", &[Role::Admin])
        .await;
    let mut dismissed = server.sign_in("b@example.com").await;
    let root = root.as_str().expect("an id");
    let link = format!("{}/sign-in-link", user_at(root));
    let back = dismissed.post(&link, Value::Null).await;
    let ghost = json!({ "email": "ghost@example.com", "roles": ["admin"] });
    let ghost = dismissed.post(USERS, ghost).await;
    let roles = json!({ "roles": ["viewer"] });
    admin.put(&membership_at(&other, "main"), roles).await;
    for made in [back, ghost] {
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        assert_eq!(
            redeem(&server, &secret(&made)).await.1.error(),
            "invalid_token"
        );
    }
}

#[tokio::test]
async fn names_that_no_database_has_are_nobodys() {
    let (_server, mut admin) = with_admin().await;
    let query = admin.get(&format!("{USERS}?q=a%00")).await;
    assert_eq!(
        query.json["error"]["details"]["parameter"], "q",
        "{}",
        query.text
    );
    for path in [
        format!("{USERS}/a%00"),
        "/api/v1/wallets/evm/%00".to_owned(),
    ] {
        assert_eq!(admin.delete(&path).await.error(), "not_found", "{path}");
    }
    let nobody = json!({ "org_id": "a\0" });
    assert_eq!(
        admin
            .post("/api/v1/auth/organisation", nobody)
            .await
            .error(),
        "not_found"
    );
    for hidden in ["\u{200b}", "Acme\u{202e}", "A\u{ad}cme"] {
        let refused = admin.post(ORGS, json!({ "name": hidden })).await;
        assert_eq!(
            refused.json["error"]["details"]["field"], "name",
            "{hidden:?}"
        );
    }
}

#[tokio::test]
async fn a_page_that_has_not_heard_of_the_other_organisation_changes_nothing() {
    let (server, mut admin) = with_admin().await;
    let org_id = org(&mut admin, "Rigs of the north").await;
    let mut one = server.signed_in("a@example.com", &[Role::Operator]).await;
    let user_id = one.get(ME).await.json["user_id"]
        .as_str()
        .expect("id")
        .to_owned();
    let body = json!({ "roles": ["operator"] });
    let set = admin.put(&membership_at(&user_id, &org_id), body).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    // Two tabs of one browser: one sign-in, which the first lets act for the other organisation.
    let mut two = one.clone();
    let acting = one
        .post("/api/v1/auth/organisation", json!({ "org_id": org_id }))
        .await;
    assert_eq!(acting.json["org_id"], json!(org_id), "{}", acting.text);
    let token = json!({ "label": "for main" });
    let refused = two.post("/api/v1/enrolment-tokens", token.clone()).await;
    assert_eq!(refused.error(), "invalid_csrf", "{}", refused.text);
    two.csrf = two.get(ME).await.json["csrf_token"]
        .as_str()
        .map(str::to_owned);
    let made = two.post("/api/v1/enrolment-tokens", token).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
}
