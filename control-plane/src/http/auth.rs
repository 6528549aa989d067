//! Who acts, as handlers see it.

use super::client_ip::ClientIp;
use super::error::ApiError;
use super::request_id::RequestId;
use crate::accounts::{KeyHolder, Origin, Person, Role};
use axum::extract::FromRequestParts;
use dgon_control_plane_store::Scope;
use http::HeaderMap;
use http::header::USER_AGENT;
use http::request::Parts;
use std::convert::Infallible;

const USER_AGENT_CHARS: usize = 256;

/// What the session layer found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Acting {
    /// No session cookie.
    Nobody,
    /// A session cookie that no longer works.
    Ended,
    /// A live session.
    Person(Person),
    /// A program with a key that may be used for what is asked.
    Key(KeyHolder),
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Nobody is signed in.
    Anonymous,
    /// A person in a live session.
    Person(Person),
    /// A program with a key, on a route that takes it.
    Key(KeyHolder),
}

impl Actor {
    /// The person, or 401; 403 for a key.
    ///
    /// # Errors
    /// [`ApiError`] of type `unauthorized` or `forbidden`.
    pub fn person(&self) -> Result<&Person, ApiError> {
        match self {
            Self::Person(person) => Ok(person),
            Self::Key(_) => Err(ApiError::takes_a_person()),
            Self::Anonymous => Err(ApiError::unauthorized()),
        }
    }

    /// Whose rows this one may see: a person, or a key where one may be used.
    ///
    /// # Errors
    /// [`ApiError`] of type `unauthorized`.
    pub fn scope(&self) -> Result<Scope, ApiError> {
        match self {
            Self::Person(person) => Ok(person.scope()),
            Self::Key(key) => Ok(key.scope()),
            Self::Anonymous => Err(ApiError::unauthorized()),
        }
    }

    /// The organisation that this one acts for; `None` where a person is in none.
    ///
    /// # Errors
    /// [`ApiError`] of type `unauthorized`.
    pub fn org_id(&self) -> Result<Option<&str>, ApiError> {
        match self {
            Self::Person(person) => Ok(person.org_id.as_deref()),
            Self::Key(key) => Ok(Some(key.org_id())),
            Self::Anonymous => Err(ApiError::unauthorized()),
        }
    }

    /// The person, if one of `roles` is held; 401 without a session, 403 without a role and for a key.
    ///
    /// # Errors
    /// [`ApiError`] of type `unauthorized` or `forbidden`.
    pub fn require(&self, roles: &[Role]) -> Result<&Person, ApiError> {
        let person = self.person()?;
        if roles.iter().any(|role| person.has(*role)) {
            return Ok(person);
        }
        let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
        Err(ApiError::forbidden(format!(
            "this needs the role {}; an admin can give it to you",
            names.join(" or ")
        )))
    }

    /// Whether this is an admin.
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Person(person) if person.has(Role::Admin))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Acting>() {
            Some(Acting::Person(person)) => Ok(Self::Person(person.clone())),
            Some(Acting::Key(key)) => Ok(Self::Key(key.clone())),
            Some(Acting::Ended) => Err(ApiError::new(
                dgon_protocol::error::ErrorType::Unauthorized,
                "the session has ended; refresh it or sign in again",
            )),
            Some(Acting::Nobody) | None => Ok(Self::Anonymous),
        }
    }
}

/// The person of a live session, where there is one; never an error. For routes that end or begin a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybePerson(pub Option<Person>);

impl<S: Send + Sync> FromRequestParts<S> for MaybePerson {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(match parts.extensions.get::<Acting>() {
            Some(Acting::Person(person)) => Some(person.clone()),
            _ => None,
        }))
    }
}

/// Where a request comes from, for the audit log and rate limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// For the audit log.
    pub origin: Origin,
    /// Address, where the server knows it.
    pub ip: Option<ClientIp>,
}

impl Caller {
    /// What the layers found, and the browser says.
    pub fn of(parts: &Parts) -> Self {
        let ip = parts.extensions.get::<ClientIp>().copied();
        let request_id = parts.extensions.get::<RequestId>();
        Self {
            origin: Origin {
                ip: ip.map(|ip| ip.0.to_string()),
                request_id: request_id.map(|id| id.as_str().to_owned()),
                user_agent: user_agent(&parts.headers),
            },
            ip,
        }
    }
}

/// What a browser calls itself, cut to a length that no browser needs.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(USER_AGENT_CHARS).collect())
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}
