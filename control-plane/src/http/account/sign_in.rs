//! Beginning, renewing and ending a session. Tokens travel in cookies alone.

use super::me::Me;
use super::oidc::IssuerView;
use crate::accounts::{AccountError, SignedIn};
use crate::app::ANONYMOUS_OVERVIEW;
use crate::http::auth::{Caller, MaybePerson};
use crate::http::client_ip::network;
use crate::http::error::ApiError;
use crate::http::extract::Json;
use crate::http::state::HttpState;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use dgon_protocol::error::ErrorType;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;

/// What a visitor needs to know before signing in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AuthState {
    /// Nobody has an account yet: the server's log has a link for the first admin.
    pub setup_needed: bool,
    /// The overview is open to everybody.
    pub anonymous_overview: bool,
    /// Whether anybody can make an account.
    pub open_registration: bool,
    /// Whether a wallet can sign in: it signs for an address, which must be set.
    pub wallets: bool,
    /// Chains of the Cosmos SDK whose accounts can, too.
    pub cosmos_chains: Vec<String>,
    /// Issuers of OpenID Connect whose accounts can, once they are linked.
    pub issuers: Vec<IssuerView>,
    /// Version of the control plane.
    pub version: String,
}

/// The first admin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// The secret of the set-up link.
    pub token: String,
    /// Address, the name to sign in with.
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@]+@[^@]+$")]
    pub email: String,
    /// Password, 8 to 256 characters.
    #[schema(min_length = 8, max_length = 256)]
    pub password: String,
}

/// Sign-in with a one-time link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemRequest {
    /// The secret of the link.
    pub token: String,
}

/// An account to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// Address, the name to sign in with. Nothing is sent to it.
    #[schema(min_length = 3, max_length = 254, pattern = "^[^@]+@[^@]+$")]
    pub email: String,
    /// Password, 8 to 256 characters.
    #[schema(min_length = 8, max_length = 256)]
    pub password: String,
    /// What its organisation is called, 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub organisation: String,
}

/// Sign-in with a password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Address.
    pub email: String,
    /// Password.
    pub password: String,
}

/// What a visitor needs to know before signing in.
///
/// # Errors
/// A fault of the store.
#[utoipa::path(get, path = "/api/v1/auth/state", tag = "people", security(()),
    responses((status = 200, description = "Whether set-up is needed and what is open.", body = AuthState)))]
pub async fn auth_state(State(state): State<HttpState>) -> Result<axum::Json<AuthState>, ApiError> {
    let flags = state.accounts.flags().await?;
    Ok(axum::Json(AuthState {
        setup_needed: state.accounts.setup_needed().await?,
        anonymous_overview: flags.is_on(ANONYMOUS_OVERVIEW),
        open_registration: state.accounts.registration_is_open().await?,
        wallets: state.accounts.takes_wallets(),
        cosmos_chains: state.accounts.cosmos_chains().map(str::to_owned).collect(),
        issuers: state.accounts.issuers().map(Into::into).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }))
}

/// Makes the first admin with the one-time link that the server printed, and signs in.
///
/// # Errors
/// `invalid_token` for a link that was used, has expired or is not needed; `rate_limited`.
#[utoipa::path(post, path = "/api/v1/auth/setup", tag = "people", security(()), request_body = SetupRequest,
    responses((status = 200, description = "Signed in; the session is in cookies.", body = Me)))]
pub async fn auth_setup(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    Json(body): Json<SetupRequest>,
) -> Result<Response, ApiError> {
    let attempt = Attempt::begin(&state, &headers, &caller)?;
    let result = state
        .accounts
        .setup(&body.token, &body.email, body.password, &caller.origin)
        .await;
    attempt.finish(result).await
}

/// Signs in with a one-time link.
///
/// # Errors
/// `invalid_token` for a link that was used or has expired; `second_factor_needed` for an account with one, `rate_limited`.
#[utoipa::path(post, path = "/api/v1/auth/redeem", tag = "people", security(()), request_body = RedeemRequest,
    responses((status = 200, description = "Signed in; the session is in cookies.", body = Me)))]
pub async fn auth_redeem(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    Json(body): Json<RedeemRequest>,
) -> Result<Response, ApiError> {
    let attempt = Attempt::begin(&state, &headers, &caller)?;
    attempt
        .finish(state.accounts.redeem(&body.token, &caller.origin).await)
        .await
}

/// Makes an account with an organisation of its own, and signs in.
///
/// # Errors
/// `forbidden` where accounts are made by admins, `invalid_request`, `conflict` for a known address or name, `rate_limited`.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "people", security(()), request_body = RegisterRequest,
    responses((status = 200, description = "Signed in; the session is in cookies.", body = Me)))]
pub async fn auth_register(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    Json(body): Json<RegisterRequest>,
) -> Result<Response, ApiError> {
    if let Some(ip) = caller.ip {
        let taken = state.registrations.take(&network(ip), Instant::now());
        taken.map_err(|wait_s| {
            let message =
                "too many accounts were tried from your address in this hour; wait and try again";
            ApiError::new(ErrorType::RateLimited, message).retry_after(wait_s)
        })?;
    }
    let made = state.accounts.register(
        &body.email,
        body.password,
        &body.organisation,
        &caller.origin,
    );
    let (made, asks) = (made.await?, (&headers, &caller));
    welcome(&state, asks, &made).await
}

/// Signs in with email and password.
///
/// # Errors
/// `unauthorized` for a wrong email or password; `second_factor_needed` for an account with one, `rate_limited`.
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "people", security(()), request_body = LoginRequest,
    responses((status = 200, description = "Signed in; the session is in cookies.", body = Me)))]
pub async fn auth_login(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    Json(body): Json<LoginRequest>,
) -> Result<Response, ApiError> {
    let attempt = Attempt::begin(&state, &headers, &caller)?;
    attempt
        .finish(
            state
                .accounts
                .sign_in(
                    (&body.email, state.cookies.browser(&headers)),
                    body.password,
                    &caller.origin,
                )
                .await,
        )
        .await
}

/// Exchanges the refresh cookie for new cookies. Used twice, more than ten seconds apart, it ends the session.
///
/// # Errors
/// `unauthorized` when the session has ended; the cookies are then taken away.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "people", security(()),
    responses((status = 200, description = "The session goes on with new cookies.", body = Me)))]
pub async fn auth_refresh(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, ApiError> {
    let ended = |error: ApiError| (AppendHeaders(state.cookies.clear()), error).into_response();
    let Some(refresh) = state.cookies.refresh(&headers) else {
        return Ok(ended(AccountError::SessionEnded.into()));
    };
    match state.accounts.refresh(refresh, &caller.origin).await {
        Ok(signed_in) => {
            let me = Me::read(&state, &signed_in.person).await?;
            let cookies = state.cookies.set(&signed_in.tokens, None);
            Ok((AppendHeaders(cookies), axum::Json(me)).into_response())
        }
        Err(error @ AccountError::SessionEnded) => Ok(ended(error.into())),
        Err(error) => Err(error.into()),
    }
}

/// Ends the session and takes the cookies away. Without a session it does nothing.
///
/// # Errors
/// `invalid_csrf` when the CSRF token of the session is missing.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "people", security((), ("session" = [])),
    responses((status = 204, description = "Signed out.")))]
pub async fn auth_logout(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    MaybePerson(person): MaybePerson,
) -> Result<Response, ApiError> {
    let refresh = state.cookies.refresh(&headers);
    state
        .accounts
        .sign_out(person.as_ref(), refresh, &caller.origin)
        .await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders(state.cookies.clear())).into_response())
}

/// The answer to whoever signed in from a page.
async fn welcome(
    state: &HttpState,
    asks: (&HeaderMap, &Caller),
    signed_in: &SignedIn,
) -> Result<Response, ApiError> {
    let me = Me::read(state, &signed_in.person).await?;
    let cookies = entered(state, asks, signed_in).await?;
    Ok((cookies, axum::Json(me)).into_response())
}

/// The cookies of a session that began. The one that this browser had before ends: its tokens are of no use to anybody any more.
///
/// This comes last of all that makes an answer, so that the browser has its new cookies when a page of it hears that the old
/// session ended, and asks with them what its session is now.
pub(super) async fn entered(
    state: &HttpState,
    (headers, caller): (&HeaderMap, &Caller),
    signed_in: &SignedIn,
) -> Result<AppendHeaders<Vec<(HeaderName, HeaderValue)>>, ApiError> {
    if let Some(refresh) = state.cookies.refresh(headers) {
        let replaced = state.accounts.replace(refresh, signed_in, &caller.origin);
        replaced.await?;
    }
    let browser = signed_in.browser.as_ref();
    Ok(AppendHeaders(state.cookies.set(&signed_in.tokens, browser)))
}

/// One try to sign in, counted per address until it succeeds.
pub(super) struct Attempt<'a> {
    state: &'a HttpState,
    headers: &'a HeaderMap,
    caller: &'a Caller,
}

impl<'a> Attempt<'a> {
    pub(super) fn begin(
        state: &'a HttpState,
        headers: &'a HeaderMap,
        caller: &'a Caller,
    ) -> Result<Self, ApiError> {
        if let Some(ip) = caller.ip {
            state
                .sign_ins
                .take(&network(ip), Instant::now())
                .map_err(|wait_s| {
                    ApiError::new(
                        ErrorType::RateLimited,
                        "too many failed sign-ins from your address; wait and try again",
                    )
                    .retry_after(wait_s)
                })?;
        }
        Ok(Self {
            state,
            headers,
            caller,
        })
    }

    pub(super) async fn finish(
        self,
        result: Result<SignedIn, AccountError>,
    ) -> Result<Response, ApiError> {
        let (state, asks) = (self.state, (self.headers, self.caller));
        match self.judged(result) {
            Ok(signed_in) => welcome(state, asks, &signed_in).await,
            Err(AccountError::SecondFactor(pending)) => {
                let cookie = state
                    .cookies
                    .set_pending(&pending.sealed, pending.lifetime_s);
                let error = ApiError::from(AccountError::SecondFactor(pending));
                Ok((AppendHeaders(cookie), error).into_response())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Counts a try that failed, and not one that succeeded.
    pub(super) fn judged<T>(self, result: Result<T, AccountError>) -> Result<T, AccountError> {
        // A right password over its account's limit took as much work as a wrong one.
        let is_proven = matches!(result, Ok(_) | Err(AccountError::SecondFactor(_)));
        if let Some(ip) = self.caller.ip.filter(|_| is_proven) {
            self.state.sign_ins.give_back(&network(ip));
        }
        result
    }
}
