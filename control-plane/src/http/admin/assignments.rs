//! Who takes care of which node: a name to call, and no right to anything.

use crate::accounts::{CaredNode, Role};
use crate::app::views::{AssigneeView, NodeStatus, Page};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path, Query};
use crate::http::paging::PageParams;
use crate::http::query::params;
use crate::http::reason;
use crate::http::state::HttpState;
use axum::extract::State;
use dgon_protocol::id::NodeId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Whether somebody takes care of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignRequest {
    /// Who: an open account that is an operator, or an admin, in the organisation that owns the node.
    pub user_id: String,
    /// Whether they do.
    pub assigned: bool,
    /// Why, up to 500 characters.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// Who takes care of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Assignees {
    /// Its people, in the order in which they came; at most 32.
    pub assignees: Vec<AssigneeView>,
}

/// A node and its people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssignedNodeView {
    /// The node.
    pub node_id: String,
    /// Where it is.
    pub region: String,
    /// Its status.
    pub status: NodeStatus,
    /// The organisation that owns it; `null` for a node of none, which nobody can be assigned to.
    pub org_id: Option<String>,
    /// What that is called.
    pub org_name: Option<String>,
    /// Its people, in the order in which they came; at most 32.
    pub assignees: Vec<AssigneeView>,
}

/// Which nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AssignmentParams {
    /// Whose: `me`, a person's id, or `nobody` for the nodes that nobody takes care of.
    pub assignee: Option<String>,
    /// A part of the node id.
    pub q: Option<String>,
}

impl From<CaredNode> for AssignedNodeView {
    fn from(CaredNode { node, assignees }: CaredNode) -> Self {
        Self {
            status: NodeStatus::of_state(&node.state),
            node_id: node.node_id,
            region: node.region,
            org_id: node.org_id,
            org_name: node.org_name,
            assignees: assignees.into_iter().map(AssigneeView::of).collect(),
        }
    }
}

/// Assigns somebody to a node, or ends that. It says who takes care of the node and gives no rights: what somebody may do
/// comes from their roles. It ends by itself when they are no operator or admin of the node's organisation any more, when
/// their account is disabled, and when the node goes to another organisation.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `invalid_request`; `conflict` for somebody who cannot be assigned to this node, a
/// node that was retired, and one that has 32 people already.
#[utoipa::path(post, path = "/api/v1/nodes/{node_id}/assign", tag = "admin", request_body = AssignRequest,
    params(("node_id" = String, Path, description = "The node.")),
    responses((status = 200, description = "Who takes care of it now.", body = Assignees)))]
pub async fn node_assign(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<AssignRequest>,
) -> Result<axum::Json<Assignees>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = reason::optional(body.reason.as_deref())?;
    let node_id =
        NodeId::parse(id).map_err(|_| ApiError::not_found("there is no node with this id"))?;
    let who = (body.user_id.as_str(), body.assigned);
    state
        .accounts
        .node_assign(person, &node_id, who, reason, &caller.origin)
        .await?;
    let assignees = state.accounts.node_assignees(person, &node_id).await?;
    Ok(axum::Json(Assignees {
        assignees: assignees.into_iter().map(AssigneeView::of).collect(),
    }))
}

/// Nodes that are not retired, with those who take care of them, by their ids.
///
/// # Errors
/// `unauthorized`, `forbidden`, `invalid_request`.
#[utoipa::path(get, path = "/api/v1/assignments", tag = "admin", params(AssignmentParams, PageParams),
    responses((status = 200, description = "A page of nodes.", body = Page<AssignedNodeView>)))]
pub async fn assignment_list(
    State(state): State<HttpState>,
    actor: Actor,
    Query(filter): Query<AssignmentParams>,
    Query(page): Query<PageParams>,
) -> Result<axum::Json<Page<AssignedNodeView>>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let assigned = params::assigned(filter.assignee, &actor)?;
    let filter = (assigned, params::search(filter.q)?);
    let after = match page.after() {
        Some(after) => Some(NodeId::parse(after).map_err(|_| {
            ApiError::invalid("cursor is not one that this list gave").with("parameter", "cursor")
        })?),
        None => None,
    };
    let after = after.as_ref().map(NodeId::as_str);
    let nodes = state
        .accounts
        .assignment_list(person, filter, after, page.rows())
        .await?;
    Ok(axum::Json(Page {
        items: nodes
            .items
            .into_iter()
            .map(AssignedNodeView::from)
            .collect(),
        next_cursor: nodes.next,
        total: None,
    }))
}
