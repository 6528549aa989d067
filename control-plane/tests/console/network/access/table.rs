//! What each route is called with. A route that has no more than the parameters below and no body needs no entry.

use super::caller::Caller;
use super::seen::NODE;
use super::world::{IDENTITY, ISSUER, OTHER_ORG, OWN, SPARE, SPARE_KEY, SPARE_ORG, WALLET, World};
use crate::network::OWN_ORG;
use dgon_control_plane::http::openapi::document;
use dgon_protocol::frame::{LINK_PATH, SUBPROTOCOL};
use dgon_testkit::fleet::{SimAgent, unix_now};
use serde_json::{Value, json};
use std::fmt;

/// A package that the server offers.
pub(super) const PACKAGE: &str = "dgon-agent_1.2.3_amd64.deb";
/// A flag that changes nothing, so that setting it does not disturb the sweep.
const FLAG: &str = "show_jtvo_estimates";

/// Addresses that the document leaves out.
const BESIDE: [(&str, &str); 2] = [("GET", "/api/v1/nowhere"), ("GET", "/v1/models")];
const ACTIONS: &str = "/api/v1/nodes/{node_id}/actions";

/// A route, and which of the things that it does.
pub(super) struct Route {
    pub(super) method: String,
    pub(super) path: String,
    action: &'static str,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            path,
            action,
        } = self;
        write!(f, "{method} {path}")?;
        if action.is_empty() {
            return Ok(());
        }
        write!(f, " {action}")
    }
}

/// Every route of the document, and what lies beside it.
pub(super) fn routes() -> Vec<Route> {
    let api = serde_json::to_value(document()).expect("document");
    let mut found: Vec<(String, String)> = BESIDE
        .map(|(method, path)| (path.to_owned(), method.to_owned()))
        .into();
    for (path, item) in api["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("path item").keys();
        found.extend(methods.map(|method| (path.clone(), method.to_uppercase())));
    }
    found.sort();
    let of = |(path, method): &(String, String), action| Route {
        method: method.clone(),
        path: path.clone(),
        action,
    };
    found
        .iter()
        .flat_map(|at| match at.0.as_str() {
            // In this order one spare node goes through all of them.
            ACTIONS => ["refresh", "quarantine", "clear", "transfer", "retire"]
                .map(|action| of(at, action))
                .into(),
            _ => vec![of(at, "")],
        })
        .collect()
}

/// One call.
pub(super) struct Ask {
    /// Path and query.
    pub(super) address: String,
    pub(super) body: Vec<u8>,
    /// The subprotocol of a WebSocket.
    pub(super) upgrade: Option<&'static str>,
    /// With a session of its own, which it ends or changes.
    pub(super) signs_in_anew: bool,
    /// As this node, where a node calls: for what would change the one that the sweep looks at.
    pub(super) node: Option<usize>,
}

/// What this caller sends to this route: A's objects, but spare ones of A's where the caller may change them.
pub(super) fn ask(world: &mut World, caller: Caller, route: &Route) -> Ask {
    let of_a = &world.network.agents[OWN].0;
    let copy = || SimAgent::restore(&of_a.save()).expect("a copy");
    let (mut node_id, mut token, mut node) = (NODE.to_owned(), world.token.clone(), None);
    let mut key = world.own_keys[0].clone();
    // A person of A and their organisation; the admin's changes are of another's person, and of what is nobody's.
    let (user_id, org_id) = match caller {
        Caller::Admin if route.path.starts_with("/api/v1/orgs") => (String::new(), SPARE_ORG),
        Caller::Admin if route.method != "GET" => (Caller::OtherOperator.user_id(), OTHER_ORG),
        _ => (Caller::OwnOperator.user_id(), OWN_ORG),
    };
    let body = match (route.method.as_str(), route.path.as_str()) {
        ("GET", _) => Value::Null,
        ("POST", "/api/v1/auth/login") => {
            json!({ "email": Caller::OwnOperator.email(), "password": "not the password" })
        }
        ("POST", "/api/v1/auth/setup") => {
            json!({ "token": "x", "email": "a@example.com", "password": "long enough" })
        }
        ("POST", "/api/v1/auth/register") => {
            json!({ "email": "a@example.com", "password": "long enough", "organisation": "A" })
        }
        // Its own account is not deleted by the sweep: the address is another's.
        ("DELETE", "/api/v1/users/me") => json!({ "email": "another@example.com" }),
        ("POST", "/api/v1/auth/redeem") => json!({ "token": "x" }),
        ("POST", "/api/v1/auth/second-factor") => json!({ "code": "000000" }),
        ("PUT", "/api/v1/users/me/second-factor") => json!({ "sealed": "x", "code": "000000" }),
        ("POST", "/api/v1/users/me/second-factor/offer") => Value::Null,
        (
            "POST",
            "/api/v1/users/me/second-factor/recovery-codes"
            | "/api/v1/users/me/second-factor/remove",
        ) => json!({ "code": "000000" }),
        ("POST", "/api/v1/auth/logout" | "/api/v1/auth/refresh") => Value::Null,
        ("POST", "/api/v1/enrolment-tokens") => json!({ "label": "made by the sweep" }),
        ("DELETE", "/api/v1/enrolment-tokens/{id}") => {
            if caller.may_revoke() {
                token = world.spare_tokens.pop().expect("a spare token");
            }
            Value::Null
        }
        ("POST", "/api/v1/api-keys") => {
            json!({ "name": "made by the sweep", "scopes": ["receipts.read"] })
        }
        ("DELETE", "/api/v1/api-keys/{id}") => {
            if caller.may_revoke() {
                key = world.own_keys.pop().expect("a spare key");
            }
            Value::Null
        }
        ("DELETE", "/api/v1/sessions" | "/api/v1/sessions/{id}") => Value::Null,
        ("POST", "/api/v1/auth/organisation") => json!({ "org_id": OWN_ORG }),
        ("POST", "/api/v1/auth/nonce") => {
            json!({ "purpose": "sign_in", "kind": "evm", "address": WALLET })
        }
        ("POST", "/api/v1/auth/wallet" | "/api/v1/wallets") => json!({ "signature": "0x" }),
        ("DELETE", "/api/v1/wallets/{kind}/{address}" | "/api/v1/identities/{id}") => Value::Null,
        ("POST", "/api/v1/auth/oidc/{issuer}/start") => json!({ "purpose": "link" }),
        ("PUT", "/api/v1/users/me/password") => json!({ "password": "a password of the sweep" }),
        ("POST", "/api/v1/users") => {
            json!({ "email": "made.by.the.sweep@example.org", "roles": ["viewer"] })
        }
        ("PATCH", "/api/v1/users/{user_id}") => json!({ "disabled": true, "reason": "the sweep" }),
        ("POST", "/api/v1/users/{user_id}/sign-in-link") => Value::Null,
        ("POST", "/api/v1/users/{user_id}/reset-second-factor") => json!({ "reason": "the sweep" }),
        ("PUT", "/api/v1/users/{user_id}/memberships/{org_id}") => json!({ "roles": ["viewer"] }),
        ("DELETE", "/api/v1/users/{user_id}/memberships/{org_id}") => Value::Null,
        ("POST", "/api/v1/orgs") => json!({ "name": "made by the sweep" }),
        ("PATCH", "/api/v1/orgs/{org_id}") => json!({ "name": "named by the sweep" }),
        ("POST", "/api/v1/orgs/{org_id}/close") => json!({ "reason": "the sweep" }),
        ("PUT", "/api/v1/flags/{name}") => json!({ "enabled": false }),
        ("POST", ACTIONS) => {
            if caller == Caller::Admin && route.action != "refresh" {
                node_id = world.network.agents[SPARE].0.node_id.to_string();
            }
            match route.action {
                "transfer" => {
                    json!({ "action": "transfer", "reason": "the sweep", "org_id": OTHER_ORG })
                }
                action => json!({ "action": action, "reason": "the sweep" }),
            }
        }
        ("POST", "/api/v1/nodes/{node_id}/assign") => {
            if caller == Caller::Admin {
                node_id = world.network.agents[SPARE_KEY].0.node_id.to_string();
            }
            json!({ "user_id": Caller::OwnOperator.user_id(), "assigned": true })
        }
        ("POST", "/api/v1/pools") => {
            json!({ "org_id": OTHER_ORG, "name": "made-by-the-sweep" })
        }
        ("PATCH", "/api/v1/pools/{pool_id}") => json!({ "existence": "hidden" }),
        ("POST", "/api/v1/pools/{pool_id}/nodes") => {
            if caller == Caller::Admin {
                node_id = world.network.agents[SPARE_KEY].0.node_id.to_string();
            }
            json!({ "node_id": node_id, "in_pool": true })
        }
        ("POST", "/api/v1/pools/{pool_id}/members") => {
            json!({ "org_id": OTHER_ORG, "admitted": true })
        }
        ("POST", "/api/v1/nodes/heartbeat") => {
            let metrics = json!({ "uptime_s": 1, "gpu_util": 0.5 });
            json!({ "node_id": NODE, "metrics": metrics, "ts": unix_now().as_secs() })
        }
        ("POST", "/api/v1/nodes/key/close") => json!(copy().closing()),
        ("POST", "/api/v1/nodes/key/rotate") if caller == Caller::OwnNode => {
            node = Some(SPARE_KEY);
            let spare = world.network.agents[SPARE_KEY].0.rotate();
            json!(spare.expect("a rotation"))
        }
        ("POST", "/api/v1/nodes/key/rotate") => json!(copy().rotate().expect("a rotation")),
        ("POST", "/api/v1/nodes/register" | "/api/v1/nodes/register/nonce") => json!({}),
        ("POST", "/api/v1/receipts") => {
            let receipt = copy().next_receipt().expect("a receipt");
            serde_json::from_str(receipt.text()).expect("a receipt")
        }
        _ => panic!(
            "{route} takes a body, or changes something: say here what it is called with, and which object the caller \
             who may do it gets"
        ),
    };
    let filled = route.path.split('/').map(|part| match part {
        "{node_id}" => node_id.as_str(),
        "{user_id}" => user_id.as_str(),
        "{org_id}" => org_id,
        "{pool_id}" => world.pool.as_str(),
        "{kind}" => "evm",
        "{address}" => WALLET,
        "{request_id}" => world.request_id.as_str(),
        "{id}" if route.path.starts_with("/api/v1/identities") => IDENTITY,
        "{id}" if route.path.starts_with("/api/v1/api-keys") => key.as_str(),
        "{id}" => token.as_str(),
        "{issuer}" => ISSUER,
        "{name}" if route.path.starts_with("/downloads") => PACKAGE,
        "{name}" => FLAG,
        part => {
            assert!(
                !part.contains('{'),
                "{route} has a parameter that is new: say here which object of A's it names"
            );
            part
        }
    });
    Ask {
        address: filled.collect::<Vec<_>>().join("/"),
        body: match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        },
        upgrade: match route.path.as_str() {
            LINK_PATH => Some(SUBPROTOCOL),
            "/api/v1/live" => Some(""),
            _ => None,
        },
        signs_in_anew: matches!(
            route.path.as_str(),
            "/api/v1/auth/logout" | "/api/v1/auth/refresh"
        ),
        node,
    }
}
