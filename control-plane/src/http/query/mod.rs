//! Queries: the network, nodes, receipts, keys, and the live socket.
//!
//! Every handler of what is not everybody's asks [`viewing::Viewing`] who looks; `app::queries` and `live` leave out what is not theirs.

pub mod audit;
pub mod live;
pub mod nodes;
pub mod order_keys;
pub(super) mod params;
pub mod receipts;
pub mod regions;
pub mod summary;
pub mod viewing;

use super::error::ApiError;
use super::state::HttpState;
use super::turns;
use crate::app::queries::QueryError;
use axum::Router;
use axum::middleware;
use axum::routing::get;
use dgon_protocol::error::ErrorType;

/// The routes of this module, with full paths.
pub fn routes(state: &HttpState) -> Router<HttpState> {
    let pages = Router::new()
        .route("/api/v1/summary", get(summary::summary))
        .route("/api/v1/summary/trends", get(summary::trends))
        .route("/api/v1/regions", get(regions::regions))
        .route("/api/v1/nodes", get(nodes::node_list))
        .route("/api/v1/nodes/{node_id}", get(nodes::node_detail))
        .route("/api/v1/nodes/{node_id}/keys", get(nodes::node_keys))
        .route("/api/v1/keys", get(order_keys::order_key_list))
        .route("/api/v1/audit", get(audit::audit_list))
        .route("/api/v1/audit.csv", get(audit::audit_csv))
        .route("/api/v1/receipts", get(receipts::receipt_list))
        .route(
            "/api/v1/receipts/aggregate",
            get(receipts::receipt_aggregate),
        )
        .route(
            "/api/v1/receipts/{request_id}",
            get(receipts::receipt_detail),
        )
        .route(
            "/api/v1/receipts/{request_id}/raw",
            get(receipts::receipt_raw),
        )
        .route_layer(middleware::from_fn_with_state(state.clone(), turns::layer));
    // A live socket stays for hours, and asks for nothing that has much to count.
    Router::new()
        .merge(pages)
        .route("/api/v1/live", get(live::live))
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let outside = error.to_string();
        match error {
            QueryError::Store(error) => Self::from(error),
            QueryError::NotNow => Self::new(ErrorType::Unavailable, outside).retry_after(1),
            QueryError::Cursor => Self::new(ErrorType::InvalidRequest, outside),
            QueryError::Restricted => Self::restricted(),
            QueryError::NotShown => Self::new(ErrorType::Forbidden, outside),
            QueryError::SeveralNodes(nodes) => {
                Self::new(ErrorType::Conflict, outside).with("nodes", nodes)
            }
        }
    }
}
