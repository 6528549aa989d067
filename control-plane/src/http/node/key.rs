//! A node changes its key: the old key names the new one, the new one accepts, and later the old one says where its
//! chain ended. Both posts may be repeated: the same statement gets the same answer.

use super::SMALL_BODY_BYTES;
use super::auth::{AuthenticatedNode, authenticate_body};
use crate::accounts::Origin;
use crate::app::{App, Share};
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::extract::Object;
use axum::Json;
use axum::extract::{Request, State};
use dgon_control_plane_store::audit::{AuditEntry, AuditFacts};
use dgon_control_plane_store::node_keys::{ClosingOutcome, ROTATIONS_PER_DAY, Rotating};
use dgon_protocol::auth::Scheme;
use dgon_protocol::error::ErrorType;
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::KEY_GRACE;
use dgon_protocol::rotate::{Closing, Rotated, Rotation, StatementError};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;

/// Passes a node on to a new key.
///
/// # Errors
/// `unauthorized`, `stale_timestamp`, `replayed_request`; `invalid_signature` where a signature does not hold; `wrong_node` for
/// the statement of another node; `conflict` where the old key is not the one in use; `invalid_key` for a new key that is not
/// canonical, not of prime order, or known; `rate_limited` for a node that has changed its key too often today: Retry-After and
/// next_at_ms of the details say when it may again.
#[utoipa::path(
    post, path = "/api/v1/nodes/key/rotate", tag = "nodes", request_body = Rotation,
    responses(
        (status = 200, description = "The new key, and since when it is the one.", body = Rotated),
    )
)]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Rotated>, ApiError> {
    let (node, origin, rotation): (_, _, Rotation) = read(&app, request, "a rotation").await?;
    own(&node, &rotation.node_id)?;
    rotation.check().map_err(|error| match error {
        StatementError::NewKey(_) | StatementError::SameKey => {
            ApiError::new(ErrorType::InvalidKey, format!("{error}; make another one"))
        }
        StatementError::OldSignature | StatementError::NewSignature => {
            ApiError::new(ErrorType::InvalidSignature, error.to_string())
        }
    })?;
    let now_ms = app.clock.now_ms();
    let facts = AuditFacts {
        before: Some(json!({ "key_id": rotation.old_key.key_id() })),
        after: Some(json!({ "key_id": rotation.new_key.key_id() })),
        ..AuditFacts::default()
    };
    let audit = audit(&node, now_ms, "node_key.rotate", origin, facts);
    match app.key_rotate(&rotation, now_ms, &audit).await? {
        Rotating::Done { valid_from_ms } => {
            let key_id = rotation.new_key.key_id();
            tracing::info!(node_id = %node.node_id, key_id, "node changed its key");
            Ok(Json(Rotated {
                node_id: node.node_id,
                key_id,
                valid_from_ms,
                grace_s: KEY_GRACE.as_secs(),
            }))
        }
        Rotating::NotInUse => Err(ApiError::new(
            ErrorType::Conflict,
            "the old key is not the one that this node uses now; look at the node's keys",
        )),
        Rotating::NoSecret => Err(ApiError::new(
            ErrorType::Unauthorized,
            "the node was passed on to another organisation meanwhile; enrol it again with a token of that one",
        )),
        Rotating::KnownKey => Err(ApiError::new(
            ErrorType::InvalidKey,
            "the new key was used in this network before; make another one",
        )),
        Rotating::TooOften { next_at_ms } => Err(too_often(next_at_ms, now_ms)),
    }
}

fn too_often(next_at_ms: i64, now_ms: i64) -> ApiError {
    let wait_ms = u64::try_from(next_at_ms.saturating_sub(now_ms)).unwrap_or(0);
    let wait_s = u32::try_from(wait_ms.div_ceil(1000)).unwrap_or(u32::MAX);
    let message = format!(
        "a node changes its key at most {ROTATIONS_PER_DAY} times in 24 hours; the old key stays in use, and the next \
         change is possible in {} h {} min",
        wait_s / 3600,
        wait_s % 3600 / 60
    );
    ApiError::new(ErrorType::RateLimited, message)
        .with("next_at_ms", next_at_ms)
        .retry_after(wait_s)
}

/// Keeps where the chain of an old key ends.
///
/// # Errors
/// `unauthorized`, `stale_timestamp`, `replayed_request`; `invalid_signature` where the signature does not hold; `wrong_node` for
/// the statement of another node; `conflict` for the key in use; `forked_chain` where another end was stated, or receipts after
/// this end are stored.
#[utoipa::path(
    post, path = "/api/v1/nodes/key/close", tag = "nodes", request_body = Closing,
    responses(
        (status = 200, description = "The statement, as kept.", body = Closing),
    )
)]
pub(super) async fn close(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Closing>, ApiError> {
    let (node, origin, closing): (_, _, Closing) = read(&app, request, "a closing").await?;
    own(&node, &closing.node_id)?;
    if !closing.holds() {
        let message = "the signature of the closing does not hold";
        return Err(ApiError::new(ErrorType::InvalidSignature, message));
    }
    let closed = json!({ "key_id": closing.public_key.key_id(), "last_seq": closing.last_seq });
    let facts = AuditFacts {
        after: Some(closed),
        ..AuditFacts::default()
    };
    let audit = audit(&node, app.clock.now_ms(), "node_key.close", origin, facts);
    match app.key_close(&closing, &audit).await? {
        ClosingOutcome::Done => Ok(Json(closing)),
        ClosingOutcome::NotRetired => Err(ApiError::new(
            ErrorType::Conflict,
            "the key is not one that this node has given up; rotate it first",
        )),
        ClosingOutcome::Contradicted => Err(ApiError::new(
            ErrorType::ForkedChain,
            "another end of this chain was stated before, or receipts after this end are stored",
        )),
    }
}

async fn read<T: DeserializeOwned>(
    app: &App,
    request: Request,
    what: &str,
) -> Result<(AuthenticatedNode, Origin, T), ApiError> {
    let (parts, body) = request.into_parts();
    let (node, body) = authenticate_body(app, &parts, body, SMALL_BODY_BYTES, Share::Nodes).await?;
    if node.scheme == Scheme::V1 {
        let message = "this route takes X-Node-Auth v2 only";
        return Err(ApiError::new(ErrorType::Unauthorized, message));
    }
    let Object(statement) = serde_json::from_slice(&body.bytes).map_err(|error| {
        ApiError::new(ErrorType::InvalidRequest, format!("not {what}: {error}"))
    })?;
    Ok((node, Caller::of(&parts).origin, statement))
}

fn own(node: &AuthenticatedNode, named: &NodeId) -> Result<(), ApiError> {
    if *named == node.node_id {
        return Ok(());
    }
    let message = "the statement names another node than X-Node-ID";
    Err(ApiError::new(ErrorType::WrongNode, message))
}

fn audit(
    node: &AuthenticatedNode,
    at_ms: i64,
    action: &str,
    origin: Origin,
    facts: AuditFacts,
) -> AuditEntry {
    AuditEntry {
        at_ms,
        actor: format!("node:{}", node.node_id),
        action: action.to_owned(),
        object: format!("node:{}", node.node_id),
        request_id: origin.request_id,
        facts: AuditFacts {
            ip: origin.ip,
            ..facts
        },
    }
}
