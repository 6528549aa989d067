//! The layer of routes that read pages: two at once per asker, and so long for all that one question reads.

use super::auth::Acting;
use super::client_ip::{ClientIp, network};
use super::error::ApiError;
use super::state::HttpState;
use crate::app::Asker;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Extensions;

/// Who asks.
pub(super) fn asker(extensions: &Extensions) -> Asker {
    match extensions.get() {
        Some(Acting::Person(person)) => Asker::Person(person.user_id.clone()),
        Some(Acting::Key(key)) => Asker::Keys(key.user_id().to_owned()),
        _ => Asker::Network(extensions.get::<ClientIp>().copied().map(network)),
    }
}

/// Marks a request that has its turn already.
#[derive(Debug, Clone, Copy)]
pub(super) struct HasTurn;

/// The layer.
pub(super) async fn layer(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Response {
    let _turn = match request.extensions().get::<HasTurn>() {
        Some(_) => None,
        None => Some(state.app.turns.take(asker(request.extensions())).await),
    };
    let path = request.uri().path().to_owned();
    // A question may read several times; what is given up is interrupted.
    match tokio::time::timeout(state.settings.page_within, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            metrics::counter!("http_questions_given_up_total").increment(1);
            tracing::warn!(path, "a question took too long and was given up");
            ApiError::gave_up().into_response()
        }
    }
}
