//! Who looks, out of who acts.

use crate::accounts::PUBLIC_RECEIPTS;
use crate::app::ANONYMOUS_OVERVIEW;
use crate::app::queries::Reader;
use crate::http::auth::Actor;
use crate::http::error::ApiError;
use crate::http::state::HttpState;
use axum::extract::FromRequestParts;
use dgon_control_plane_store::Scope;
use http::request::Parts;

/// Somebody who may see the overview: a person with a role, a key where one may be used, or anybody while the flag is on.
#[derive(Debug, Clone)]
pub struct Viewing(pub Scope);

impl FromRequestParts<HttpState> for Viewing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        match Actor::from_request_parts(parts, state).await? {
            Actor::Person(person) if person.is_member() => Ok(Self(person.scope())),
            Actor::Key(key) => Ok(Self(key.scope())),
            actor @ (Actor::Person(_) | Actor::Anonymous) => {
                if !state.accounts.flags().await?.is_on(ANONYMOUS_OVERVIEW) {
                    actor.person()?;
                    return Err(ApiError::forbidden(
                        "you are in none of this network's organisations; choose one of yours, or ask an admin",
                    ));
                }
                Ok(Self(Scope::Stranger))
            }
        }
    }
}

/// A person who is signed in, or a key where one may be used; receipts are for nobody else.
#[derive(Debug, Clone)]
pub struct SignedIn(pub Scope);

impl FromRequestParts<HttpState> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let actor = Actor::from_request_parts(parts, state).await?;
        Ok(Self(actor.scope()?))
    }
}

/// Somebody who may read one receipt: a person, a key where one may be used, or anybody while the flag is on.
#[derive(Debug, Clone)]
pub struct Reading(pub Reader);

impl FromRequestParts<HttpState> for Reading {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let actor = Actor::from_request_parts(parts, state).await?;
        let is_public = state.accounts.flags().await?.is_on(PUBLIC_RECEIPTS);
        let scope = match &actor {
            Actor::Anonymous if is_public => Scope::Stranger,
            actor => actor.scope()?,
        };
        Ok(Self(Reader { scope, is_public }))
    }
}
