//! When a key is dead, and what goes with it.

use super::{
    ALL_SCOPES, DAY_MS, KEYS, NODES, TOKENS, admin, at, audit, make, user_id, wish, with_key,
};
use crate::support::{Answer, Browser, PASSWORD, Server};
use dgon_control_plane::accounts::Role;
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_key_is_dead_at_the_next_request_whatever_it_lost() {
    let server = Server::start().await;
    let mut admin = admin(&server).await;
    let org = admin.post("/api/v1/orgs", json!({ "name": "North" })).await;
    let org_id = org.json["org_id"].as_str().expect("an id").to_owned();
    for how in [
        "revoked",
        "revoked by an admin",
        "expired",
        "disabled",
        "taken out",
        "viewer",
        "closed",
    ] {
        let email = format!("{}@example.com", how.replace(' ', "."));
        let user_id = server.user_of(&org_id, &email, &[Role::Operator]).await;
        let mut owner = server.sign_in(&email).await;
        let (id, program) = make(&server, &mut owner, wish(&["nodes.read"])).await;
        assert_eq!(program.get(NODES).await.status, StatusCode::OK, "{how}");
        let user = format!("/api/v1/users/{user_id}");
        let membership = format!("{user}/memberships/{org_id}");
        let done = match how {
            "revoked" => owner.delete(&at(&id)).await,
            "revoked by an admin" => admin.delete(&at(&id)).await,
            "expired" => {
                server.clock.advance(30 * DAY_MS - 1);
                assert_eq!(program.get(NODES).await.status, StatusCode::OK);
                server.clock.advance(1);
                admin = server.sign_in("admin@example.com").await;
                admin.get("/api/v1/users/me").await
            }
            "disabled" => {
                admin
                    .patch(&user, json!({ "disabled": true, "reason": "test" }))
                    .await
            }
            "taken out" => admin.delete(&membership).await,
            "viewer" => admin.put(&membership, json!({ "roles": ["viewer"] })).await,
            _ => {
                let close = format!("/api/v1/orgs/{org_id}/close");
                admin.post(&close, json!({ "reason": "test" })).await
            }
        };
        assert!(done.status.is_success(), "{how}: {}", done.text);
        let answer = program.get(NODES).await;
        assert_eq!(answer.error(), "unauthorized", "{how}: {}", answer.text);
        // What was taken away does not come back with the rights.
        let back = match how {
            "disabled" => admin.patch(&user, json!({ "disabled": false })).await,
            "taken out" | "viewer" => {
                admin
                    .put(&membership, json!({ "roles": ["operator"] }))
                    .await
            }
            _ => continue,
        };
        assert!(back.status.is_success(), "{how}: {}", back.text);
        assert_eq!(program.get(NODES).await.error(), "unauthorized", "{how}");
        let listed = admin.get(&format!("{KEYS}?user_id={user_id}")).await;
        assert_eq!(listed.json["items"][0]["state"], "revoked", "{how}");
        let object = format!("object=user:{user_id}&limit=1");
        server.clock.advance(1);
        let _ = audit(&mut admin, &object).await;
    }
    let states = async |browser: &mut Browser| {
        let listed = browser.get(KEYS).await;
        listed.json["items"][0]["state"].clone()
    };
    for (email, state) in [
        ("revoked@example.com", "revoked"),
        ("expired@example.com", "expired"),
        ("closed@example.com", "closed"),
    ] {
        let mut owner = server.sign_in(email).await;
        assert_eq!(states(&mut owner).await, state, "{email}");
    }
}

#[tokio::test]
async fn a_key_keeps_what_its_owner_keeps() {
    let server = Server::start().await;
    let mut admin = admin(&server).await;
    let roles = [Role::Operator, Role::Consumer];
    let mut owner = server.signed_in("o@example.com", &roles).await;
    let user_id = user_id(&mut owner).await;
    let (_, program) = make(&server, &mut owner, wish(&["gateway", "nodes.read"])).await;
    let membership = format!("/api/v1/users/{user_id}/memberships/main");
    let set = admin
        .put(&membership, json!({ "roles": ["consumer"] }))
        .await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let lost = program.get(NODES).await;
    assert_eq!(
        (lost.status, lost.error()),
        (StatusCode::FORBIDDEN, "forbidden")
    );
    assert!(
        lost.text.contains("the owner of this API key"),
        "{}",
        lost.text
    );
    assert_eq!(owner.get(KEYS).await.json["items"][0]["state"], "active");
}

#[tokio::test]
async fn a_key_acts_for_the_organisation_that_it_was_made_for() {
    let server = Server::start().await;
    let mut admin = admin(&server).await;
    let org = admin.post("/api/v1/orgs", json!({ "name": "North" })).await;
    let org_id = org.json["org_id"].as_str().expect("an id").to_owned();
    let mut owner = server.signed_in("o@example.com", &[Role::Operator]).await;
    let user_id = user_id(&mut owner).await;
    let membership = format!("/api/v1/users/{user_id}/memberships/{org_id}");
    let set = admin
        .put(&membership, json!({ "roles": ["operator"] }))
        .await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    let act = json!({ "org_id": org_id });
    assert_eq!(
        owner.post("/api/v1/auth/organisation", act).await.status,
        StatusCode::OK
    );
    let (_, north) = make(&server, &mut owner, wish(&["enrolment.write"])).await;
    // For which one the owner acts later is nothing to the key.
    let act = json!({ "org_id": "main" });
    assert_eq!(
        owner.post("/api/v1/auth/organisation", act).await.status,
        StatusCode::OK
    );
    let (_, main) = make(&server, &mut owner, wish(&["enrolment.write"])).await;
    // An admin's key is an operator's of one organisation.
    let (_, admins) = make(&server, &mut admin, wish(&ALL_SCOPES)).await;
    for (program, label) in [(&north, "north"), (&main, "main"), (&admins, "admins")] {
        let made = program.post(TOKENS, json!({ "label": label })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{label}: {}", made.text);
    }
    let labels = |listed: &Answer| {
        let items = listed.json["items"].as_array().expect("items").iter();
        let mut labels: Vec<String> = items
            .map(|item| item["label"].as_str().expect("a label").to_owned())
            .collect();
        labels.sort();
        labels
    };
    assert_eq!(labels(&owner.get(TOKENS).await), ["admins", "main"]);
    let act = json!({ "org_id": org_id });
    assert_eq!(
        owner.post("/api/v1/auth/organisation", act).await.status,
        StatusCode::OK
    );
    assert_eq!(labels(&owner.get(TOKENS).await), ["north"]);
    let keys = owner.get(KEYS).await;
    let names: Vec<&Value> = keys.json["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|key| &key["org_name"])
        .collect();
    assert!(
        names.contains(&&json!("North")) && names.contains(&&json!("main")),
        "{names:?}"
    );
}

#[tokio::test]
async fn what_a_key_makes_is_its_owners_and_ends_with_the_key() {
    let (server, mut owner, id, program) = with_key(&["enrolment.write"]).await;
    let mut admin = admin(&server).await;
    let user_id = user_id(&mut owner).await;
    let made = program.post(TOKENS, json!({ "label": "by a key" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let by_hand = owner.post(TOKENS, json!({ "label": "by hand" })).await;
    assert_eq!(by_hand.status, StatusCode::CREATED);
    let token_id = made.json["id"].as_str().expect("an id");
    assert_eq!(made.json["created_by"], format!("user:{user_id}"));
    let row = &audit(&mut admin, &format!("object=enrolment_token:{token_id}")).await[0];
    assert_eq!(row["actor"], format!("key:{id}"));
    assert_eq!(row["action"], "enrolment_token.create");
    let owner_of = &row["after"]["created_by"];
    assert_eq!(owner_of, &json!(format!("user:{user_id}")), "{row}");

    server.clock.advance(1);
    assert_eq!(owner.delete(&at(&id)).await.status, StatusCode::NO_CONTENT);
    // Twice is no fault, and one row.
    assert_eq!(owner.delete(&at(&id)).await.status, StatusCode::NO_CONTENT);
    let tokens = owner.get(TOKENS).await;
    for token in tokens.json["items"].as_array().expect("items") {
        let is_revoked = token["revoked_at"].is_string();
        assert_eq!(is_revoked, token["label"] == "by a key", "{token}");
    }
    let rows = audit(&mut admin, &format!("object=key:{id}")).await;
    let actions: Vec<&Value> = rows.iter().map(|row| &row["action"]).collect();
    assert_eq!(actions, ["key.revoke", "key.create"]);
    assert_eq!(rows[0]["before"]["is_revoked"], false);
    assert_eq!(rows[0]["after"]["is_revoked"], true);
    assert_eq!(rows[0]["after"]["ended"]["enrolment_tokens"], 1);
    assert_eq!(rows[1]["after"]["scopes"], "enrolment.write");
    assert_eq!(rows[1]["actor"], format!("user:{user_id}"));
    let all = admin.get("/api/v1/audit?limit=200").await;
    assert!(
        !all.text.contains(&program.key[26..40]),
        "no secret in the log"
    );
}

#[tokio::test]
async fn a_key_outlasts_the_password_and_the_sign_in_that_made_it() {
    let (server, mut owner, _, program) = with_key(&["nodes.read"]).await;
    let changed = json!({ "current": PASSWORD, "password": "another long password" });
    let set = owner.put("/api/v1/users/me/password", changed).await;
    assert_eq!(set.status, StatusCode::NO_CONTENT, "{}", set.text);
    let out = owner.post("/api/v1/auth/logout", Value::Null).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert_eq!(program.get(NODES).await.status, StatusCode::OK);
    drop(server);
}
