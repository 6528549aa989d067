//! The closed list of error types that the HTTP API and the link speak.

use serde::{Deserialize, Serialize};

macro_rules! error_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What went wrong, as a program reads it. The list is closed: a new one is an API change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorType {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorType {
            /// All error types, in the order of the documentation.
            pub const ALL: &[ErrorType] = &[$(ErrorType::$name,)*];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorType::$name => $text,)* }
            }
        }
    };
}

error_types! {
    /// The request could not be parsed or breaks a rule of its schema.
    InvalidRequest = "invalid_request",
    /// The bytes are not a receipt: syntax, schema or a rule of the receipt table.
    InvalidReceipt = "invalid_receipt",
    /// The receipt parses, but its signature does not hold.
    InvalidSignature = "invalid_signature",
    /// The same `request_id` was stored before with other bytes.
    ConflictingReceipt = "conflicting_receipt",
    /// Another receipt was stored for this `seq`, or `prev_hash` does not match the chain.
    ForkedChain = "forked_chain",
    /// The receipt ended before the time that receipts are kept for: whether it was here, nobody knows any more.
    ReceiptExpired = "receipt_expired",
    /// The receipt names another node than the one that sends it.
    WrongNode = "wrong_node",
    /// No credentials, or none that are valid.
    Unauthorized = "unauthorized",
    /// The credentials are valid, and the account asks for a code of an authenticator app beside them.
    SecondFactorNeeded = "second_factor_needed",
    /// The credentials are valid but do not allow this.
    Forbidden = "forbidden",
    /// The CSRF token is missing or wrong.
    InvalidCsrf = "invalid_csrf",
    /// The request's timestamp is too far from the server's clock.
    StaleTimestamp = "stale_timestamp",
    /// The same authenticated request was seen before.
    ReplayedRequest = "replayed_request",
    /// The enrolment token is unknown, spent, expired or revoked.
    InvalidToken = "invalid_token",
    /// The public key is not acceptable: not canonical, not of prime order, known already, or given up before.
    InvalidKey = "invalid_key",
    /// No such object, or not yours to see.
    NotFound = "not_found",
    /// The route exists, the method does not.
    MethodNotAllowed = "method_not_allowed",
    /// The state of the object does not allow this.
    Conflict = "conflict",
    /// The body is larger than the route accepts.
    TooLarge = "too_large",
    /// Too many requests; `Retry-After` says when to come back.
    RateLimited = "rate_limited",
    /// A newer session of the same node took over.
    Replaced = "replaced",
    /// The frame breaks the grammar of the link.
    InvalidFrame = "invalid_frame",
    /// The server is stopping or cannot serve now; `Retry-After` says when to come back.
    Unavailable = "unavailable",
    /// A fault of the server. Its log has the cause under the request id.
    Internal = "internal",
}

impl std::fmt::Display for ErrorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The body of every HTTP error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What happened, what it means and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ErrorDetail {
    /// One of the closed list.
    #[serde(rename = "type")]
    pub kind: ErrorType,
    /// A sentence for a person.
    pub message: String,
    /// The id under which the server logged this request.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(required = true))]
    pub request_id: String,
    /// Facts for a program, such as the server's time for [`ErrorType::StaleTimestamp`].
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(required = true))]
    pub details: serde_json::Map<String, serde_json::Value>,
}
