//! Private pools: nodes that an organisation keeps to itself, and to those that an admin admits.

use crate::accounts::{PoolChangeWish, PoolWish, PoolWithMembers, Role};
use crate::app::views::{Page, time};
use crate::bus::Event;
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path, Query};
use crate::http::paging::{PageParams, cursor};
use crate::http::query::params;
use crate::http::reason;
use crate::http::state::HttpState;
use axum::extract::State;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::pools::{Pool, PoolFilter, PoolMember};
use dgon_protocol::id::NodeId;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// A private pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolView {
    /// Identity.
    pub pool_id: String,
    /// What it is called: a DNS label, that no other open pool of the organisation has.
    pub name: String,
    /// The organisation that owns it.
    pub org_id: String,
    /// What that is called.
    pub org_name: String,
    /// What is said about it.
    pub labels: BTreeMap<String, String>,
    /// `hidden`: to others nothing of it exists. `listed`: who asks for something of it by name is told that it exists.
    pub existence: String,
    /// When it was made.
    pub created_at: String,
    /// When it was closed; `null` while it is open.
    pub closed_at: Option<String>,
    /// Its nodes that are not retired.
    pub nodes: i64,
    /// Organisations that it admits; `null` for one of these, which is not told of the others.
    pub members: Option<i64>,
}

/// An organisation that a pool admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolMemberView {
    /// Which.
    pub org_id: String,
    /// What it is called.
    pub org_name: String,
    /// Since when.
    pub admitted_at: String,
    /// Who says so: `user:ID`.
    pub admitted_by: String,
    /// Their address, for admins; `null` where it is not told, or they are not known any more.
    pub admitted_by_email: Option<String>,
}

/// A private pool with the organisations that it admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PoolDetail {
    /// The pool.
    #[serde(flatten)]
    pub pool: PoolView,
    /// Organisations beside its own that see its nodes, in the order in which they came; at most 256. One of them is
    /// shown itself alone.
    pub admitted: Vec<PoolMemberView>,
}

/// A new pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolRequest {
    /// The organisation that owns it.
    pub org_id: String,
    /// 1 to 63 small letters, digits and hyphens, none of these at either end.
    pub name: String,
    /// At most 16 pairs. Keys have 1 to 63 small letters, digits, dots, hyphens and slashes, values at most 63 characters.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `hidden` or `listed`; hidden where absent.
    #[serde(default)]
    pub existence: Option<String>,
    /// Why, up to 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What is to be another of a pool; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolChangeRequest {
    /// As of a new pool.
    #[serde(default)]
    pub name: Option<String>,
    /// As of a new pool; in place of all that it has.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// `hidden` or `listed`.
    #[serde(default)]
    pub existence: Option<String>,
    /// `true` closes it for good; nothing else can be changed with it.
    #[serde(default)]
    pub closed: Option<bool>,
    /// Why, up to 500 characters; needed where it is closed.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether a node is in a pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolNodeRequest {
    /// Which: a node of the organisation that owns the pool.
    pub node_id: String,
    /// Whether it is in it.
    pub in_pool: bool,
    /// Why, up to 500 characters; needed where it is taken out, for then everybody may see it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether an organisation is admitted to a pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolMemberRequest {
    /// Which.
    pub org_id: String,
    /// Whether it is admitted.
    pub admitted: bool,
    /// Why, up to 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Which pools.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PoolParams {
    /// A part of the name.
    pub q: Option<String>,
    /// Of this organisation alone.
    pub org: Option<String>,
    /// `true` for those that were closed, and not those that are open.
    pub closed: Option<String>,
}

impl PoolView {
    fn of(pool: Pool, scope: &Scope) -> Self {
        Self {
            labels: pool.labels(),
            members: scope.owns(Some(&pool.org_id)).then_some(pool.members),
            pool_id: pool.pool_id,
            name: pool.name,
            org_id: pool.org_id,
            org_name: pool.org_name,
            existence: pool.existence,
            created_at: time(pool.created_at_ms),
            closed_at: pool.closed_at_ms.map(time),
            nodes: pool.nodes,
        }
    }
}

impl From<PoolMember> for PoolMemberView {
    fn from(member: PoolMember) -> Self {
        Self {
            org_id: member.org_id,
            org_name: member.org_name,
            admitted_at: time(member.admitted_at_ms),
            admitted_by: member.admitted_by,
            admitted_by_email: member.admitted_by_email,
        }
    }
}

/// Whose pools somebody may see.
fn sight(actor: &Actor) -> Result<Scope, ApiError> {
    match actor {
        Actor::Key(key) => Ok(key.pool_scope()),
        Actor::Person(_) | Actor::Anonymous => Ok(actor.person()?.pool_scope()),
    }
}

async fn detail(
    state: &HttpState,
    scope: &Scope,
    pool_id: &str,
) -> Result<axum::Json<PoolDetail>, ApiError> {
    let PoolWithMembers { pool, members } = state.accounts.pool(scope, pool_id).await?;
    Ok(axum::Json(PoolDetail {
        pool: PoolView::of(pool, scope),
        admitted: members.into_iter().map(PoolMemberView::from).collect(),
    }))
}

/// Private pools, the newest first: all for an admin, for others those of the organisation that they act for, and those that
/// admit it.
///
/// # Errors
/// `unauthorized`, `invalid_request`; `conflict` while private pools are off.
#[utoipa::path(get, path = "/api/v1/pools", tag = "pools", params(PoolParams, PageParams),
    responses((status = 200, description = "A page of pools.", body = Page<PoolView>)))]
pub async fn pool_list(
    State(state): State<HttpState>,
    actor: Actor,
    Query(filter): Query<PoolParams>,
    Query(page): Query<PageParams>,
) -> Result<axum::Json<Page<PoolView>>, ApiError> {
    let scope = sight(&actor)?;
    let filter = PoolFilter {
        org_id: params::text("org", filter.org)?,
        name_part: params::search(filter.q)?,
        is_closed: params::flag("closed", filter.closed)?.unwrap_or(false),
    };
    let before: Option<(i64, String)> = page.place()?;
    let before = before.as_ref().map(|(at_ms, id)| (*at_ms, id.as_str()));
    let pools = state
        .accounts
        .pool_list(&scope, &filter, before, page.rows())
        .await?;
    let items = pools.items.into_iter();
    Ok(axum::Json(Page {
        items: items.map(|pool| PoolView::of(pool, &scope)).collect(),
        next_cursor: pools.next.map(cursor),
        total: None,
    }))
}

/// One private pool. Its nodes are those of `GET /nodes?pool=ID`.
///
/// # Errors
/// `unauthorized`, `not_found`; `forbidden` for one that is listed, and is not yours to see; `conflict` while private pools are
/// off.
#[utoipa::path(get, path = "/api/v1/pools/{pool_id}", tag = "pools",
    params(("pool_id" = String, Path, description = "Identity of the pool.")),
    responses((status = 200, description = "The pool.", body = PoolDetail)))]
pub async fn pool_detail(
    State(state): State<HttpState>,
    actor: Actor,
    Path(pool_id): Path<String>,
) -> Result<axum::Json<PoolDetail>, ApiError> {
    detail(&state, &sight(&actor)?, &pool_id).await
}

/// Makes a private pool.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found` for the organisation, `invalid_request`; `conflict` for a name that another open pool
/// of the organisation has, for one that has 64 already, and while private pools are off.
#[utoipa::path(post, path = "/api/v1/pools", tag = "pools", request_body = PoolRequest,
    responses((status = 201, description = "The pool.", body = PoolDetail)))]
pub async fn pool_create(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<PoolRequest>,
) -> Result<(StatusCode, axum::Json<PoolDetail>), ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = reason::optional(body.reason.as_deref())?;
    let wish = PoolWish {
        org_id: body.org_id,
        name: body.name,
        labels: body.labels,
        existence: body.existence,
    };
    let made = state
        .accounts
        .pool_create(person, wish, reason, &caller.origin);
    let pool_id = made.await?;
    let pool = detail(&state, &person.pool_scope(), &pool_id).await?;
    Ok((StatusCode::CREATED, pool))
}

/// Changes a private pool, or closes it for good: its enrolment tokens stop to work, and it admits nobody. One that has nodes is
/// not closed, for outside of it everybody could see them.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found` also for one that is closed, `invalid_request`; `conflict` for a name that another
/// open pool of the organisation has, for closing one that has nodes, and while private pools are off.
#[utoipa::path(patch, path = "/api/v1/pools/{pool_id}", tag = "pools", request_body = PoolChangeRequest,
    params(("pool_id" = String, Path, description = "Identity of the pool.")),
    responses((status = 200, description = "The pool.", body = PoolDetail)))]
pub async fn pool_change(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(pool_id): Path<String>,
    Json(body): Json<PoolChangeRequest>,
) -> Result<axum::Json<PoolDetail>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let changes_more = body.name.is_some() || body.labels.is_some() || body.existence.is_some();
    match body.closed {
        Some(false) => {
            let message = "a pool that was closed stays closed; make another one";
            return Err(ApiError::invalid(message).with("field", "closed"));
        }
        Some(true) if changes_more => {
            let message = "close a pool by itself: nothing else can be changed with it";
            return Err(ApiError::invalid(message).with("field", "closed"));
        }
        Some(true) => {
            let reason = reason::required(body.reason.as_deref().unwrap_or_default())?;
            state
                .accounts
                .pool_close(person, &pool_id, reason, &caller.origin)
                .await?;
        }
        None => {
            let reason = reason::optional(body.reason.as_deref())?;
            let wish = PoolChangeWish {
                name: body.name,
                labels: body.labels,
                existence: body.existence,
            };
            state
                .accounts
                .pool_change(person, &pool_id, wish, reason, &caller.origin)
                .await?;
        }
    }
    detail(&state, &person.pool_scope(), &pool_id).await
}

/// Puts a node of the pool's own organisation into it, also from another pool, or takes it out. In a pool it is seen by its
/// organisation, by those that the pool admits, and by admins.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found` for an open pool or the node, `invalid_request`; `conflict` for a node of another
/// organisation, one that was retired, and while private pools are off.
#[utoipa::path(post, path = "/api/v1/pools/{pool_id}/nodes", tag = "pools", request_body = PoolNodeRequest,
    params(("pool_id" = String, Path, description = "Identity of the pool.")),
    responses((status = 200, description = "The pool.", body = PoolDetail)))]
pub async fn pool_node(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(pool_id): Path<String>,
    Json(body): Json<PoolNodeRequest>,
) -> Result<axum::Json<PoolDetail>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = match body.in_pool {
        true => reason::optional(body.reason.as_deref())?,
        false => Some(reason::required(
            body.reason.as_deref().unwrap_or_default(),
        )?),
    };
    let node_id = NodeId::parse(body.node_id)
        .map_err(|_| ApiError::not_found("there is no node with this id"))?;
    let what = (&node_id, body.in_pool);
    state
        .accounts
        .pool_node(person, &pool_id, what, reason, &caller.origin)
        .await?;
    state.app.bus.send(Event::Node { node_id });
    detail(&state, &person.pool_scope(), &pool_id).await
}

/// Admits an organisation to a private pool, or ends that: it sees the pool's nodes, and none of them is its own.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found` for an open pool or the organisation, `invalid_request`; `conflict` for the pool's
/// own organisation, where it admits 256 already, and while private pools are off.
#[utoipa::path(post, path = "/api/v1/pools/{pool_id}/members", tag = "pools", request_body = PoolMemberRequest,
    params(("pool_id" = String, Path, description = "Identity of the pool.")),
    responses((status = 200, description = "The pool.", body = PoolDetail)))]
pub async fn pool_member(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(pool_id): Path<String>,
    Json(body): Json<PoolMemberRequest>,
) -> Result<axum::Json<PoolDetail>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = reason::optional(body.reason.as_deref())?;
    let whom = (body.org_id.as_str(), body.admitted);
    state
        .accounts
        .pool_member(person, &pool_id, whom, reason, &caller.origin)
        .await?;
    detail(&state, &person.pool_scope(), &pool_id).await
}
