//! The proxy's own answers, in the form that the client of a route expects.

use super::answer::Answer;
use super::client_body::BodyError;
use crate::admission::Refused;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, SERVER};
use http::{Response, StatusCode};

/// What the proxy calls itself; runtime detection knows its own proxy by it.
pub const SERVER_NAME: &str = "dgon-agent";

/// Why the proxy answers for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No receipt could be recorded.
    SpoolUnavailable,
    /// There is no runtime.
    NoRuntime,
    /// The runtime cannot be reached or broke off.
    RuntimeFailed,
    /// The runtime did not answer in time.
    RuntimeTimeout,
    /// The request body is too large.
    TooLarge,
    /// Too many request bodies at once.
    Busy,
    /// The agent is stopping.
    Stopping,
    /// The client was too slow.
    ClientTimeout,
    /// The request cannot be read.
    BadRequest,
    /// Something that this proxy does not do.
    NotSupported,
    /// The host name is not this machine's.
    ForeignHost,
    /// A web page of another site asks.
    ForeignOrigin,
    /// Runtime detection came to the proxy.
    NotARuntime,
}

impl Refusal {
    /// Why work was not let in.
    pub(super) fn of(refused: &Refused) -> Self {
        match refused {
            Refused::Spool(_) => Self::SpoolUnavailable,
            Refused::Stopping => Self::Stopping,
            Refused::Paused(_) | Refused::Busy | Refused::Probes => Self::Busy,
        }
    }

    /// Why a request body was not read.
    pub(super) fn unread(error: &BodyError) -> Self {
        match error {
            BodyError::TooSlow => Self::ClientTimeout,
            BodyError::Broken(_) => Self::BadRequest,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::SpoolUnavailable | Self::NoRuntime | Self::Busy | Self::Stopping => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::RuntimeFailed => StatusCode::BAD_GATEWAY,
            Self::RuntimeTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::NotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::ForeignHost | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotARuntime => StatusCode::NOT_FOUND,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::SpoolUnavailable => "spool_unavailable",
            Self::NoRuntime => "no_runtime",
            Self::RuntimeFailed => "runtime_unavailable",
            Self::RuntimeTimeout => "runtime_timeout",
            Self::TooLarge => "request_too_large",
            Self::Busy => "busy",
            Self::Stopping => "stopping",
            Self::ClientTimeout => "request_timeout",
            Self::BadRequest => "invalid_request",
            Self::NotSupported => "not_supported",
            Self::ForeignHost => "host_not_allowed",
            Self::ForeignOrigin => "origin_not_allowed",
            Self::NotARuntime => "not_a_runtime",
        }
    }

    /// The answer for the client of `path`.
    pub(super) fn reply(self, path: &str, message: &str) -> Response<Answer> {
        let mut response = Response::new(Answer::own(self.body(path, message)));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }

    fn body(self, path: &str, message: &str) -> Bytes {
        let kind = self.kind();
        let body = if path.starts_with("/api/") || path.starts_with("/v2/") {
            serde_json::json!({ "error": message })
        } else if path.starts_with("/generate") {
            serde_json::json!({ "error": message, "error_type": kind })
        } else {
            let code = self.status().as_u16();
            serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        };
        Bytes::from(body.to_string())
    }
}
