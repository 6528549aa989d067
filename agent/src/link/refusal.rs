//! The body of a refused upgrade.
//!
//! The WebSocket library gives what came together with the head, and a gateway may send the body after it. So the
//! connection comes back to who lent it, and the rest is read there.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// Longest body that is read; a reason is short.
const BODY_BYTES: usize = 16 * 1024;
/// How long the rest of a body may take: it was sent with the head, and who dials has little time for all of it.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// A connection that whoever drops it gives back.
#[derive(Debug)]
pub(super) struct Lent<S> {
    /// Present until it is dropped.
    stream: Option<S>,
    lender: Arc<Mutex<Option<S>>>,
}

/// Where a lent connection comes back to.
pub(super) struct Lender<S>(Arc<Mutex<Option<S>>>);

/// Lends a connection.
pub(super) fn lend<S>(stream: S) -> (Lent<S>, Lender<S>) {
    let lender = Arc::default();
    let lent = Lent {
        stream: Some(stream),
        lender: Arc::clone(&lender),
    };
    (lent, Lender(lender))
}

impl<S: AsyncRead + Unpin> Lender<S> {
    /// Completes the body of an answer whose head came over the connection, as far as its length is known and it comes
    /// in time. A body without a length, as one in chunks, stays as it is.
    pub(super) async fn complete(&self, answer: &mut http::Response<Option<Vec<u8>>>) {
        let length = answer.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(length), Some(mut stream)) = (length, stream) else {
            return;
        };
        let body = answer.body_mut().get_or_insert_default();
        let missing = length.min(BODY_BYTES).saturating_sub(body.len());
        let reading = async {
            let mut rest = (&mut stream).take(missing as u64);
            while let Ok(1..) = rest.read_buf(body).await {}
        };
        // What did not come leaves the body as cut as it is.
        drop(timeout(REST_WITHIN, reading).await);
    }
}

impl<S> Drop for Lent<S> {
    fn drop(&mut self) {
        *self.lender.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
    }
}

impl<S: Unpin> Lent<S> {
    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut S>> {
        let stream = self.get_mut().stream.as_mut();
        stream
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(S::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    fn head(length: &str) -> http::Response<Option<Vec<u8>>> {
        let head = http::Response::builder().header("content-length", length);
        head.body(Some(b"{\"er".to_vec())).unwrap()
    }

    #[tokio::test]
    async fn the_rest_of_a_body_is_read_and_no_more() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (lent, lender) = lend(ours);
        drop(lent);
        theirs.write_all(b"ror\":1}and more").await.unwrap();
        let mut answer = head("11");
        lender.complete(&mut answer).await;
        assert_eq!(answer.body().as_deref(), Some(&b"{\"error\":1}"[..]));
    }

    #[tokio::test]
    async fn a_body_that_is_cut_or_of_no_known_length_stays_as_it_is() {
        for (length, body) in [
            ("11", "{\"error"),
            ("18446744073709551615", "{\"error"),
            ("3", "{\"er"),
            ("-1", "{\"er"),
            ("x", "{\"er"),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let (lent, lender) = lend(ours);
            drop(lent);
            theirs.write_all(b"ror").await.unwrap();
            drop(theirs);
            let mut answer = head(length);
            lender.complete(&mut answer).await;
            assert_eq!(answer.body().as_deref(), Some(body.as_bytes()), "{length}");
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for_long() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let (lent, lender) = lend(ours);
        drop(lent);
        let mut answer = head("11");
        let waiting = timeout(REST_WITHIN * 10, lender.complete(&mut answer));
        waiting.await.unwrap();
        assert_eq!(answer.body().as_deref(), Some(&b"{\"er"[..]));
    }
}
