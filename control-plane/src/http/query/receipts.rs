//! The receipts list, its sums, and one receipt.

use super::params;
use super::viewing::{Reading, SignedIn};
use crate::app::queries::ReceiptQuery;
use crate::app::views::{Page, ReceiptAggregate, ReceiptDetail, ReceiptRow};
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::paging::PageParams;
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dgon_protocol::error::ErrorType;
use dgon_protocol::schema::ReceiptBody;
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;

/// Filters of the receipts list and of its sums.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReceiptFilterParams {
    /// A request id or how it begins, a whole node id, a whole model id, or the hash of a receipt: `sha256:` and hex,
    /// or hex alone, of 8 digits or more. A beginning leads to the last 1,000 that begin so, or
    /// to the last 20,000 where another filter is beside it.
    q: Option<String>,
    /// The request.
    request_id: Option<String>,
    /// The node.
    node_id: Option<String>,
    /// The model.
    model_id: Option<String>,
    /// The region.
    region: Option<String>,
    /// Received at or after: RFC 3339, or a date.
    from: Option<String>,
    /// Received before: RFC 3339, or a date.
    to: Option<String>,
    /// `true` or `false`.
    hedged: Option<String>,
    /// `true` or `false`.
    cache_hit: Option<String>,
    /// `ok`, `error` or `cancelled`.
    status: Option<String>,
    /// `local`, `gateway`, `probe` or `job`.
    source: Option<String>,
}

impl ReceiptFilterParams {
    fn read(self) -> Result<ReceiptQuery, ApiError> {
        Ok(ReceiptQuery {
            q: params::receipt_search(self.q)?,
            request_id: params::text("request_id", self.request_id)?,
            node_id: params::text("node_id", self.node_id)?,
            model_id: params::text("model_id", self.model_id)?,
            region: params::text("region", self.region)?,
            from_ms: params::moment("from", self.from)?,
            to_ms: params::moment("to", self.to)?,
            hedged: params::flag("hedged", self.hedged)?,
            cache_hit: params::flag("cache_hit", self.cache_hit)?,
            status: params::receipt_status(self.status)?,
            source: params::source(self.source)?,
            limit: None,
            cursor: None,
        })
    }
}

/// Which of the nodes that used a request id.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReceiptNodeParams {
    /// The node. Needed where several nodes used the id: it is unique on its node alone.
    node_id: Option<String>,
}

fn no_receipt() -> ApiError {
    ApiError::new(
        ErrorType::NotFound,
        "there is no receipt with this request id",
    )
}

/// Receipts, the newest first: an operator's own, an admin's all.
///
/// # Errors
/// `unauthorized`, `forbidden`, or `invalid_request` for a parameter that is none.
#[utoipa::path(get, path = "/api/v1/receipts", tag = "receipts", params(ReceiptFilterParams, PageParams),
    responses((status = 200, description = "A page of receipts; `NODE_ID/REQUEST_ID` of any of them is a cursor. `total` is null: see the aggregate.",
        body = Page<ReceiptRow>)))]
pub async fn receipt_list(
    State(state): State<HttpState>,
    SignedIn(scope): SignedIn,
    Query(params): Query<ReceiptFilterParams>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<ReceiptRow>>, ApiError> {
    let query = ReceiptQuery {
        limit: page.limit.map(i64::from),
        cursor: page.after().map(str::to_owned),
        ..params.read()?
    };
    Ok(Json(state.app.receipts_page(&scope, &query).await?))
}

/// What the receipts of a filter add up to.
///
/// # Errors
/// `unauthorized`, `forbidden`, or `invalid_request` for a parameter that is none.
#[utoipa::path(get, path = "/api/v1/receipts/aggregate", tag = "receipts", params(ReceiptFilterParams),
    responses((status = 200, description = "The sums.", body = ReceiptAggregate)))]
pub async fn receipt_aggregate(
    State(state): State<HttpState>,
    SignedIn(scope): SignedIn,
    Query(params): Query<ReceiptFilterParams>,
) -> Result<Json<ReceiptAggregate>, ApiError> {
    let query = params.read()?;
    Ok(Json(state.app.receipts_aggregate(&scope, &query).await?))
}

/// One receipt with what is needed to verify it.
///
/// # Errors
/// `unauthorized` for strangers unless the flag public_receipts is on; `not_found` when there is none with this id, when it is
/// another organisation's and the flag is off, and when its node is in a hidden pool that you may not see into; `forbidden` when,
/// with the flag on, its node is in a listed one; `conflict` when several nodes used the id and none was named: the details name
/// them.
#[utoipa::path(get, path = "/api/v1/receipts/{request_id}", tag = "receipts", security((), ("session" = [])),
    params(("request_id" = String, Path, description = "Id of the request."), ReceiptNodeParams),
    responses((status = 200, description = "The receipt.", body = ReceiptDetail)))]
pub async fn receipt_detail(
    State(state): State<HttpState>,
    Reading(reader): Reading,
    Path(request_id): Path<String>,
    Query(of): Query<ReceiptNodeParams>,
) -> Result<Json<ReceiptDetail>, ApiError> {
    let node_id = params::text("node_id", of.node_id)?;
    let found = state
        .app
        .receipt_detail(&reader, &request_id, node_id.as_deref());
    let detail = found.await?;
    detail.map(Json).ok_or_else(no_receipt)
}

/// The canonical bytes of a receipt, exactly as they were hashed and chained.
///
/// # Errors
/// `unauthorized` for strangers unless the flag public_receipts is on; `not_found` when there is none with this id, when it is
/// another organisation's and the flag is off, and when its node is in a hidden pool that you may not see into; `forbidden` when,
/// with the flag on, its node is in a listed one; `conflict` when several nodes used the id and none was named: the details name
/// them.
#[utoipa::path(get, path = "/api/v1/receipts/{request_id}/raw", tag = "receipts", security((), ("session" = [])),
    params(("request_id" = String, Path, description = "Id of the request."), ReceiptNodeParams),
    responses((status = 200, description = "The entry bytes; they never change.",
        content_type = "application/json", body = ReceiptBody)))]
pub async fn receipt_raw(
    State(state): State<HttpState>,
    Reading(reader): Reading,
    Path(request_id): Path<String>,
    Query(of): Query<ReceiptNodeParams>,
) -> Result<Response, ApiError> {
    let node_id = params::text("node_id", of.node_id)?;
    let found = state
        .app
        .receipt_raw(&reader, &request_id, node_id.as_deref());
    let entry = found.await?;
    let entry = entry.ok_or_else(no_receipt)?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (
            header::CACHE_CONTROL,
            "private, max-age=31536000, immutable",
        ),
    ];
    Ok((headers, entry).into_response())
}
