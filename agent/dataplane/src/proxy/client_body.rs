//! A client's request body, on the client's time.

use super::idle_connections::Connection;
use super::wait_budget::WaitBudget;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// A body that comes at this rate or faster is as good as never waited for, bytes per second. A slower one counts as
/// waited for in part, so that who dribbles goes before who uploads.
const FLUENT: u64 = 64 * 1024;

/// A body that ends in an error where its client stops sending it. While the proxy waits for the client's bytes the
/// connection idles: it is closed, like any other that idles, where a client with work needs its place.
pub(super) struct ClientBody {
    incoming: Incoming,
    connection: Connection,
    budget: WaitBudget,
    is_waiting: bool,
    /// Whether it came whole, or its client is gone.
    is_ended: bool,
    /// Since when the body is as good as waited for.
    waits_since: Instant,
}

/// Why a body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client sent nothing for too long.
    #[error("the client stopped sending the request body")]
    TooSlow,
    /// The client left, or what it sent is no HTTP.
    #[error("the request body did not come to its end")]
    Broken(#[source] hyper::Error),
}

impl ClientBody {
    /// The body of a request on `connection`, whose client may pause for as long as `longest`.
    pub(super) fn new(incoming: Incoming, connection: Connection, longest: Duration) -> Self {
        Self {
            incoming,
            connection,
            budget: WaitBudget::new(longest),
            is_waiting: false,
            is_ended: false,
            waits_since: Instant::now(),
        }
    }

    fn moved(&mut self, bytes: usize) {
        self.budget.moved(bytes);
        let worth = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / FLUENT);
        self.waits_since = (self.waits_since + worth).min(Instant::now());
        if std::mem::take(&mut self.is_waiting) {
            self.connection.works();
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.is_ended && !self.incoming.is_end_stream() {
            self.connection.leaves_a_body_unread();
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                let data = frame
                    .as_ref()
                    .and_then(|frame| frame.as_ref().ok()?.data_ref());
                this.moved(data.map_or(0, Bytes::len));
                this.is_ended = !matches!(frame, Some(Ok(_)));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)))
            }
            Poll::Pending => {
                if !std::mem::replace(&mut this.is_waiting, true) {
                    this.connection.waits(this.waits_since);
                }
                let spent = this.budget.poll_spent(cx);
                spent.map(|()| Some(Err(BodyError::TooSlow)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
