//! The OpenAPI document, put together from the handlers' annotations.
//!
//! It is served, printed by `dgon-control-plane openapi`, and committed as `control-plane/openapi.json`; tests
//! compare the three and call every route in it.

mod bounds;
mod security;
mod sockets;
mod statuses;

use super::{account, admin, downloads, health, metrics, node, query};
use axum::Json;
use dgon_protocol::error::ErrorBody;
use http::Method;
use statuses::{Class, Who};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::{Modify, OpenApi, ToSchema};

/// What marks the operations of nodes.
const NODE_TAG: &str = "node";

#[derive(OpenApi)]
#[openapi(
    info(title = "DGON control plane", description = "HTTP API of the control plane. Errors have one shape, \
        `ErrorBody`; lists are paged by cursor; times are RFC 3339 UTC; unknown is null. A method that an address does not take \
        is answered 405.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        account::sign_in::auth_state,
        account::sign_in::auth_setup,
        account::sign_in::auth_redeem,
        account::sign_in::auth_login,
        account::sign_in::auth_refresh,
        account::sign_in::auth_logout,
        account::me::user_me,
        account::me::auth_organisation,
        account::me::password_set,
        account::wallets::auth_nonce,
        account::sign_in::auth_register,
        account::own_data::user_export,
        account::own_data::user_delete,
        account::wallets::auth_wallet,
        account::second_factor::auth_second_factor,
        account::second_factor::second_factor_offer,
        account::second_factor::second_factor_set,
        account::second_factor::recovery_codes_renew,
        account::second_factor::second_factor_remove,
        account::second_factor::second_factor_reset,
        account::wallets::wallet_list,
        account::wallets::wallet_link,
        account::wallets::wallet_unlink,
        account::oidc::auth_oidc_start,
        account::oidc::auth_oidc_callback,
        account::oidc::identity_list,
        account::oidc::identity_unlink,
        account::users::user_list,
        account::users::user_detail,
        account::users::user_create,
        account::users::user_link,
        account::users::user_change,
        account::users::membership_set,
        account::users::membership_remove,
        account::orgs::org_list,
        account::orgs::org_create,
        account::orgs::org_rename,
        account::orgs::org_close,
        account::sessions::session_list,
        account::sessions::session_revoke,
        account::sessions::session_revoke_others,
        account::api_keys::api_key_list,
        account::api_keys::api_key_create,
        account::api_keys::api_key_revoke,
        account::flags::flag_list,
        account::flags::flag_set,
        account::tokens::enrolment_token_create,
        account::tokens::enrolment_token_list,
        account::tokens::enrolment_token_revoke,
        query::summary::summary,
        query::summary::trends,
        query::regions::regions,
        query::nodes::node_list,
        query::nodes::node_detail,
        query::nodes::node_keys,
        query::order_keys::order_key_list,
        query::receipts::receipt_list,
        query::receipts::receipt_aggregate,
        query::receipts::receipt_detail,
        query::receipts::receipt_raw,
        query::audit::audit_list,
        query::audit::audit_csv,
        query::live::live,
        admin::agent_yaml::agent_yaml,
        admin::node_actions::node_action,
        admin::pools::pool_list,
        admin::pools::pool_detail,
        admin::pools::pool_create,
        admin::pools::pool_change,
        admin::pools::pool_node,
        admin::pools::pool_member,
        admin::assignments::node_assign,
        admin::assignments::assignment_list,
        downloads::files::download_list,
        downloads::files::download,
        downloads::script::install_script,
        health::healthz,
        health::readyz,
        metrics::metrics_text,
        openapi_json,
    ),
    components(schemas(ErrorBody, account::api_keys::ApiKeyScope)),
    tags(
        (name = "people", description = "Sign-in, sessions, one's own password, wallets and accounts at issuers."),
        (name = "keys", description = "Keys with which programs act for a person."),
        (name = "network", description = "The network in numbers."),
        (name = "nodes", description = "Nodes as people see them."),
        (name = "pools", description = "Private pools: nodes that an organisation keeps to itself and to those that are admitted."),
        (name = "receipts", description = "Receipts and their proofs."),
        (name = "enrolment", description = "Making nodes part of the network."),
        (name = "node", description = "What agents call; authenticated by the node headers."),
        (name = "admin", description = "People, organisations and settings of the network."),
        (name = "operations", description = "For those who run the control plane."),
    ),
)]
struct Api;

/// Adds what holds for all operations: how to prove who one is, which errors there may be, bounds of numbers, frames of sockets.
struct Finish;

impl Modify for Finish {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        security::add_schemes(components);
        sockets::add_frames(components);
        for (path, item) in &mut api.paths.paths {
            for (method, operation) in operations(item) {
                security::add(&method, path, operation);
                let class = Class {
                    method: &method,
                    path,
                    who: who(operation),
                };
                statuses::add(&class, operation);
                sockets::describe(path, operation);
                bounds::add_to_parameters(operation);
            }
        }
        bounds::add(api);
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut nodes = node::NodeApi::openapi();
    for (path, item) in &mut nodes.paths.paths {
        for (_, operation) in operations(item) {
            // A token enrols; everything else proves the node's secret.
            match path.starts_with("/api/v1/nodes/register") {
                true => operation.security = Some(vec![SecurityRequirement::default()]),
                false => security::of_node(path, operation),
            }
            operation.tags = Some(vec![NODE_TAG.to_owned()]);
        }
    }
    let mut api = Api::openapi();
    api.merge(nodes);
    Finish.modify(&mut api);
    api
}

/// Who calls an operation.
fn who(operation: &Operation) -> Who {
    let is_nodes = operation.tags.iter().flatten().any(|tag| tag == NODE_TAG);
    match (is_nodes, security::is_open(operation)) {
        (true, true) => Who::NewNode,
        (true, false) => Who::Node,
        (false, true) => Who::Anybody,
        (false, false) => Who::Person,
    }
}

/// The operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The document as it is committed: pretty JSON with a newline at its end.
///
/// # Errors
/// When serialising fails, which would be a fault of this program.
pub fn document_text() -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&document())? + "\n")
}

/// A document of OpenAPI, as far as it tells what it is.
#[derive(ToSchema)]
#[schema(as = OpenApiDocument)]
#[allow(dead_code, reason = "describes what another crate serialises")]
struct Document {
    /// Version of OpenAPI.
    #[schema(pattern = "^3[.]1[.]")]
    openapi: String,
    /// Title, version, licence.
    info: serde_json::Map<String, serde_json::Value>,
    /// Operations by path.
    paths: serde_json::Map<String, serde_json::Value>,
    /// What operations refer to.
    components: serde_json::Map<String, serde_json::Value>,
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Document)))]
pub async fn openapi_json() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
