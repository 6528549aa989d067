//! The receipts list, its sums, and one receipt.

use super::params;
use super::viewing::{Reading, SignedIn};
use crate::app::queries::ReceiptQuery;
use crate::app::views::{Page, ReceiptAggregate, ReceiptDetail, ReceiptRow};
use crate::http::error::ApiError;
use crate::http::extract::{Path, Query};
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dgon_protocol::error::ErrorType;
use http::header;
use serde::Deserialize;
use utoipa::IntoParams;

/// Filters and page of the receipts list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReceiptListParams {
    /// A request id, or how it begins.
    q: Option<String>,
    /// The node.
    node: Option<String>,
    /// The model.
    model: Option<String>,
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
    /// Rows, at most 200.
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl ReceiptListParams {
    fn read(self) -> Result<ReceiptQuery, ApiError> {
        Ok(ReceiptQuery {
            q: params::text("q", self.q)?,
            node: params::text("node", self.node)?,
            model: params::text("model", self.model)?,
            region: params::text("region", self.region)?,
            from_ms: params::moment("from", self.from)?,
            to_ms: params::moment("to", self.to)?,
            hedged: params::flag("hedged", self.hedged)?,
            cache_hit: params::flag("cache_hit", self.cache_hit)?,
            status: params::receipt_status(self.status)?,
            source: params::source(self.source)?,
            limit: self.limit,
            cursor: self.cursor.filter(|cursor| !cursor.is_empty()),
        })
    }
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
#[utoipa::path(get, path = "/api/v1/receipts", tag = "receipts", params(ReceiptListParams),
    responses((status = 200, description = "A page of receipts. `total` is null: see the aggregate.",
        body = Page<ReceiptRow>)))]
pub async fn receipt_list(
    State(state): State<HttpState>,
    SignedIn(viewer): SignedIn,
    Query(params): Query<ReceiptListParams>,
) -> Result<Json<Page<ReceiptRow>>, ApiError> {
    let query = params.read()?;
    Ok(Json(state.app.receipts_page(&viewer, &query).await?))
}

/// What the receipts of a filter add up to.
///
/// # Errors
/// `unauthorized`, `forbidden`, or `invalid_request` for a parameter that is none.
#[utoipa::path(get, path = "/api/v1/receipts/aggregate", tag = "receipts", params(ReceiptListParams),
    responses((status = 200, description = "The sums.", body = ReceiptAggregate)))]
pub async fn receipt_aggregate(
    State(state): State<HttpState>,
    SignedIn(viewer): SignedIn,
    Query(params): Query<ReceiptListParams>,
) -> Result<Json<ReceiptAggregate>, ApiError> {
    let query = params.read()?;
    Ok(Json(state.app.receipts_aggregate(&viewer, &query).await?))
}

/// One receipt with what is needed to verify it.
///
/// # Errors
/// `unauthorized` for strangers unless the flag `public_receipts` is on; `not_found` when there is none with this id,
/// or, with the flag off, it is another organisation's.
#[utoipa::path(get, path = "/api/v1/receipts/{request_id}", tag = "receipts",
    params(("request_id" = String, Path, description = "Id of the request.")),
    responses((status = 200, description = "The receipt.", body = ReceiptDetail)))]
pub async fn receipt_detail(
    State(state): State<HttpState>,
    Reading(reader): Reading,
    Path(request_id): Path<String>,
) -> Result<Json<ReceiptDetail>, ApiError> {
    let detail = state.app.receipt_detail(&reader, &request_id).await?;
    detail.map(Json).ok_or_else(no_receipt)
}

/// The canonical bytes of a receipt, exactly as they were hashed and chained.
///
/// # Errors
/// `unauthorized` for strangers unless the flag `public_receipts` is on; `not_found` when there is none with this id,
/// or, with the flag off, it is another organisation's.
#[utoipa::path(get, path = "/api/v1/receipts/{request_id}/raw", tag = "receipts",
    params(("request_id" = String, Path, description = "Id of the request.")),
    responses((status = 200, description = "The entry bytes; they never change.",
        content_type = "application/json", body = serde_json::Value)))]
pub async fn receipt_raw(
    State(state): State<HttpState>,
    Reading(reader): Reading,
    Path(request_id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = state.app.receipt_raw(&reader, &request_id).await?;
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
