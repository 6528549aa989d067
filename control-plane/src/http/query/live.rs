//! The door of the live socket: who may open it, from where, and how many.

use super::viewing::Viewing;
use crate::accounts::{Person, Role};
use crate::app::Asker;
use crate::http::auth::Actor;
use crate::http::csrf::is_own_origin;
use crate::http::error::ApiError;
use crate::http::state::HttpState;
use crate::http::turns::asker;
use crate::live::{Access, BOUNDS, serve};
use crate::socket::Handshake;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::response::Response;
use dgon_protocol::error::ErrorType;
use std::sync::Arc;

/// When to come back to a full house, s.
const RETRY_AFTER_S: u32 = 15;

const ROLES: [Role; 4] = [Role::Admin, Role::Viewer, Role::Operator, Role::Consumer];

/// Live updates over a WebSocket.
///
/// # Errors
/// `forbidden` for another site's page, `invalid_request` for what is no handshake, which is said before anybody is asked who
/// they are, `unauthorized` for strangers while the overview is shut, `unavailable` when too many look, `rate_limited` when one
/// account or network has too many sockets.
#[utoipa::path(get, path = "/api/v1/live", tag = "network", security((), ("session" = [])),
    responses(
        (status = 101, description = "Frames of `{type, data, ts, seq}`."),
    ))]
pub async fn live(State(state): State<HttpState>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    // What the headers have wrong is said before anything is asked or waited for.
    if !is_own_origin(&parts.headers, state.app.settings.public_url.as_deref()) {
        let message = "live updates are for this site's own pages; set public_url behind a proxy";
        return Err(ApiError::new(ErrorType::Forbidden, message));
    }
    let handshake = Handshake::read(&mut parts)?;
    let Viewing(scope) = Viewing::from_request_parts(&mut parts, &state).await?;
    let actor = Actor::from_request_parts(&mut parts, &state).await?;
    let asker = asker(&parts.extensions);
    let Some(place) = state.sockets.try_take(asker.clone()) else {
        metrics::counter!("live_sessions_refused_total", "limit" => "asker").increment(1);
        let message = "too many live sessions of one account or address; close some, or poll";
        return Err(ApiError::new(ErrorType::RateLimited, message).retry_after(RETRY_AFTER_S));
    };
    let is_stranger = matches!(asker, Asker::Network(_));
    let Some(room) = state.app.live.place(is_stranger) else {
        metrics::counter!("live_sessions_refused_total", "limit" => "server").increment(1);
        let message = "too many live sessions on this server; poll until one is free";
        return Err(ApiError::new(ErrorType::Unavailable, message).retry_after(RETRY_AFTER_S));
    };
    let (role, person) = signed_in(&actor);
    let access = Access {
        scope,
        role,
        person,
        asker,
        within: state.settings.page_within,
        write_within: state.settings.live_write_within,
        place,
        room,
    };
    let app = Arc::clone(&state.app);
    Ok(handshake.accept(BOUNDS, move |socket| serve(app, socket, access)))
}

/// What `hello` says of who opened it, and whose sign-in must last.
fn signed_in(actor: &Actor) -> (&'static str, Option<Person>) {
    let Actor::Person(person) = actor else {
        return ("anonymous", None);
    };
    let role = ROLES.into_iter().find(|role| person.has(*role));
    (role.map_or("none", Role::as_str), Some(person.clone()))
}
