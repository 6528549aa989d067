//! The keys that work orders are signed with.

use crate::app::views::{OrderKeyView, Page};
use crate::http::error::ApiError;
use crate::http::extract::Query;
use crate::http::paging::{PageParams, cursor};
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;

/// Keys that processes of this control plane have signed work orders and countersignatures with, the newest first: all that ever
/// were. Whoever has one of these verifies it offline with the key that its `kid` names, so nobody has to sign in.
///
/// # Errors
/// `invalid_request` for a parameter that is none.
#[utoipa::path(get, path = "/api/v1/keys", tag = "receipts", security((), ("session" = [])), params(PageParams),
    responses((status = 200, description = "A page of keys.", body = Page<OrderKeyView>)))]
pub async fn order_key_list(
    State(state): State<HttpState>,
    Query(page): Query<PageParams>,
) -> Result<Json<Page<OrderKeyView>>, ApiError> {
    let (items, next) = state
        .app
        .order_keys_page(page.place()?, page.rows())
        .await?;
    Ok(Json(Page {
        items,
        next_cursor: next.map(cursor),
        total: None,
    }))
}
