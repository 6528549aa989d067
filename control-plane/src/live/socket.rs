//! A browser's socket as numbered frames.
//!
//! What is told at once is written under one deadline, however many frames it is: a browser that takes a byte now and
//! then is as gone as one that takes none.

use super::frame::Opened;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::SinkExt as _;
use std::time::Duration;

/// The browser left, broke its connection, or does not read.
#[derive(Debug)]
pub(super) struct Gone;

/// The socket, and the number of the last frame.
pub(super) struct Frames {
    socket: WebSocket,
    seq: u64,
    /// How long one writing may take.
    within: Duration,
}

impl Frames {
    pub(super) fn new(socket: WebSocket, within: Duration) -> Self {
        Self {
            socket,
            seq: 0,
            within,
        }
    }

    /// What the browser says next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Message, Gone> {
        match self.socket.recv().await {
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
            code,
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
