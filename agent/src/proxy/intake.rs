//! Reading a request body under its limits: size, time, and the memory of all bodies at once.

use super::reply::Refusal;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Memory that request bodies may take, all together.
#[derive(Debug)]
pub(super) struct Budget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            used: Arc::default(),
            limit,
        }
    }

    fn share(&self) -> Share {
        Share {
            used: Arc::clone(&self.used),
            bytes: 0,
        }
    }
}

impl Share {
    fn grow(&mut self, bytes: usize, limit: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= limit
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads the whole body. The share lasts as long as the body must be held.
pub(super) async fn read_body(
    mut body: Incoming,
    budget: &Budget,
    max_bytes: usize,
    pause: Duration,
) -> Result<(Bytes, Share), Refusal> {
    let mut share = budget.share();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = tokio::time::timeout(pause, body.frame())
        .await
        .map_err(|_| Refusal::ClientTimeout)?
    {
        let Ok(data) = frame.map_err(|_| Refusal::BadRequest)?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > max_bytes {
            return Err(Refusal::TooLarge);
        }
        if !share.grow(data.len(), budget.limit) {
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
