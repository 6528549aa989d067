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
    let routes = Router::new()
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
        ));
    around(routes, is_https)
}

/// What stands around every answer, also to who was refused, and to whose handler failed.
fn around(routes: Router, is_https: bool) -> Router {
    routes
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use dgon_testkit::log_lines::LogLines;
    use serde_json::{Value, json};
    use tower::ServiceExt as _;

    const FAILS: &str = "/api/v1/fails";

    async fn fails() {
        panic!("of the inside, on purpose");
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_and_logged_and_others_go_on() {
        let (log, _collecting) = LogLines::begin();
        let routes = Router::new().route(FAILS, get(fails));
        let server = around(routes.fallback(nowhere::answer), false);
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answer = server.clone().oneshot(request).await.expect("an answer");
            let (head, body) = answer.into_parts();
            let body = to_bytes(body, BODY_BYTES).await.expect("a body");
            let body = serde_json::from_slice::<Value>(&body).expect("JSON");
            (head, body)
        };
        let (head, body) = ask(FAILS).await;
        assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
        let id = head.headers["x-request-id"].to_str().expect("text");
        let told = json!({ "error": {
            "type": "internal",
            "message": "the server failed; its log has the cause under this request id",
            "request_id": id,
            "details": {},
        } });
        assert_eq!(body, told);
        assert!(head.headers.contains_key("content-security-policy"));
        let errors = log.errors();
        let line = errors
            .iter()
            .find(|line| line["fields"]["message"] == "a handler panicked");
        let line = line.expect("a line");
        assert_eq!(line["span"]["request_id"], id);
        assert_eq!(line["span"]["route"], FAILS);
        let (head, _) = ask("/api/v1/nothing").await;
        assert_eq!(head.status, StatusCode::NOT_FOUND);
    }
}
