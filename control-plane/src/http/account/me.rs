//! The person who is signed in, and for which of their organisations.

use super::users::MembershipView;
use crate::accounts::{Person, Role};
use crate::app::views::time;
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract;
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;
use dgon_control_plane_store::pools::PRIVATE_POOLS;
use dgon_control_plane_store::users::SecondFactorState;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The person who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Me {
    /// Identity.
    pub user_id: String,
    /// Address.
    pub email: String,
    /// What this person may do in the organisation that this sign-in acts for, sorted.
    pub roles: Vec<Role>,
    /// That organisation; `null` where they are not in it any more, or it is closed.
    pub org_id: Option<String>,
    /// Whether they can sign in with a password.
    pub has_password: bool,
    /// The second factor that they are asked for; `null` where they are asked for none.
    pub second_factor: Option<SecondFactorView>,
    /// All that they are in, in the order in which they joined.
    pub memberships: Vec<MembershipView>,
    /// Whether this network has private pools now.
    pub private_pools: bool,
    /// To be sent in `x-csrf-token` with every request that changes something.
    pub csrf_token: String,
}

/// Your second factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecondFactorView {
    /// Since when you are asked for it.
    pub since: String,
    /// Recovery codes that were not used, of ten.
    pub recovery_codes_left: i64,
}

impl From<SecondFactorState> for SecondFactorView {
    fn from(factor: SecondFactorState) -> Self {
        Self {
            since: time(factor.since_ms),
            recovery_codes_left: factor.recovery_codes_left,
        }
    }
}

impl Me {
    pub(super) async fn read(state: &HttpState, person: &Person) -> Result<Self, ApiError> {
        let member = state.accounts.me(person).await?;
        Ok(Self {
            user_id: person.user_id.clone(),
            email: person.email.clone(),
            roles: person.roles.iter().collect(),
            org_id: person.org_id.clone(),
            has_password: member.user.password_hash.is_some(),
            second_factor: member.second_factor.map(Into::into),
            memberships: member.memberships.into_iter().map(Into::into).collect(),
            private_pools: state.accounts.flags().await?.is_on(PRIVATE_POOLS),
            csrf_token: state.accounts.csrf_token(person),
        })
    }
}

/// For whom to act.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrganisationRequest {
    /// Identity of one of your organisations.
    pub org_id: String,
}

/// A password for yourself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The present one. Not needed within 15 minutes of signing in by a link, or of signing in where you have none.
    #[serde(default)]
    pub current: Option<String>,
    /// The new one, 8 to 256 characters.
    #[schema(min_length = 8, max_length = 256)]
    pub password: String,
}

/// Who is signed in.
///
/// # Errors
/// `unauthorized` when nobody is.
#[utoipa::path(get, path = "/api/v1/users/me", tag = "people",
    responses((status = 200, description = "The person who is signed in.", body = Me)))]
pub async fn user_me(State(state): State<HttpState>, actor: Actor) -> Result<Json<Me>, ApiError> {
    Ok(Json(Me::read(&state, actor.person()?).await?))
}

/// Sets your password. All your other sign-ins end, and links that sign you in.
///
/// # Errors
/// `unauthorized`, `invalid_request` for a wrong present password or one of a wrong length, `forbidden` for a first one more
/// than 15 minutes after signing in, `rate_limited` after ten tries in an hour.
#[utoipa::path(put, path = "/api/v1/users/me/password", tag = "people", request_body = PasswordRequest,
    responses((status = 204, description = "It is set.")))]
pub async fn password_set(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    extract::Json(body): extract::Json<PasswordRequest>,
) -> Result<StatusCode, ApiError> {
    let person = actor.person()?;
    state
        .accounts
        .password_set(person, body.current, body.password, &caller.origin)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets this sign-in act for another of your organisations; your next sign-ins begin with it.
///
/// # Errors
/// `unauthorized`, `not_found` for an organisation that you are not in, or that is closed.
#[utoipa::path(post, path = "/api/v1/auth/organisation", tag = "people", request_body = OrganisationRequest,
    responses((status = 200, description = "You, for that organisation.", body = Me)))]
pub async fn auth_organisation(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    extract::Json(body): extract::Json<OrganisationRequest>,
) -> Result<Json<Me>, ApiError> {
    let person = actor.person()?;
    let acting = state
        .accounts
        .act_for(person, &body.org_id, &caller.origin)
        .await?;
    Ok(Json(Me::read(&state, &acting).await?))
}
