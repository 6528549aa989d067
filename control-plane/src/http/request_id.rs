//! The outermost layer: gives each request an id, a span and a measure, and each error the one body.
//!
//! An id that the caller sends in `x-request-id` is kept when it is short and plain; else one is made. It is in
//! every response, every error body and every log line of the request.

use super::error::ApiError;
use super::metrics;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tracing::Instrument as _;

/// Carries the id in requests and responses.
pub(super) static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request in hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(request: &Request) -> Self {
        let sent = request
            .headers()
            .get(&HEADER)
            .and_then(|value| value.to_str().ok());
        match sent {
            Some(sent) if is_plain(sent) => Self(sent.to_owned()),
            _ => Self::generate(),
        }
    }

    fn generate() -> Self {
        let unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .unwrap_or(0);
        Self(ulid::Ulid::from_parts(unix_ms, rand::random()).to_string())
    }
}

fn is_plain(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

/// The layer.
pub(super) async fn layer(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    let started = Instant::now();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    // The console's pages have no route.
    let is_api = request.uri().path().starts_with("/api/")
        || request.extensions().get::<MatchedPath>().is_some();
    let span = tracing::info_span!("http", request_id = id.as_str(), %method, route);
    request.extensions_mut().insert(id.clone());

    let response = next.run(request).instrument(span.clone()).await;
    let mut response = sealed(response, &id, is_api);
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER.clone(), value);
    }
    let status = response.status();
    let elapsed = started.elapsed();
    metrics::observe_http(&route, status.as_u16(), elapsed);
    span.in_scope(|| {
        tracing::debug!(
            status = status.as_u16(),
            ms = elapsed.as_millis() as u64,
            "answered"
        );
    });
    response
}

/// Gives an error response the one body, with the request's id.
fn sealed(response: Response, id: &RequestId, is_api: bool) -> Response {
    let status = response.status();
    let ours = response.extensions().get::<ApiError>().cloned();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let error = match ours {
        Some(error) => error,
        None if (status.is_client_error() || status.is_server_error()) && is_api && !is_json => {
            ApiError::from_status(status)
        }
        None => return response,
    };
    let (old, _) = response.into_parts();
    let body = axum::Json(error.body(id.as_str()));
    let mut response = (old.status, body).into_response();
    for (name, value) in &old.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}
