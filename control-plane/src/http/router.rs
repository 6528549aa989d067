//! All routes and layers, put together.

use super::state::HttpState;
use super::{
    account, admin, anonymous, downloads, error, health, metrics, node, nowhere, openapi,
    parameters, query, request_id, security, session,
};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use dgon_protocol::error::ErrorType;
use http::StatusCode;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

/// Largest body of a request; routes that take more say so themselves.
pub(super) const BODY_BYTES: usize = 64 * 1024;

/// The whole server. The outermost layer comes last.
pub fn router(state: &HttpState) -> Router {
    let is_https = state.is_https();
    let app = Arc::clone(&state.app);
    let shared = node::routes().merge(crate::link::routes()).with_state(app);
    Router::new()
        .merge(account::routes(state))
        .merge(query::routes(state))
        .merge(admin::routes(state))
        .merge(downloads::routes())
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics_text))
        .route("/api/v1/openapi.json", get(openapi::openapi_json))
        .with_state(state.clone())
        .merge(shared)
        .fallback(nowhere::answer)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(parameters::layer))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            anonymous::layer,
        ))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            session::layer,
        ))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            state.settings.request_timeout,
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            security::layer(is_https, request, next)
        }))
        .layer(middleware::from_fn(request_id::layer))
}

async fn method_not_allowed() -> Response {
    error::ApiError::new(
        ErrorType::MethodNotAllowed,
        "this address does not take this method",
    )
    .into_response()
}

/// A fault of ours in one request: answered and logged, and the others go on.
fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    error::ApiError::new(
        ErrorType::Internal,
        "the server failed; its log has the cause under this request id",
    )
    .into_response()
}
