//! Who looks, out of who acts.

use crate::accounts::PUBLIC_RECEIPTS;
use crate::app::ANONYMOUS_OVERVIEW;
use crate::app::queries::Reader;
use crate::app::viewer::Viewer;
use crate::http::auth::Actor;
use crate::http::error::ApiError;
use crate::http::state::HttpState;
use axum::extract::FromRequestParts;
use http::request::Parts;

/// Somebody who may see the overview: a person, or anybody while the flag is on.
#[derive(Debug, Clone)]
pub struct Viewing(pub Viewer);

impl FromRequestParts<HttpState> for Viewing {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        match Actor::from_request_parts(parts, state).await? {
            Actor::Person(person) => Ok(Self(Viewer::of(&person))),
            actor @ Actor::Anonymous => {
                if !state.accounts.flags().await?.is_on(ANONYMOUS_OVERVIEW) {
                    actor.person()?;
                }
                Ok(Self(Viewer::Public))
            }
        }
    }
}

/// A person who is signed in; receipts are for nobody else.
#[derive(Debug, Clone)]
pub struct SignedIn(pub Viewer);

impl FromRequestParts<HttpState> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let actor = Actor::from_request_parts(parts, state).await?;
        Ok(Self(Viewer::of(actor.person()?)))
    }
}

/// Somebody who may read one receipt: a person, or anybody while the flag is on.
#[derive(Debug, Clone)]
pub struct Reading(pub Reader);

impl FromRequestParts<HttpState> for Reading {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, ApiError> {
        let actor = Actor::from_request_parts(parts, state).await?;
        let is_public = state.accounts.flags().await?.is_on(PUBLIC_RECEIPTS);
        let viewer = match &actor {
            Actor::Person(person) => Viewer::of(person),
            Actor::Anonymous if is_public => Viewer::Public,
            Actor::Anonymous => Viewer::of(actor.person()?),
        };
        Ok(Self(Reader { viewer, is_public }))
    }
}
