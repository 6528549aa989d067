//! The agent link: one WebSocket per node.
//!
//! | module | owns |
//! |---|---|
//! | `handshake` | challenge, hello, welcome |
//! | `session` | one open session, from welcome to its end: a reader and a writer |
//! | `orders` | what people ask the node to do, from its rows to the writer |
//! | `relay` | how fast relay frames may come; what they do is in [`crate::relay`] |
//! | `wire` | the socket as frames, and why a session ends |
//!
//! An idle session holds little beside what is known of its node: futures that are over are dropped, what waits takes
//! memory while it waits, and buffers are small.

mod handshake;
mod orders;
mod relay;
mod session;
mod wire;

use crate::app::{App, SENT_AWAY};
use crate::http::error::ApiError;
use crate::http::node::auth::authenticate;
use crate::socket::Handshake;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{LINK_PATH, SUBPROTOCOL};
use http::header;
use std::sync::Arc;

/// The routes of this module, with full paths.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route(LINK_PATH, get(link))
}

/// The link of an agent: a WebSocket, opened with the headers of the node; its first frames prove the receipt key.
///
/// What the request's own headers have wrong is said before the database is asked for anything.
///
/// # Errors
/// `invalid_request` for what is no handshake, `unauthorized`, `stale_timestamp`, `replayed_request`; `rate_limited` for a node that
/// was sent away for a while.
#[utoipa::path(get, path = "/api/v1/nodes/link", tag = "node",
    responses((status = 101, description = "The socket is open; `x-websocket` has its frames.")))]
pub(crate) async fn link(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let handshake = Handshake::read(&mut parts)?.speaking(&parts.headers, SUBPROTOCOL)?;
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .ok_or_else(|| ApiError::new(ErrorType::InvalidRequest, "the request has no Host header"))?
        .to_owned();
    let node_id = authenticate(&app, &parts).await?.node_id;
    if let Some(wait_s) = app.guard.conduct.away_s(&node_id) {
        return Err(ApiError::new(ErrorType::RateLimited, SENT_AWAY).retry_after(wait_s));
    }
    Ok(handshake.accept(wire::BOUNDS, move |socket| {
        session::run(app, socket, node_id, host)
    }))
}
