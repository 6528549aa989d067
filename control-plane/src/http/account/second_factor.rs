//! The code of an authenticator app: asked for at a sign-in, set up, and taken away.

use super::sign_in::Attempt;
use super::users::UserView;
use crate::accounts::{Role, ShownCodes};
use crate::app::views::time;
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::http::reason;
use crate::http::state::HttpState;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRequest {
    /// The six digits that the authenticator app shows now, or a recovery code.
    pub code: String,
}

/// A secret to add to an authenticator app. Nothing is kept of it before its first code comes.
#[derive(Serialize, ToSchema)]
pub struct SecondFactorOffer {
    /// To type into an app that cannot scan: base32.
    pub secret: String,
    /// What an app reads from a picture: `otpauth://totp/…`.
    pub uri: String,
    /// To be sent back with the first code.
    pub sealed: String,
    /// Until when.
    pub expires_at: String,
}

/// The first code of an app that has the secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondFactorRequest {
    /// As it came with the secret.
    pub sealed: String,
    /// The six digits that the app shows now.
    pub code: String,
    /// Your present password, where you have one.
    #[serde(default)]
    pub current: Option<String>,
}

/// Codes for when the app is gone, each good once. Shown this once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodes {
    /// Ten of them.
    pub recovery_codes: Vec<String>,
}

/// Why somebody's second factor is taken away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

impl From<ShownCodes> for RecoveryCodes {
    fn from(codes: ShownCodes) -> Self {
        Self {
            recovery_codes: codes.iter().map(|code| code.to_string()).collect(),
        }
    }
}

/// Signs in with the code that a sign-in answered `second_factor_needed` for. What was proven before is in a cookie, for this
/// browser alone, for five minutes.
///
/// # Errors
/// `invalid_request` for a wrong code, `invalid_token` where the first proof is too old or was taken away, `rate_limited` after
/// ten wrong codes in an hour; recovery codes still work then.
#[utoipa::path(post, path = "/api/v1/auth/second-factor", tag = "people", security(()), request_body = CodeRequest,
    responses((status = 200, description = "Signed in; the session is in cookies.", body = super::me::Me)))]
pub async fn auth_second_factor(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    Json(body): Json<CodeRequest>,
) -> Result<Response, ApiError> {
    let attempt = Attempt::begin(&state, &headers, &caller)?;
    let pending = state.cookies.pending(&headers).unwrap_or_default();
    let signed_in = state
        .accounts
        .second_factor_sign_in(pending, &body.code, &caller.origin)
        .await;
    let answer = attempt.finish(signed_in).await?;
    let spent = AppendHeaders(state.cookies.set_pending("", 0));
    Ok((spent, answer).into_response())
}

/// A secret for your authenticator app.
///
/// # Errors
/// `unauthorized`, `forbidden` more than 15 minutes after signing in, `conflict` where there is one already.
#[utoipa::path(post, path = "/api/v1/users/me/second-factor/offer", tag = "people",
    responses((status = 200, description = "The secret, shown this once.", body = SecondFactorOffer)))]
pub async fn second_factor_offer(
    State(state): State<HttpState>,
    actor: Actor,
) -> Result<axum::Json<SecondFactorOffer>, ApiError> {
    let offer = state.accounts.second_factor_offer(actor.person()?).await?;
    Ok(axum::Json(SecondFactorOffer {
        secret: offer.secret.to_string(),
        uri: offer.uri.to_string(),
        sealed: offer.sealed,
        expires_at: time(offer.expires_at_ms),
    }))
}

/// Asks you for a code at every sign-in from now on. Your other sign-ins end.
///
/// # Errors
/// `unauthorized`, `forbidden` more than 15 minutes after signing in, `invalid_request` for a wrong code or password, `invalid_token`
/// for a secret that was offered too long ago, `conflict` where there is one already.
#[utoipa::path(put, path = "/api/v1/users/me/second-factor", tag = "people", request_body = SecondFactorRequest,
    responses((status = 200, description = "Your recovery codes, shown this once.", body = RecoveryCodes)))]
pub async fn second_factor_set(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<SecondFactorRequest>,
) -> Result<axum::Json<RecoveryCodes>, ApiError> {
    let person = actor.person()?;
    let (accounts, shown) = (&state.accounts, (body.sealed.as_str(), body.code.as_str()));
    let codes = accounts.second_factor_set_up(person, shown, body.current, &caller.origin);
    Ok(axum::Json(codes.await?.into()))
}

/// Other recovery codes in place of those that you have.
///
/// # Errors
/// `unauthorized`, `forbidden` more than 15 minutes after signing in, `invalid_request` for a wrong code, `conflict` where you
/// are asked for none, `rate_limited`.
#[utoipa::path(post, path = "/api/v1/users/me/second-factor/recovery-codes", tag = "people", request_body = CodeRequest,
    responses((status = 200, description = "Your recovery codes, shown this once.", body = RecoveryCodes)))]
pub async fn recovery_codes_renew(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<CodeRequest>,
) -> Result<axum::Json<RecoveryCodes>, ApiError> {
    let person = actor.person()?;
    let codes = state
        .accounts
        .recovery_codes_renew(person, &body.code, &caller.origin);
    Ok(axum::Json(codes.await?.into()))
}

/// Asks you for no code any more.
///
/// # Errors
/// `unauthorized`, `forbidden` more than 15 minutes after signing in, `invalid_request` for a wrong code, `conflict` where you
/// are asked for none, `rate_limited`.
#[utoipa::path(post, path = "/api/v1/users/me/second-factor/remove", tag = "people", request_body = CodeRequest,
    responses((status = 204, description = "No code is asked for.")))]
pub async fn second_factor_remove(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Json(body): Json<CodeRequest>,
) -> Result<StatusCode, ApiError> {
    let person = actor.person()?;
    let removed = state
        .accounts
        .second_factor_remove(person, &body.code, &caller.origin);
    removed.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks somebody for no code any more, who has lost the app and the recovery codes. See to it that it is they who ask.
///
/// # Errors
/// `unauthorized`, `forbidden`, also for your own account, `not_found`, `invalid_request` without a reason, `conflict` where they
/// are asked for none.
#[utoipa::path(post, path = "/api/v1/users/{user_id}/reset-second-factor", tag = "admin", request_body = ResetRequest,
    params(("user_id" = String, Path, description = "Identity of the person.")),
    responses((status = 200, description = "The person.", body = UserView)))]
pub async fn second_factor_reset(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(user_id): Path<String>,
    Json(body): Json<ResetRequest>,
) -> Result<axum::Json<UserView>, ApiError> {
    let person = actor.require(&[Role::Admin])?;
    let reason = reason::required(&body.reason)?;
    state
        .accounts
        .second_factor_reset_of(person, &user_id, reason, &caller.origin)
        .await?;
    let member = state.accounts.member(person, &user_id).await?;
    Ok(axum::Json(member.into()))
}
