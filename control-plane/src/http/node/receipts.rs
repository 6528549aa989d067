//! Receipts over HTTP: one, or an array of up to 256, in any JSON form.

use super::RECEIPTS_BODY_BYTES;
use super::auth::authenticate_body;
use crate::app::{App, KEY_OF_BEFORE, SENT_AWAY, Share};
use crate::http::error::ApiError;
use crate::ingest::verify::{Checked, check_all};
use crate::ingest::{Cut, Fate, IngestError, ReceiptVerdict};
use axum::Json;
use axum::extract::{Request, State};
use dgon_protocol::error::ErrorType;
use dgon_protocol::id::RequestId;
use dgon_protocol::limits::RECEIPTS_PER_BATCH;
use dgon_protocol::schema::ReceiptBody;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Ref, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Answer of `POST /api/v1/receipts`: a verdict for each, in order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = node::Posted)]
pub(super) struct Posted {
    /// In the order of the post.
    verdicts: Vec<Verdict>,
}

/// What became of one receipt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = node::Verdict)]
struct Verdict {
    /// Which one; `null` where the bytes had none.
    request_id: Option<RequestId>,
    /// `accepted`, `duplicate` (it was stored before), `archived` (it was, and its time here is over), `held` (one before it
    /// is missing) or `refused`.
    verdict: &'static str,
    /// Why it was refused, for a program.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<ErrorType>,
    /// Why, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Body of a post: one receipt, or several in `seq` order. It is read as bytes; this is for the document.
pub(super) struct ReceiptsPost;

impl PartialSchema for ReceiptsPost {
    fn schema() -> RefOr<Schema> {
        let receipt = || Ref::from_schema_name(ReceiptBody::name());
        let several = ArrayBuilder::new()
            .items(receipt())
            .max_items(Some(RECEIPTS_PER_BATCH));
        OneOfBuilder::new().item(receipt()).item(several).into()
    }
}

impl ToSchema for ReceiptsPost {
    fn name() -> Cow<'static, str> {
        "node.ReceiptsPost".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ReceiptBody::name().into_owned(), ReceiptBody::schema()));
        ReceiptBody::schemas(schemas);
    }
}

impl From<ReceiptVerdict> for Verdict {
    fn from(verdict: ReceiptVerdict) -> Self {
        let (name, kind, message) = match verdict.fate {
            Fate::Accepted => ("accepted", None, None),
            Fate::Duplicate => ("duplicate", None, None),
            Fate::Archived => ("archived", None, None),
            Fate::Held => ("held", None, None),
            Fate::Refused { kind, message } => ("refused", Some(kind), Some(message)),
        };
        Self {
            request_id: verdict.request_id,
            verdict: name,
            kind,
            message,
        }
    }
}

/// Takes receipts; the answer comes after they are durable. A receipt in any JSON form is taken, and what is refused of one has its
/// verdict in the answer: `invalid_receipt` is no error of the post.
///
/// # Errors
/// `unauthorized`, `stale_timestamp`, `replayed_request`, `too_large`; `invalid_key` for a node that was passed on to another
/// organisation, and has not changed its key; `rate_limited` for one that posts too often, whose receipts wait for their commit
/// already, or of whose receipts too many were refused; `unavailable` while no receipts are taken: send them again after
/// Retry-After.
#[utoipa::path(
    post, path = "/api/v1/receipts", tag = "receipts",
    request_body = ReceiptsPost,
    responses(
        (status = 201, description = "A verdict for each.", body = Posted),
    )
)]
pub(super) async fn receipts(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<(StatusCode, Json<Posted>), ApiError> {
    let (parts, body) = request.into_parts();
    let (node, body) =
        authenticate_body(&app, &parts, body, RECEIPTS_BODY_BYTES, Share::Receipts).await?;
    if let Some(wait_s) = app.guard.conduct.away_s(&node.node_id) {
        return Err(ApiError::new(ErrorType::RateLimited, SENT_AWAY).retry_after(wait_s));
    }
    let mut session = app.posting_node(&node.node_id).await?.ok_or_else(no_key)?;
    if session.has_key_of_before() {
        // It may have changed its key a moment ago.
        let now = app.posting_node_now(&node.node_id).await?;
        session = now.ok_or_else(no_key)?;
    }
    if session.has_key_of_before() {
        return Err(ApiError::new(ErrorType::InvalidKey, KEY_OF_BEFORE));
    }
    let reserved = app
        .ingest
        .reserve_or_refuse(&session, body.bytes.len(), app.settings.body_room_within)
        .await
        .map_err(unavailable)?;
    // From here on the body is in the room of receipts; until now it was in that of bodies, at no time in none.
    let inputs = split(&body.bytes)?;
    drop(body);
    let count = inputs.len();
    let checked = check_all(&session, inputs, app.switches.signatures()).await;
    if checked.len() != count {
        return Err(unavailable(IngestError::Store));
    }
    if checked.iter().any(Checked::is_of_unknown_key) {
        // Before anybody is blamed, the keys are read again.
        let now = app.posting_node_now(&node.node_id).await?;
        if !now.ok_or_else(no_key)?.has_keys_of(&session) {
            let message = "the node's keys have just changed; send these receipts again";
            return Err(ApiError::new(ErrorType::Unavailable, message).retry_after(1));
        }
    }
    let mut pending = app
        .ingest
        .submit(session, checked, reserved, Cut::Whole)
        .await
        .map_err(unavailable)?;
    let outcome = pending.outcome().await.map_err(unavailable)?;
    let verdicts = outcome.verdicts.into_iter().map(Verdict::from).collect();
    Ok((StatusCode::CREATED, Json(Posted { verdicts })))
}

/// The receipts of a body: the elements of an array, or the body itself. Each is read strictly later.
fn split(body: &[u8]) -> Result<Vec<Vec<u8>>, ApiError> {
    let is_array = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_array {
        return Ok(vec![body.to_vec()]);
    }
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        ApiError::new(
            ErrorType::InvalidRequest,
            format!("not an array of receipts: {error}"),
        )
    })?;
    if items.len() > RECEIPTS_PER_BATCH {
        let message = format!(
            "an array holds at most {RECEIPTS_PER_BATCH} receipts, this has {}",
            items.len()
        );
        return Err(ApiError::new(ErrorType::TooLarge, message));
    }
    Ok(items
        .into_iter()
        .map(|item| item.get().as_bytes().to_vec())
        .collect())
}

fn no_key() -> ApiError {
    ApiError::new(ErrorType::Unauthorized, "the node has no key")
}

fn unavailable(error: IngestError) -> ApiError {
    let kind = match error {
        IngestError::Busy => ErrorType::RateLimited,
        IngestError::Store | IngestError::NoRoom | IngestError::Stopped => ErrorType::Unavailable,
    };
    ApiError::new(kind, error.to_string()).retry_after(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_receipt_or_an_array() {
        assert_eq!(split(b" {} ").expect("one"), vec![b" {} ".to_vec()]);
        assert_eq!(split(b"not json").expect("one"), vec![b"not json".to_vec()]);
        assert_eq!(
            split(b" [{\"a\":1}, {}]").expect("two"),
            vec![b"{\"a\":1}".to_vec(), b"{}".to_vec()]
        );
        assert_eq!(split(b"[]").expect("none").len(), 0);
        assert!(split(b"[{}").is_err());
        let many = format!("[{}]", vec!["{}"; 257].join(","));
        assert!(split(many.as_bytes()).is_err());
    }
}
