//! Reading the body of a caller who has not proved who it is: at most so many bytes, and only where there is room.

use super::error::ApiError;
use crate::app::{App, BodyShare, NoRoom};
use axum::body::{Body, Bytes, HttpBody as _};
use dgon_protocol::error::ErrorType;
use futures_util::StreamExt as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// First memory of a body; it grows by a quarter as more comes, so that what is held is about what came.
const FIRST_BYTES: usize = 1024;

/// A body with the room that it holds. Keep both until it is known whose the body is.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    pub(super) share: BodyShare,
}

/// Reads a body of at most `limit` bytes of a caller of this network.
///
/// # Errors
/// [`ErrorType::TooLarge`], before anything is read where the length was announced; [`ErrorType::Unavailable`] where
/// others hold all the room; [`ErrorType::InvalidRequest`] for one that broke off or did not come in time.
pub(super) async fn read(
    app: &App,
    network: Option<IpAddr>,
    body: Body,
    limit: usize,
) -> Result<Held, ApiError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limit));
    }
    let mut share = app.guard.bodies.share(network);
    let mut bytes = Vec::new();
    let mut stream = body.into_data_stream();
    let within = app.settings.body_within;
    let deadline = Instant::now() + within;
    while let Some(chunk) = timeout_at(deadline, stream.next())
        .await
        .map_err(|_| too_slow(within))?
    {
        let chunk = chunk.map_err(|_| ApiError::invalid("the body broke off; send it again"))?;
        let whole = bytes.len() + chunk.len();
        if whole > limit {
            return Err(too_large(limit));
        }
        if whole > bytes.capacity() {
            let grown = bytes.capacity() + bytes.capacity() / 4;
            let capacity = whole.max(grown).max(FIRST_BYTES).min(limit.max(whole));
            share.cover(capacity).await?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Held {
        bytes: Bytes::from(bytes),
        share,
    })
}

fn too_slow(within: Duration) -> ApiError {
    ApiError::invalid(format!(
        "the body did not come within {} s; send it again, in smaller parts where it is large",
        within.as_secs_f32()
    ))
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(
        ErrorType::TooLarge,
        format!("the body has at most {limit} bytes"),
    )
}

impl From<NoRoom> for ApiError {
    fn from(error: NoRoom) -> Self {
        metrics::counter!("http_bodies_without_room_total").increment(1);
        Self::new(ErrorType::Unavailable, error.to_string()).retry_after(2)
    }
}
