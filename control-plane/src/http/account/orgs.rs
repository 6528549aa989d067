//! Organisations as admins have them.

use crate::accounts::{Person, Role};
use crate::app::views::{Page, time};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path, Query};
use crate::http::paging::{PageParams, cursor};
use crate::http::reason;
use crate::http::state::HttpState;
use axum::extract::State;
use dgon_control_plane_store::orgs::Org;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrgView {
    /// Identity.
    pub org_id: String,
    /// What it is called.
    pub name: String,
    /// When it was made.
    pub created_at: String,
    /// When it was closed; `null` while it is open.
    pub closed_at: Option<String>,
    /// People in it.
    pub members: i64,
    /// Its nodes that are not retired.
    pub nodes: i64,
}

/// What an organisation is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgRequest {
    /// 1 to 64 characters, no other organisation's.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
}

/// Why an organisation is closed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgCloseRequest {
    /// 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

impl From<Org> for OrgView {
    fn from(org: Org) -> Self {
        Self {
            org_id: org.org_id,
            name: org.name,
            created_at: time(org.created_at_ms),
            closed_at: org.closed_at_ms.map(time),
            members: org.members,
            nodes: org.nodes,
        }
    }
}

/// Organisations, the newest first.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`.
#[utoipa::path(get, path = "/api/v1/orgs", tag = "admin", params(PageParams),
    responses((status = 200, description = "A page of organisations.", body = Page<OrgView>)))]
pub async fn org_list(
    State(state): State<HttpState>,
    actor: Actor,
    Query(page): Query<PageParams>,
) -> Result<axum::Json<Page<OrgView>>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let before: Option<(i64, String)> = page.place()?;
    let before = before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
    let limit = page.rows();
    let page = state.accounts.org_list(person, before, limit).await?;
    Ok(axum::Json(Page {
        items: page.items.into_iter().map(OrgView::from).collect(),
        next_cursor: page.next.map(cursor),
        total: None,
    }))
}

/// Makes an organisation.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`, `conflict` for a name that another one has.
#[utoipa::path(post, path = "/api/v1/orgs", tag = "admin", request_body = OrgRequest,
    responses((status = 201, description = "The organisation.", body = OrgView)))]
pub async fn org_create(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<OrgRequest>,
) -> Result<(StatusCode, axum::Json<OrgView>), ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let made = state
        .accounts
        .org_create(person, &body.name, &caller.origin);
    let org_id = made.await?;
    Ok((StatusCode::CREATED, org(&state, person, &org_id).await?))
}

/// Gives an organisation another name.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `invalid_request`, `conflict` for a name that another one has.
#[utoipa::path(patch, path = "/api/v1/orgs/{org_id}", tag = "admin", request_body = OrgRequest,
    params(("org_id" = String, Path, description = "Identity of the organisation.")),
    responses((status = 200, description = "The organisation.", body = OrgView)))]
pub async fn org_rename(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(org_id): Path<String>,
    Json(body): Json<OrgRequest>,
) -> Result<axum::Json<OrgView>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    state
        .accounts
        .org_rename(person, &org_id, &body.name, &caller.origin)
        .await?;
    org(&state, person, &org_id).await
}

/// Closes an organisation that has no nodes, for good: nobody can act for it, and its enrolment tokens stop to work.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `invalid_request`, `conflict` while it has nodes and for the network's own.
#[utoipa::path(post, path = "/api/v1/orgs/{org_id}/close", tag = "admin", request_body = OrgCloseRequest,
    params(("org_id" = String, Path, description = "Identity of the organisation.")),
    responses((status = 200, description = "The organisation.", body = OrgView)))]
pub async fn org_close(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(org_id): Path<String>,
    Json(body): Json<OrgCloseRequest>,
) -> Result<axum::Json<OrgView>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = reason::required(&body.reason)?;
    state
        .accounts
        .org_close(person, &org_id, reason, &caller.origin)
        .await?;
    org(&state, person, &org_id).await
}

async fn org(
    state: &HttpState,
    person: &Person,
    org_id: &str,
) -> Result<axum::Json<OrgView>, ApiError> {
    let org = state.accounts.org(person, org_id).await?;
    Ok(axum::Json(org.into()))
}
