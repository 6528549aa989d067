//! A connection of which no more is read than so many bytes a second.
//!
//! Messages are counted where they are handled. A peer can also send what is part of none for ever, such as empty
//! fragments: the socket reads these on its own, and only its bytes can be counted.

use super::pace::Pace;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The connection, and what was read of it.
#[derive(Debug)]
pub struct Metered<S> {
    stream: S,
    pace: Pace,
    /// Until more may be read.
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Metered<S> {
    /// A connection that is read at this pace, bytes.
    pub(super) const fn new(stream: S, pace: Pace) -> Self {
        Self {
            stream,
            pace,
            pause: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            let wait = this.pace.wait(Instant::now());
            if wait.is_zero() {
                break;
            }
            this.pause = Some(Box::pin(sleep(wait)));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.pace.spend((buf.filled().len() - before) as f64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_than_so_many_bytes_a_second() {
        const BYTES: usize = 64 * 1024;
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let mut ours = Metered::new(ours, Pace::new(1024.0, 4096.0));
        let begin = Instant::now();
        let reading = async {
            let mut some = [0; 512];
            let mut all = 0;
            while all < BYTES {
                all += ours.read(&mut some).await.expect("read");
            }
        };
        let bytes = vec![0; BYTES];
        let (written, ()) = tokio::join!(theirs.write_all(&bytes), reading);
        written.expect("written");
        let took = begin.elapsed();
        let least = Duration::from_secs((BYTES as u64 - 4096) / 1024 - 1);
        assert!(took >= least && took < least * 2, "{took:?}");
    }
}
