//! The OpenAPI document, put together from the handlers' annotations.
//!
//! It is served, printed by `dgon-control-plane openapi`, and committed as `control-plane/openapi.json`; tests
//! compare the three and call every route in it.

use super::{account, admin, downloads, health, keys, metrics, node, query};
use axum::Json;
use dgon_protocol::error::ErrorType;
use http::Method;
use serde::Serialize;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, RefOr, ResponseBuilder, Type};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

#[derive(OpenApi)]
#[openapi(
    info(title = "DGON control plane", description = "HTTP API of the control plane. Errors have one shape, \
        `ErrorBody`; lists are paged by cursor; times are RFC 3339 UTC; unknown is null.",
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
    security(("session" = [])),
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

/// The body of every error.
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What happened, what it means and what to do.
#[derive(Serialize, ToSchema)]
pub struct ErrorDetail {
    /// One of a closed list.
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// A sentence for a person.
    pub message: String,
    /// The id under which the server logged this request.
    pub request_id: String,
    /// Facts for a program.
    pub details: serde_json::Map<String, serde_json::Value>,
}

/// The closed list of error types.
#[derive(Serialize)]
pub struct ErrorKind;

impl PartialSchema for ErrorKind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The closed list of error types."))
            .enum_values(Some(ErrorType::ALL.iter().map(|kind| kind.as_str())))
            .into()
    }
}

impl ToSchema for ErrorKind {
    fn name() -> std::borrow::Cow<'static, str> {
        "ErrorType".into()
    }
}

/// Adds what holds for all operations: how to authenticate, and the error body.
struct Finish;

impl Modify for Finish {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_default();
        let header = |name: &str, meaning: &str| {
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, meaning)))
        };
        components.add_security_scheme(
            "session",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                "dgon_access",
                "Session cookie of a person. Changes also need the header x-csrf-token.",
            ))),
        );
        components.add_security_scheme(
            "node",
            header(
                "x-node-auth",
                "HMAC of a node, with x-node-id, x-node-ts and x-node-nonce.",
            ),
        );
        components.add_security_scheme(
            "key",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "API key of a program, in the header authorization: Bearer dgon_sk_live_…. An operation that takes one \
                         names the scope that it needs; all others take a person.",
                    ))
                    .build(),
            ),
        );
        for (path, item) in &mut api.paths.paths {
            for (method, operation) in operations(item) {
                if path.starts_with("/api/") {
                    add_limits(operation);
                }
                if let Some(scope) = keys::scope_of(&method, path) {
                    operation.security = Some(vec![
                        SecurityRequirement::new("session", [] as [&str; 0]),
                        SecurityRequirement::new("key", [scope.as_str()]),
                    ]);
                }
                let error = utoipa::openapi::Ref::from_schema_name("ErrorBody");
                let response = ResponseBuilder::new()
                    .description("The request was refused or failed.")
                    .content("application/json", Content::new(Some(error)))
                    .build();
                operation
                    .responses
                    .responses
                    .entry("default".to_owned())
                    .or_insert_with(|| response.into());
            }
        }
    }
}

/// What every operation of the API may answer when too much is asked of it.
const TOO_MUCH: [(&str, &str); 2] = [
    (
        "429",
        "rate_limited: who asks did so too often; ask again after Retry-After.",
    ),
    (
        "503",
        "unavailable: there is no answer now; ask again after Retry-After.",
    ),
];

fn add_limits(operation: &mut Operation) {
    for (status, description) in TOO_MUCH {
        let error = utoipa::openapi::Ref::from_schema_name("ErrorBody");
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", Content::new(Some(error)));
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_owned())
            .or_insert_with(|| response.build().into());
    }
}

/// The document.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut nodes = node::NodeApi::openapi();
    for (path, item) in &mut nodes.paths.paths {
        // A token enrols; everything else proves the node's secret.
        let needed = match path.starts_with("/api/v1/nodes/register") {
            true => SecurityRequirement::default(),
            false => SecurityRequirement::new("node", [] as [&str; 0]),
        };
        for (_, operation) in operations(item) {
            operation.security = Some(vec![needed.clone()]);
            operation.tags = Some(vec!["node".to_owned()]);
        }
    }
    let mut api = Api::openapi();
    api.merge(nodes);
    Finish.modify(&mut api);
    api
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

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operations", security(()),
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)))]
pub async fn openapi_json() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
