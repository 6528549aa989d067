//! Reading a request body under its limits: size, and its share of the memory of all bodies.

use super::client_body::ClientBody;
use super::reply::Refusal;
use crate::admission::BodyShare;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::time::Duration;

/// How long the rest of a body that is too large is read and thrown away, so that its client gets to read why.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);
/// How much of it, in bodies of the largest size.
const DISCARD_BODIES: usize = 4;

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Largest body, bytes.
    pub(super) max_bytes: usize,
    /// Whether the client waits for a word before it sends its body.
    pub(super) asks_first: bool,
}

/// Reads the whole body. The share lasts as long as the body must be held.
pub(super) async fn read_body(
    mut body: ClientBody,
    mut share: BodyShare,
    limits: &Limits,
) -> Result<(Bytes, BodyShare), Refusal> {
    if body.size_hint().lower() > limits.max_bytes as u64 {
        if !limits.asks_first {
            discard(body, limits).await;
        }
        return Err(Refusal::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| Refusal::unread(&error))?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > limits.max_bytes {
            drop((first, all, share));
            discard(body, limits).await;
            return Err(Refusal::TooLarge);
        }
        if !share.grow(data.len()) {
            return Err(Refusal::Busy);
        }
        // Most bodies come in one piece, which then is not copied.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    let body = if all.is_empty() { first } else { all.freeze() };
    Ok((body, share))
}

/// Reads what is left, within bounds, and keeps nothing. A connection that is closed with bytes unread may lose
/// the answer on its way to the client.
async fn discard(mut body: ClientBody, limits: &Limits) {
    let most = limits.max_bytes.saturating_mul(DISCARD_BODIES);
    let mut bytes = 0usize;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes = bytes.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if bytes > most {
                return;
            }
        }
    };
    // Late or early, the client is answered now.
    drop(tokio::time::timeout(DISCARD_WITHIN, rest).await);
}
