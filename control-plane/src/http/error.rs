//! Errors of the HTTP API: one shape, a closed list of types.
//!
//! An [`ApiError`] travels with its response as an extension, so that the outermost layer can write the body
//! again with the id of the request.

use crate::accounts::AccountError;
use crate::app::UnlistedRegion;
use crate::socket::NoHandshake;
use axum::response::{IntoResponse, Response};
use dgon_control_plane_model::api_key::LimitError;
use dgon_control_plane_model::pool::PoolError;
use dgon_control_plane_store::StoreError;
use dgon_control_plane_store::pools::PRIVATE_POOLS;
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

    /// The request breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorType::InvalidRequest, message)
    }

    /// There is no such object, or it is not this caller's to see.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorType::NotFound, message)
    }

    /// Nobody is signed in.
    pub fn unauthorized() -> Self {
        Self::new(ErrorType::Unauthorized, "sign in first")
    }

    /// Somebody is signed in who may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, message)
    }

    /// Something that is there, in a private pool that lets everybody know that, and is not this caller's to see.
    pub fn restricted() -> Self {
        Self::forbidden(AccountError::Restricted.to_string()).with("restricted_to", "pool members")
    }

    /// A program with a key calls what only people may do.
    pub fn takes_a_person() -> Self {
        Self::forbidden("this takes a person who is signed in; no API key can do it")
            .with("takes", "person")
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

    /// The error that a bare status means, for responses that carry no body of ours.
    pub(super) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is nothing at this address"),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                ErrorType::MethodNotAllowed,
                "this address does not take this method",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                ErrorType::TooLarge,
                "the body is larger than this address takes",
            ),
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            StatusCode::FORBIDDEN => Self::forbidden("this is not allowed"),
            StatusCode::TOO_MANY_REQUESTS => Self::new(
                ErrorType::RateLimited,
                "too many requests; wait and try again",
            ),
            StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => Self::new(
                ErrorType::Unavailable,
                "the server could not answer in time; try again",
            )
            .retry_after(1),
            status if status.is_client_error() => Self::invalid("the request could not be read"),
            _ => Self::new(
                ErrorType::Internal,
                "the server failed; its log has the cause under this request id",
            ),
        }
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
            | ErrorType::SecondFactorNeeded
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
            | ErrorType::ReceiptExpired
            | ErrorType::Replaced => StatusCode::CONFLICT,
            ErrorType::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorType::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorType::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorType::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            // The list of the protocol crate may grow; a test there holds that each type has an arm above.
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A question that took too long.
    pub(super) fn gave_up() -> Self {
        Self::new(
            ErrorType::Unavailable,
            "the database did not answer in time, so the question was given up; ask for less, or later",
        )
        .retry_after(5)
    }

    /// The body, under the id of the request.
    pub(super) fn body(&self, request_id: &str) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                kind: self.kind,
                message: self.message.clone(),
                request_id: request_id.to_owned(),
                details: self.details.clone(),
            },
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Slow { op } => {
                tracing::warn!(op, "a question took too long and was given up");
                Self::gave_up()
            }
            StoreError::Connection(_) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a question had no connection"
                );
                Self::new(
                    ErrorType::Unavailable,
                    "the database is away or has too much to do; try again",
                )
                .retry_after(2)
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<NoHandshake> for ApiError {
    fn from(error: NoHandshake) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<UnlistedRegion> for ApiError {
    fn from(error: UnlistedRegion) -> Self {
        Self::invalid(error.to_string())
            .with("field", "region")
            .with("regions", error.regions())
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        let outside = error.to_string();
        match error {
            AccountError::WrongCredentials | AccountError::SessionEnded => {
                Self::new(ErrorType::Unauthorized, outside)
            }
            AccountError::LinkInvalid
            | AccountError::WalletSpent
            | AccountError::OidcSpent
            | AccountError::PendingGone => Self::new(ErrorType::InvalidToken, outside),
            AccountError::SecondFactor(_) => Self::new(ErrorType::SecondFactorNeeded, outside),
            AccountError::Totp(_) | AccountError::RecoveryCode => {
                Self::invalid(outside).with("field", "code")
            }
            AccountError::FactorLabel(_) => Self::invalid(outside),
            AccountError::OwnFactor => Self::forbidden(outside),
            AccountError::NotFresh => {
                Self::new(ErrorType::Forbidden, outside).with("sign_in", "again")
            }
            AccountError::WalletUnknown | AccountError::IdentityUnknown | AccountError::Key(_) => {
                Self::new(ErrorType::Unauthorized, outside)
            }
            AccountError::WalletProof(_) | AccountError::OidcProof(_) => {
                Self::new(ErrorType::InvalidSignature, outside)
            }
            AccountError::OidcDeclined | AccountError::OidcRefused => {
                Self::new(ErrorType::Forbidden, outside)
            }
            AccountError::Issuer(_) => Self::new(ErrorType::Unavailable, outside).retry_after(10),
            AccountError::KeyLacks(scope) | AccountError::KeyOwnerLacks(scope) => {
                Self::forbidden(outside).with("scope", scope.as_str())
            }
            AccountError::KeyScope(scope) => Self::forbidden(outside)
                .with("field", "scopes")
                .with("scope", scope.as_str()),
            AccountError::KeyNotAllowed => Self::forbidden(outside),
            AccountError::KeyScopes(_) => Self::invalid(outside).with("field", "scopes"),
            AccountError::KeyLimit(LimitError::Budget) => {
                Self::invalid(outside).with("field", "budget_nano_usd")
            }
            AccountError::KeyLimit(_) => Self::invalid(outside).with("field", "models"),
            AccountError::KeyDays => Self::invalid(outside).with("field", "days"),
            AccountError::WalletChain(_) => Self::invalid(outside).with("field", "chain_id"),
            AccountError::WalletRequest(_) => Self::invalid(outside).with("field", "address"),
            AccountError::WrongPassword => Self::invalid(outside).with("field", "current"),
            AccountError::EmailTaken
            | AccountError::LastAdmin
            | AccountError::Disabled
            | AccountError::OrgNameTaken
            | AccountError::NoWallets
            | AccountError::WalletTaken
            | AccountError::TooManyWallets
            | AccountError::IdentityTaken
            | AccountError::TooManyIdentities
            | AccountError::TooManyKeys
            | AccountError::LastWayIn
            | AccountError::FactorExists
            | AccountError::NoFactor
            | AccountError::NodeRetired
            | AccountError::NodeGone
            | AccountError::SameOrganisation
            | AccountError::TooManyAssignees
            | AccountError::MainOrg => Self::new(ErrorType::Conflict, outside),
            AccountError::PoolsOff => {
                Self::new(ErrorType::Conflict, outside).with("flag", PRIVATE_POOLS)
            }
            AccountError::Restricted => Self::restricted(),
            AccountError::Pool(error) => Self::invalid(outside).with(
                "field",
                match error {
                    PoolError::Name => "name",
                    PoolError::Existence => "existence",
                    PoolError::Labels | PoolError::LabelKey | PoolError::LabelValue => "labels",
                },
            ),
            AccountError::PoolNameTaken => {
                Self::new(ErrorType::Conflict, outside).with("field", "name")
            }
            AccountError::OwnPool => {
                Self::new(ErrorType::Conflict, outside).with("field", "org_id")
            }
            AccountError::OtherPool => {
                Self::new(ErrorType::Conflict, outside).with("field", "node_id")
            }
            AccountError::TooManyPools | AccountError::TooManyMembers => {
                Self::new(ErrorType::Conflict, outside)
            }
            AccountError::PoolHasNodes { nodes } => {
                Self::new(ErrorType::Conflict, outside).with("nodes", nodes)
            }
            AccountError::TokenPool => Self::invalid(outside).with("field", "pool_id"),
            AccountError::CannotCare => {
                Self::new(ErrorType::Conflict, outside).with("field", "user_id")
            }
            AccountError::RegistrationClosed => Self::forbidden(outside),
            AccountError::NotThisEmail => Self::invalid(outside).with("field", "email"),
            AccountError::AdminStays => Self::new(ErrorType::Conflict, outside),
            AccountError::OwnNodes { nodes, .. } => {
                Self::new(ErrorType::Conflict, outside).with("nodes", nodes)
            }
            AccountError::OrgHasNodes { nodes } => {
                Self::new(ErrorType::Conflict, outside).with("nodes", nodes)
            }
            AccountError::Roles(_) => Self::invalid(outside).with("field", "roles"),
            AccountError::OrgName | AccountError::KeyName => {
                Self::invalid(outside).with("field", "name")
            }
            AccountError::Email => Self::invalid(outside).with("field", "email"),
            AccountError::Password => Self::invalid(outside).with("field", "password"),
            AccountError::TokenWish(_) => Self::invalid(outside),
            AccountError::Region(error) => error.into(),
            AccountError::NotFound(_) | AccountError::NoUser => Self::not_found(outside),
            AccountError::TooOften { wait_s } | AccountError::RegistrationsFull { wait_s } => {
                Self::new(ErrorType::RateLimited, outside).retry_after(wait_s)
            }
            AccountError::Busy => Self::new(ErrorType::Unavailable, outside).retry_after(2),
            AccountError::Randomness
            | AccountError::AccessToken(_)
            | AccountError::FactorSealed
            | AccountError::Hash(_)
            | AccountError::StoredHash
            | AccountError::HashStopped
            | AccountError::IssuerStopped(_) => Self::internal(&error),
            AccountError::Store(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(self.body(""))).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_status_of_its_own_choice() {
        for kind in ErrorType::ALL {
            let status = ApiError::new(*kind, "").status();
            let is_ours = *kind == ErrorType::Internal;
            assert_eq!(
                status == StatusCode::INTERNAL_SERVER_ERROR,
                is_ours,
                "{kind}"
            );
        }
    }

    #[test]
    fn a_bare_status_keeps_its_class() {
        for code in [400, 401, 403, 404, 405, 413, 415, 429, 500, 501, 503] {
            let status = StatusCode::from_u16(code).expect("status");
            let error = ApiError::from_status(status);
            assert_eq!(
                error.status().is_client_error(),
                status.is_client_error(),
                "{code}"
            );
        }
    }
}
