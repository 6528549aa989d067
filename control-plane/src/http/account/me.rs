//! The person who is signed in.

use crate::accounts::{Person, Role};
use crate::http::auth::Actor;
use crate::http::error::ApiError;
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// The person who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Me {
    /// Identity.
    pub user_id: String,
    /// Address.
    pub email: String,
    /// What this person may do, sorted.
    pub roles: Vec<Role>,
    /// The organisation.
    pub org_id: String,
    /// To be sent in `x-csrf-token` with every request that changes something.
    pub csrf_token: String,
}

impl Me {
    pub(super) fn new(state: &HttpState, person: &Person) -> Self {
        Self {
            user_id: person.user_id.clone(),
            email: person.email.clone(),
            roles: person.roles.iter().collect(),
            org_id: person.org_id.clone(),
            csrf_token: state.accounts.csrf_token(person),
        }
    }
}

/// Who is signed in.
///
/// # Errors
/// `unauthorized` when nobody is.
#[utoipa::path(get, path = "/api/v1/users/me", tag = "people",
    responses((status = 200, description = "The person who is signed in.", body = Me)))]
pub async fn user_me(State(state): State<HttpState>, actor: Actor) -> Result<Json<Me>, ApiError> {
    Ok(Json(Me::new(&state, actor.person()?)))
}
