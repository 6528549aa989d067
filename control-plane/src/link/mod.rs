//! The agent link: one WebSocket per node.
//!
//! | module | owns |
//! |---|---|
//! | `handshake` | challenge, hello, welcome |
//! | `session` | one open session, from welcome to its end: a reader and a writer |
//! | `orders` | what people ask the node to do, from its rows to the writer |
//! | `wire` | the socket as frames, and why a session ends |
//! | `pace` | how fast a session may speak |
//!
//! Buffers are small because sessions are many: most of them say a few hundred bytes every ten seconds.

mod handshake;
mod orders;
mod pace;
mod session;
mod wire;

use crate::app::{App, SENT_AWAY};
use crate::http::error::ApiError;
use crate::http::node::auth::authenticate;
use axum::Router;
use axum::extract::{FromRequestParts as _, Request, State, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{LINK_PATH, SUBPROTOCOL};
use dgon_protocol::limits::FRAME_BYTES;
use http::header;
use std::sync::Arc;

const READ_BUFFER_BYTES: usize = 4 * 1024;
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// One whole frame may wait to be written, and no more.
const WRITE_BUFFER_MAX_BYTES: usize = 2 * FRAME_BYTES;

/// The routes of this module, with full paths.
pub fn routes() -> Router<Arc<App>> {
    Router::new().route(LINK_PATH, get(upgrade))
}

/// Authenticates the upgrade by the node headers; the session then proves the receipt key.
async fn upgrade(State(app): State<Arc<App>>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, _) = request.into_parts();
    let node_id = authenticate(&app, &parts).await?.node_id;
    if let Some(wait_s) = app.guard.conduct.away_s(&node_id) {
        return Err(ApiError::new(ErrorType::RateLimited, SENT_AWAY).retry_after(wait_s));
    }
    let host = parts
        .headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .ok_or_else(|| ApiError::new(ErrorType::InvalidRequest, "the request has no Host header"))?
        .to_owned();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|rejection| ApiError::new(ErrorType::InvalidRequest, rejection.body_text()))?
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
        .max_message_size(FRAME_BYTES)
        .max_frame_size(FRAME_BYTES);
    if upgrade.selected_protocol().is_none() {
        let message = format!("the link speaks the subprotocol {SUBPROTOCOL}");
        return Err(ApiError::new(ErrorType::InvalidRequest, message));
    }
    Ok(upgrade.on_upgrade(move |socket| session::run(app, socket, node_id, host)))
}
