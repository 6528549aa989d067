//! A browser's socket as numbered frames.
//!
//! What is told at once is written under one deadline, however many frames it is: a browser that takes a byte now and
//! then is as gone as one that takes none.

use super::frame::Opened;
use crate::socket::Metered;
use futures_util::{SinkExt as _, StreamExt as _};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The browser left, broke its connection, or does not read.
#[derive(Debug)]
pub(super) struct Gone;

/// The socket, and the number of the last frame.
pub(super) struct Frames<S = Metered<TcpStream>> {
    socket: WebSocketStream<S>,
    seq: u64,
    /// How long one writing may take.
    within: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(super) fn new(socket: WebSocketStream<S>, within: Duration) -> Self {
        Self {
            socket,
            seq: 0,
            within,
        }
    }

    /// What the browser says next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Message, Gone> {
        match self.socket.next().await {
            Some(Ok(Message::Close(_))) => {
                // The answer is ready since the close was read.
                self.write(&[], None).await?;
                Err(Gone)
            }
            Some(Ok(message)) => Ok(message),
            Some(Err(_)) | None => Err(Gone),
        }
    }

    /// Leaves a number out: the browser sees that it missed something, and reads everything anew.
    pub(super) fn leave_out(&mut self) {
        self.seq += 1;
    }

    /// Writes these frames, in their order.
    pub(super) async fn tell(&mut self, frames: &[&Opened]) -> Result<(), Gone> {
        self.write(frames, None).await
    }

    /// Writes these frames and a ping, which the browser answers by itself.
    pub(super) async fn ping(&mut self, frames: &[&Opened]) -> Result<(), Gone> {
        self.write(frames, Some(Message::Ping(Vec::new().into())))
            .await
    }

    /// Says why the socket ends, if the browser still listens.
    pub(super) async fn close(mut self, last: &Opened, code: u16, reason: &'static str) {
        let close = CloseFrame {
            code: code.into(),
            reason: Utf8Bytes::from_static(reason),
        };
        // Whether the last word arrives is the network's business.
        let _ = self.write(&[last], Some(Message::Close(Some(close)))).await;
    }

    async fn write(&mut self, frames: &[&Opened], last: Option<Message>) -> Result<(), Gone> {
        let (socket, seq) = (&mut self.socket, &mut self.seq);
        let write = async {
            for frame in frames {
                *seq += 1;
                let text = frame.numbered(*seq);
                socket.feed(Message::Text(text.into())).await?;
            }
            if let Some(last) = last {
                socket.feed(last).await?;
            }
            socket.flush().await
        };
        match tokio::time::timeout(self.within, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::time::Instant;
    use tokio_tungstenite::tungstenite::protocol::Role;

    #[tokio::test(start_paused = true)]
    async fn a_browser_that_takes_a_byte_now_and_then_is_as_gone_as_one_that_takes_none() {
        let within = Duration::from_secs(10);
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let ours = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let mut frames = Frames::new(ours, within);
        let frame = Opened::new("receipt", &"x".repeat(1024), 0);
        // Each frame passes in time, and all of them together do not.
        let told = vec![&frame; 100];
        let dribbles = async {
            let mut some = [0; 1024];
            for _ in &told {
                assert_ne!(theirs.read(&mut some).await.expect("read"), 0);
                tokio::time::sleep(within / 20).await;
            }
        };
        let began = Instant::now();
        tokio::select! {
            told = frames.tell(&told) => assert!(told.is_err()),
            () = dribbles => panic!("it was waited for all of it"),
        }
        assert_eq!(began.elapsed(), within);
    }
}
