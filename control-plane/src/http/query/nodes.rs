//! The nodes list and one node.

use super::params;
use super::viewing::Viewing;
use crate::app::queries::NodeQuery;
use crate::app::views::{NodeDetail, NodeKeys, NodeRow, Page};
use crate::http::auth::Actor;
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::paging::PageParams;
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;
use dgon_control_plane_store::Scope;
use dgon_protocol::id::NodeId;
use serde::Deserialize;
use utoipa::IntoParams;

/// Filters and order of the nodes list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NodeListParams {
    /// `pending`, `active`, `quarantine`, `offline`; several with commas.
    status: Option<String>,
    /// Region.
    region: Option<String>,
    /// A runtime that the node has.
    runtime: Option<String>,
    /// A model that the node has.
    model: Option<String>,
    /// A part of the node id.
    q: Option<String>,
    /// `self`: the nodes of the own organisation alone.
    owner: Option<String>,
    /// Whose: `me`, a person's id, or `nobody` for the nodes that nobody takes care of; of the own organisation's alone, for an
    /// admin of all.
    assignee: Option<String>,
    /// In this private pool: an id of `GET /pools`. Who may not see what is in it finds none.
    pool: Option<String>,
    /// Refused: the network does not know a node's reputation yet.
    reputation_min: Option<String>,
    /// Refused: the network does not know a node's reputation yet.
    reputation_max: Option<String>,
    /// Refused: the network does not know yet what powers a node.
    green: Option<String>,
    /// `id`, `status`, `region`, `p95` or `last_heartbeat`; falling with a minus before it.
    sort: Option<String>,
}

impl NodeListParams {
    fn read(self, actor: &Actor, page: PageParams) -> Result<NodeQuery, ApiError> {
        let unknown_yet = [
            (
                "reputation_min",
                &self.reputation_min,
                "what reputation a node has",
            ),
            (
                "reputation_max",
                &self.reputation_max,
                "what reputation a node has",
            ),
            ("green", &self.green, "what powers a node"),
        ];
        for (name, value, what) in unknown_yet {
            params::not_known_yet(name, value.as_deref(), what)?;
        }
        let owner_org_id = match params::is_owner_self(self.owner)? {
            // Who is in no organisation has no nodes: nothing is called by no name.
            true => Some(actor.org_id()?.unwrap_or_default().to_owned()),
            false => None,
        };
        let (order, falling) = params::order(self.sort)?;
        Ok(NodeQuery {
            owner_org_id,
            assigned: params::assigned(self.assignee, actor)?,
            pool_id: params::text("pool", self.pool)?,
            statuses: params::statuses(self.status)?,
            region: params::text("region", self.region)?,
            runtime: params::text("runtime", self.runtime)?,
            model: params::text("model", self.model)?,
            q: params::search(self.q)?,
            order,
            falling,
            limit: page.limit.map(i64::from),
            cursor: page.after().map(str::to_owned),
        })
    }
}

/// Nodes of the network: of one's own organisation, and for an admin of every one, with everything; of all others what strangers
/// are shown, which `withheld` says. Whoever is signed in sees them, also while strangers see nothing. Nodes in private pools are
/// shown to their own organisation, to those that the pool admits, and to admins.
///
/// # Errors
/// `unauthorized` for strangers while the overview is shut, and who asks for their own; `invalid_request` for a
/// parameter that is none, or that the network cannot answer.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", security((), ("session" = [])), params(NodeListParams, PageParams),
    responses((status = 200, description = "A page of nodes.", body = Page<NodeRow>)))]
pub async fn node_list(
    State(state): State<HttpState>,
    Viewing(scope): Viewing,
    actor: Actor,
    Query(params): Query<NodeListParams>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<NodeRow>>, ApiError> {
    let query = params.read(&actor, page)?;
    Ok(Json(state.app.nodes_page(&scope, query).await?))
}

/// One node: with everything where it is of one's own organisation, or for an admin; else what strangers are shown, which
/// `withheld` says.
///
/// # Errors
/// `not_found` when there is none with this id, `forbidden` for one in a private pool that lets everybody know that it exists,
/// `unauthorized` for strangers while the overview is shut.
#[utoipa::path(get, path = "/api/v1/nodes/{node_id}", tag = "nodes", security((), ("session" = [])),
    params(("node_id" = String, Path, description = "Id of the node.")),
    responses((status = 200, description = "The node.", body = NodeDetail)))]
pub async fn node_detail(
    State(state): State<HttpState>,
    Viewing(scope): Viewing,
    Path(node_id): Path<String>,
) -> Result<Json<NodeDetail>, ApiError> {
    match state.app.node_detail(&scope, &node_id).await? {
        Some(detail) => Ok(Json(detail)),
        None => Err(no_node(&state, &scope, &node_id).await?),
    }
}

/// Why a node is not shown: there is none, or nobody may know, or its pool says that it exists.
async fn no_node(state: &HttpState, scope: &Scope, node_id: &str) -> Result<ApiError, ApiError> {
    Ok(match state.app.node_is_restricted(scope, node_id).await? {
        true => ApiError::restricted(),
        false => ApiError::not_found("there is no node with this id"),
    })
}

/// The keys that a node signs and signed with, with the time of each: enough to verify its receipts offline.
///
/// # Errors
/// `not_found` when there is no node with this id, or a private pool hides it, `forbidden` where that pool lets everybody know
/// that it exists, `unauthorized` for strangers while the overview is shut.
#[utoipa::path(get, path = "/api/v1/nodes/{node_id}/keys", tag = "nodes", security((), ("session" = [])),
    params(("node_id" = String, Path, description = "Id of the node.")),
    responses((status = 200, description = "Its keys, the one in use first.", body = NodeKeys)))]
pub async fn node_keys(
    State(state): State<HttpState>,
    Viewing(scope): Viewing,
    Path(node_id): Path<String>,
) -> Result<Json<NodeKeys>, ApiError> {
    let missing = |_| ApiError::not_found("there is no node with this id");
    let node_id = NodeId::parse(node_id).map_err(missing)?;
    match state.app.node_keys(&scope, &node_id).await? {
        Some(keys) => Ok(Json(keys)),
        None => Err(no_node(&state, &scope, node_id.as_str()).await?),
    }
}
