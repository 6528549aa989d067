//! How whoever calls proves who they are: the schemes, and which of them each operation takes.

use crate::http::{csrf, keys};
use dgon_protocol::auth::{HEADER_AUTH, HEADER_NODE_ID, HEADER_NONCE, HEADER_TIMESTAMP};
use http::Method;
use utoipa::openapi::Components;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

const SESSION: &str = "session";
const CSRF: &str = "csrf";
const KEY: &str = "key";
const NODE: [(&str, &str, &str); 4] = [
    ("node_id", HEADER_NODE_ID, "Which node."),
    (
        "node_ts",
        HEADER_TIMESTAMP,
        "Unix seconds, ten digits, within 120 s of the server's clock.",
    ),
    (
        "node_nonce",
        HEADER_NONCE,
        "22 to 128 of A-Z a-z 0-9 _ -, new with each request; for v2.",
    ),
    (
        "node_auth",
        HEADER_AUTH,
        "`v2=` and hex HMAC-SHA256 under the node's secret of `DGON-HMAC-V2`, method, path with query, timestamp, nonce and hex \
         SHA-256 of the body, a line feed between them. The posts of heartbeats and receipts take v1 as well: hex HMAC-SHA256 of \
         the body and the timestamp, without a nonce.",
    ),
];
/// Posts of third-party agents, which may leave the nonce out.
const V1_TOO: [&str; 2] = ["/api/v1/nodes/heartbeat", "/api/v1/receipts"];

/// Declares the schemes.
pub(super) fn add_schemes(components: &mut Components) {
    let header = |name: &str, meaning: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, meaning)))
    };
    let cookie = ApiKeyValue::with_description(
        "dgon_access",
        "Session cookie of a person; over HTTPS its name begins with `__Host-`.",
    );
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    components.add_security_scheme(
        CSRF,
        header(
            csrf::HEADER.as_str(),
            "`csrf_token` of GET /api/v1/users/me, with every change of a session.",
        ),
    );
    for (scheme, name, meaning) in NODE {
        components.add_security_scheme(scheme, header(name, meaning));
    }
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "API key of a program, in the header authorization: Bearer dgon_sk_live_…. An operation that takes one \
             names the scope that it needs; all others take a person.",
        ));
    components.add_security_scheme(KEY, SecurityScheme::Http(key.build()));
}

fn named(name: &str) -> SecurityRequirement {
    SecurityRequirement::new(name, [] as [&str; 0])
}

/// Says which an operation takes: a session where its handler names none, with its token where it changes something, and the
/// scope of a key.
pub(super) fn add(method: &Method, path: &str, operation: &mut Operation) {
    let needed = operation
        .security
        .get_or_insert_with(|| vec![named(SESSION)]);
    if csrf::changes(method) {
        for requirement in needed.iter_mut().filter(|one| **one == named(SESSION)) {
            *requirement = named(SESSION).add(CSRF, [] as [&str; 0]);
        }
    }
    if let Some(scope) = keys::scope_of(method, path) {
        needed.push(SecurityRequirement::new(KEY, [scope.as_str()]));
    }
}

/// Whether somebody who has proven nothing may call it.
pub(super) fn is_open(operation: &Operation) -> bool {
    let needed = operation.security.iter().flatten();
    needed
        .into_iter()
        .any(|one| *one == SecurityRequirement::default())
}

/// The headers of a node.
pub(super) fn of_node(path: &str, operation: &mut Operation) {
    let all = |names: &[&str]| {
        let none = SecurityRequirement::default();
        names
            .iter()
            .fold(none, |needed, name| needed.add(*name, [] as [&str; 0]))
    };
    let mut needed = vec![all(&NODE.map(|(scheme, _, _)| scheme))];
    if V1_TOO.contains(&path) {
        needed.push(all(&["node_id", "node_ts", "node_auth"]));
    }
    operation.security = Some(needed);
}
