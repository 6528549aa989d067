//! Errors of the HTTP API: one shape, a closed list of types.

use axum::response::{IntoResponse, Response};
use dgon_protocol::error::{ErrorBody, ErrorDetail, ErrorType};
use http::{HeaderValue, StatusCode, header};

/// An error as the outside sees it. What the inside needs to know was logged before it became one.
#[derive(Debug, Clone)]
pub struct ApiError {
    kind: ErrorType,
    message: String,
    details: serde_json::Map<String, serde_json::Value>,
    retry_after_s: Option<u32>,
}

impl ApiError {
    /// An error of `kind` with a sentence for a person.
    pub fn new(kind: ErrorType, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            details: serde_json::Map::new(),
            retry_after_s: None,
        }
    }

    /// Adds a fact for a program.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Says when to come back.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// A fault of ours: logs the whole chain of `error` and says nothing of it outside.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut chain = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            chain.push_str(": ");
            chain.push_str(&cause.to_string());
            source = cause.source();
        }
        tracing::error!(error = chain, "request failed");
        Self::new(
            ErrorType::Internal,
            "the server failed; its log has the cause under this request id",
        )
    }

    /// The type.
    pub fn kind(&self) -> ErrorType {
        self.kind
    }

    /// The HTTP status of the type.
    pub fn status(&self) -> StatusCode {
        match self.kind {
            ErrorType::InvalidRequest | ErrorType::InvalidReceipt | ErrorType::InvalidFrame => {
                StatusCode::BAD_REQUEST
            }
            ErrorType::Unauthorized
            | ErrorType::InvalidSignature
            | ErrorType::StaleTimestamp
            | ErrorType::ReplayedRequest
            | ErrorType::InvalidToken => StatusCode::UNAUTHORIZED,
            ErrorType::Forbidden | ErrorType::InvalidCsrf | ErrorType::WrongNode => {
                StatusCode::FORBIDDEN
            }
            ErrorType::InvalidKey => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorType::NotFound => StatusCode::NOT_FOUND,
            ErrorType::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorType::Conflict
            | ErrorType::ConflictingReceipt
            | ErrorType::ForkedChain
            | ErrorType::Replaced => StatusCode::CONFLICT,
            ErrorType::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorType::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorType::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<dgon_control_plane_store::StoreError> for ApiError {
    fn from(error: dgon_control_plane_store::StoreError) -> Self {
        Self::internal(&error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let retry_after = self.retry_after_s;
        let body = ErrorBody {
            error: ErrorDetail {
                kind: self.kind,
                message: self.message,
                request_id: String::new(),
                details: self.details,
            },
        };
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
