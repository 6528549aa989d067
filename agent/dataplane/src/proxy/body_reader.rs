//! Reading a request body under its limits: size, and its share of the memory of all bodies.

use super::client_body::ClientBody;
use super::reply::Refusal;
use crate::admission::BodyShare;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;

/// Reads the whole body, of `max_bytes` at most. The share lasts as long as the body must be held.
pub(super) async fn read_body(
    mut body: ClientBody,
    mut share: BodyShare,
    max_bytes: usize,
) -> Result<(Bytes, BodyShare), Refusal> {
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(Refusal::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| Refusal::unread(&error))?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > max_bytes {
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
