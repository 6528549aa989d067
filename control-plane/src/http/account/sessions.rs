//! A person's own sign-ins.

use crate::app::views::time;
use crate::http::auth::{Actor, Caller};
use crate::http::error::ApiError;
use crate::http::extract::Path;
use crate::http::state::HttpState;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Sign-ins that last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sessions {
    /// The one renewed last first.
    pub items: Vec<SessionView>,
}

/// A sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// Identity.
    pub id: String,
    /// Whether it is the one that asks.
    pub is_current: bool,
    /// How it was proved whose it is: `password`, `link`, `wallet`, `oidc`, `setup`, `registration`, or `unknown` for one of an older version.
    pub method: String,
    /// Address of the browser when it began.
    pub ip: Option<String>,
    /// What the browser called itself then.
    pub user_agent: Option<String>,
    /// When it began.
    pub created_at: String,
    /// When it was renewed last: a browser that is open does so every ten minutes.
    pub renewed_at: String,
    /// When it ends, however much it is used.
    pub expires_at: String,
}

/// How many sign-ins ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionsEnded {
    /// How many.
    pub ended: u64,
}

/// Where you are signed in.
///
/// # Errors
/// `unauthorized`.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "people",
    responses((status = 200, description = "Your sign-ins.", body = Sessions)))]
pub async fn session_list(
    State(state): State<HttpState>,
    actor: Actor,
) -> Result<Json<Sessions>, ApiError> {
    let person = actor.person()?;
    let sessions = state.accounts.session_list(person).await?.into_iter();
    let items = sessions.map(|session| SessionView {
        is_current: session.family_id == person.family_id,
        id: session.family_id,
        method: session.method,
        ip: session.ip,
        user_agent: session.user_agent,
        created_at: time(session.created_at_ms),
        renewed_at: time(session.renewed_at_ms),
        expires_at: time(session.expires_at_ms),
    });
    Ok(Json(Sessions {
        items: items.collect(),
    }))
}

/// Ends one of your sign-ins; its browser is signed out at once.
///
/// # Errors
/// `unauthorized`, `not_found`.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "people",
    params(("id" = String, Path, description = "Identity of the sign-in.")),
    responses((status = 204, description = "It has ended.")))]
pub async fn session_revoke(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let person = actor.person()?;
    let ended = state.accounts.session_end(person, &id, &caller.origin);
    ended.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all of your sign-ins but this one.
///
/// # Errors
/// `unauthorized`.
#[utoipa::path(delete, path = "/api/v1/sessions", tag = "people",
    responses((status = 200, description = "They have ended.", body = SessionsEnded)))]
pub async fn session_revoke_others(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
) -> Result<Json<SessionsEnded>, ApiError> {
    let person = actor.person()?;
    let ended = state.accounts.sessions_end_others(person, &caller.origin);
    Ok(Json(SessionsEnded {
        ended: ended.await?,
    }))
}
