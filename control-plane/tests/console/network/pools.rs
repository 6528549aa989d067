//! What nodes in private pools served: nobody reads their receipts by an id but who owns them, and no socket tells of them.

use super::{Network, OWN_ORG, on_both, vary};
use crate::server::Who;
use dgon_control_plane::accounts::Role;
use reqwest::Method;
use serde_json::{Value, json};

const NODE: &str = "rig-private";

async fn flag(network: &Network, admin: &Who, name: &str) {
    let body = json!({ "enabled": true });
    let path = format!("/flags/{name}");
    network.console.put(admin, &path, &body).await;
}

async fn change(network: &Network, admin: &Who, method: Method, path: &str, body: Value) -> Value {
    let answer = network.console.ask(method, admin, path, &body).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.json());
    answer.json()
}

#[tokio::test]
async fn receipts_of_a_private_node_are_on_no_public_page() {
    on_both(|mut network| async move {
        let at = network.join(NODE, "eu-west", Some(OWN_ORG)).await;
        let beside = network.join("rig-beside", "eu-west", Some("others")).await;
        network.activate(at).await;
        network.activate(beside).await;
        network.send(at, |draft| vary(draft, 0)).await;
        let private = network.sent[0].draft.request_id.to_string();
        // The same id on a node that is everybody's to see.
        let same = network.sent[0].draft.request_id.clone();
        network.send(beside, |draft| draft.request_id = same).await;
        network.send(at, |draft| vary(draft, 1)).await;
        let alone = network.sent[0].draft.request_id.to_string();
        let admin = network.console.sign_in(Role::Admin).await;
        for name in ["enable_private_pools", "public_receipts"] {
            flag(&network, &admin, name).await;
        }
        let console = &network.console;
        let theirs = console
            .sign_in_to("others", "their-operator", Role::Operator)
            .await;
        let viewer = console.sign_in(Role::Viewer).await;
        let status = async |who: &Who, path: &str| console.get(who, path).await.status.as_u16();
        let nobody = Who(None);
        let paths = [
            format!("/receipts/{alone}"),
            format!("/receipts/{alone}/raw"),
        ];
        for path in &paths {
            assert_eq!(status(&nobody, path).await, 200);
        }
        // Two nodes used the id, as long as both are everybody's.
        assert_eq!(status(&nobody, &format!("/receipts/{private}")).await, 409);

        let wish = json!({ "org_id": OWN_ORG, "name": "dark" });
        let pool = change(&network, &admin, Method::POST, "/pools", wish).await;
        let pool_id = pool["pool_id"].as_str().expect("an id").to_owned();
        let put = json!({ "node_id": NODE, "in_pool": true });
        change(
            &network,
            &admin,
            Method::POST,
            &format!("/pools/{pool_id}/nodes"),
            put,
        )
        .await;
        for who in [&nobody, &theirs, &viewer] {
            for path in &paths {
                assert_eq!(status(who, path).await, 404, "{path}");
            }
        }
        for path in &paths {
            assert_eq!(status(&admin, path).await, 200);
        }
        // What is left of the id is the other node's, and the private one is not named.
        let found = console.read(&nobody, &format!("/receipts/{private}")).await;
        assert_eq!(found["receipt"]["node_id"], "rig-beside", "{found}");
        // Where the pool is listed they are told that there is something.
        let listed = json!({ "existence": "listed" });
        change(
            &network,
            &admin,
            Method::PATCH,
            &format!("/pools/{pool_id}"),
            listed,
        )
        .await;
        for who in [&nobody, &theirs, &viewer] {
            for path in &paths {
                let answer = console.get(who, path).await;
                assert_eq!(answer.status.as_u16(), 403, "{path}");
                let error = &answer.json()["error"];
                assert_eq!(error["details"]["restricted_to"], "pool members");
            }
            assert_eq!(status(who, "/receipts/r-none").await, 404);
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_enrols_into_a_pool_and_leaves_it_where_it_is_passed_on() {
    on_both(|mut network| async move {
        let _ = network.server.token_of(Some("others"), 1).await;
        let admin = network.console.sign_in(Role::Admin).await;
        flag(&network, &admin, "enable_private_pools").await;
        let wish = json!({ "org_id": OWN_ORG, "name": "dark" });
        let pool = change(&network, &admin, Method::POST, "/pools", wish).await;
        let body = json!({ "pool_id": pool["pool_id"] });
        let token = change(&network, &admin, Method::POST, "/enrolment-tokens", body).await;
        let token = token["token"].as_str().expect("a token").to_owned();
        network.join_with(NODE, None, &token).await;
        let (nobody, node) = (Who(None), format!("/nodes/{NODE}"));
        assert_eq!(network.console.get(&nobody, &node).await.status, 404);
        let list = network.console.read(&nobody, "/nodes").await;
        assert_eq!((&list["items"], &list["total"]), (&json!([]), &json!(0)));
        let detail = network.console.read(&admin, &node).await;
        assert_eq!(detail["pool"]["name"], "dark");
        // The network's sums have it: they say how much there is, and not what.
        let regions = network.console.read(&nobody, "/summary").await;
        assert_eq!(regions["nodes"]["pending"], 1, "{regions}");
        let body = json!({ "action": "transfer", "org_id": "others", "reason": "sold" });
        change(
            &network,
            &admin,
            Method::POST,
            &format!("{node}/actions"),
            body,
        )
        .await;
        let detail = network.console.read(&admin, &node).await;
        assert_eq!(
            (&detail["pool"], &detail["org_id"]),
            (&Value::Null, &json!("others"))
        );
        let log = network
            .console
            .read(&admin, "/audit?action=node.transfer")
            .await;
        assert_eq!(log["items"][0]["before"]["pool_id"], pool["pool_id"]);
        assert_eq!(network.console.get(&nobody, &node).await.status, 200);
    })
    .await;
}
