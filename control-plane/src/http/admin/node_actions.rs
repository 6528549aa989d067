//! Quarantine, clear, retire, transfer and refresh: a decision with a reason, audited.

use crate::accounts::{AccountError, KeyHolder, Person, Role};
use crate::app::Cause;
use crate::app::views::{NodeRow, time};
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::http::reason;
use crate::http::state::HttpState;
use axum::extract::State;
use dgon_control_plane_model::lifecycle::Event;
use dgon_control_plane_store::Scope;
use dgon_control_plane_store::node_orders::OrderRow;
use dgon_protocol::error::ErrorType;
use dgon_protocol::id::NodeId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// What to do to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeAction {
    /// Take it out of service.
    Quarantine,
    /// Let it out of quarantine: it is probed again.
    Clear,
    /// Take it out of the network for good; its history stays.
    Retire,
    /// Let it look again at its GPUs, runtimes and models.
    Refresh,
    /// Pass it on to another organisation.
    Transfer,
}

/// What to do to a node, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeActionRequest {
    /// What.
    pub action: NodeAction,
    /// Why, for the node's history and the audit log: 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
    /// For `transfer` alone, which needs it: the organisation that the node is passed on to.
    #[serde(default)]
    pub org_id: Option<String>,
}

impl NodeAction {
    /// What the lifecycle makes of it; a refresh and a transfer do not touch the lifecycle.
    fn event(self) -> Option<Event> {
        match self {
            Self::Quarantine => Some(Event::AdminQuarantine),
            Self::Clear => Some(Event::AdminClear),
            Self::Retire => Some(Event::Retire),
            Self::Refresh | Self::Transfer => None,
        }
    }
}

/// A node after something was done to it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NodeActed {
    /// The node.
    #[serde(flatten)]
    pub row: NodeRow,
    /// The order that it was given, for `refresh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderView>,
}

/// An order to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrderView {
    /// Its number.
    pub order_id: i64,
    /// `queued` until the node was told, then `sent`; `expired` where it did not come in time. Nothing more is known: a
    /// node does not say that it has looked.
    pub state: String,
    /// When it was given.
    pub created_at: String,
    /// Until when it waits for the node.
    pub expires_at: String,
    /// When the node was told.
    pub sent_at: Option<String>,
}

impl OrderView {
    fn of(order: OrderRow) -> Self {
        Self {
            order_id: order.id,
            state: order.state,
            created_at: time(order.created_at_ms),
            expires_at: time(order.expires_at_ms),
            sent_at: order.sent_at_ms.map(time),
        }
    }
}

/// Does something to a node. Refreshing is for its operator too; the rest is an admin's. A node that is away is told to
/// refresh when it comes back within ten minutes; while that order waits, another one is the same.
///
/// A node that is passed on by `transfer` is the other organisation's at once, and nobody takes care of it any more. Its secret is
/// gone, so that whoever had it can no longer speak for it. Receipts stay the organisation's whose key signed them, also those that
/// come later. The other organisation enrols the machine again with a token of its own (`dgon-agent enroll --force`) and changes its key
/// (`dgon-agent key rotate`); until both are done the node opens no session. What the new key signs is theirs.
///
/// # Errors
/// `unauthorized`, `forbidden`, `not_found`, `invalid_request`; `conflict` when the node's state does not allow it.
#[utoipa::path(post, path = "/api/v1/nodes/{node_id}/actions", tag = "nodes", request_body = NodeActionRequest,
    params(("node_id" = String, Path, description = "The node.")),
    responses((status = 200, description = "The node after it.", body = NodeActed)))]
pub async fn node_action(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<NodeActionRequest>,
) -> Result<axum::Json<NodeActed>, ApiError> {
    let by = match (body.action, &actor) {
        (NodeAction::Refresh, Actor::Key(key)) => By::key(key),
        (NodeAction::Refresh, _) => By::person(actor.require(&[Role::Admin, Role::Operator])?),
        (
            NodeAction::Quarantine | NodeAction::Clear | NodeAction::Retire | NodeAction::Transfer,
            _,
        ) => By::person(actor.require(&[Role::Admin])?),
    };
    let reason = reason::required(&body.reason)?;
    let node_id = NodeId::parse(id).map_err(|_| no_node())?;
    let org_id = whither(&body)?;
    row_of(&state, &by, &node_id).await?;
    let order = match (body.action.event(), org_id) {
        (Some(event), _) => {
            change(&state, &by, &caller, &node_id, event, reason).await?;
            None
        }
        (None, Some(org_id)) => {
            let person = actor.require(&[Role::Admin])?;
            transfer(&state, person, &caller, &node_id, (org_id, reason)).await?;
            None
        }
        (None, None) => Some(refresh(&state, &by, &caller, &node_id, reason).await?),
    };
    let row = row_of(&state, &by, &node_id).await?;
    Ok(axum::Json(NodeActed { row, order }))
}

/// Where a transfer goes; `None` for everything else.
fn whither(body: &NodeActionRequest) -> Result<Option<&str>, ApiError> {
    let wrong = |message: &str| Err(ApiError::invalid(message).with("field", "org_id"));
    match (body.action, body.org_id.as_deref()) {
        (NodeAction::Transfer, None) => wrong("say which organisation the node is passed on to"),
        (NodeAction::Transfer, org_id) => Ok(org_id),
        (_, None) => Ok(None),
        (_, Some(_)) => wrong("only a transfer goes to an organisation"),
    }
}

fn no_node() -> ApiError {
    ApiError::not_found("there is no such node, or it is not yours")
}

/// Who does it.
struct By {
    /// Whose nodes.
    scope: Scope,
    /// For the audit log.
    name: String,
    /// Whose key it is.
    owner: Option<String>,
}

impl By {
    fn person(person: &Person) -> Self {
        Self {
            scope: person.scope(),
            name: person.audit_name(),
            owner: None,
        }
    }

    fn key(key: &KeyHolder) -> Self {
        Self {
            scope: key.scope(),
            name: key.audit_name(),
            owner: Some(key.owner()),
        }
    }
}

/// The node, if it is in the scope of whoever asks: to others' they can do nothing, though they see them.
async fn row_of(state: &HttpState, by: &By, node_id: &NodeId) -> Result<NodeRow, ApiError> {
    let found = state.app.node_row_with_org(&by.scope, node_id).await?;
    let own = found.filter(|(_, org_id)| by.scope.owns(org_id.as_deref()));
    own.map(|(row, _)| row).ok_or_else(no_node)
}

async fn change(
    state: &HttpState,
    by: &By,
    caller: &Caller,
    node_id: &NodeId,
    event: Event,
    reason: &str,
) -> Result<(), ApiError> {
    let cause = Cause {
        actor: &by.name,
        owner: by.owner.as_deref(),
        detail: Some(reason),
        ip: caller.origin.ip.as_deref(),
        request_id: caller.origin.request_id.as_deref(),
    };
    match state
        .app
        .node_event(&by.scope, node_id, event, cause)
        .await?
    {
        Some(_) => Ok(()),
        None => Err(ApiError::new(
            ErrorType::Conflict,
            "the node's state does not allow this, or it is so already; look at the node again",
        )),
    }
}

async fn transfer(
    state: &HttpState,
    person: &Person,
    caller: &Caller,
    node_id: &NodeId,
    (org_id, reason): (&str, &str),
) -> Result<(), ApiError> {
    let (app, accounts) = (Arc::clone(&state.app), state.accounts.clone());
    let (person, origin, node_id) = (person.clone(), caller.origin.clone(), node_id.clone());
    let (org_id, reason) = (org_id.to_owned(), reason.to_owned());
    // To its end, whether or not anybody waits for it: what memory has of the node must follow the commit.
    let done = state.app.runtime.spawn(async move {
        let passed = accounts.node_transfer(&person, &node_id, &org_id, &reason, &origin);
        let passed = passed.await;
        // Also where nobody knows whether it was done; not where it was refused.
        if matches!(passed, Ok(()) | Err(AccountError::Store(_))) {
            app.node_passed_on(&node_id);
        }
        passed
    });
    done.await.map_err(|error| ApiError::internal(&error))??;
    Ok(())
}

async fn refresh(
    state: &HttpState,
    by: &By,
    caller: &Caller,
    node_id: &NodeId,
    reason: &str,
) -> Result<OrderView, ApiError> {
    if state.app.lifecycles.get(node_id).is_none() {
        return Err(ApiError::new(
            ErrorType::Conflict,
            "the node was retired; it takes no orders any more",
        ));
    }
    let cause = Cause {
        actor: &by.name,
        owner: by.owner.as_deref(),
        detail: Some(reason),
        ip: caller.origin.ip.as_deref(),
        request_id: caller.origin.request_id.as_deref(),
    };
    let order = state.app.order_refresh(&by.scope, node_id, cause).await?;
    order.map(OrderView::of).ok_or_else(no_node)
}
