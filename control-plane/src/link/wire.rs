//! The socket of a session as frames: whole for the handshake, then a reader and a writer.

use crate::app::{App, SessionEnd};
use crate::ingest::IngestError;
use crate::socket::{Bounds, Pace, WebSocket};
use bytes::Bytes;
use dgon_control_plane_store::StoreError;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{Incoming, LinkError, ToAgent, ToControlPlane};
use dgon_protocol::limits::FRAME_BYTES;
use dgon_protocol::text::Text;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// How long one write may take.
const WRITE: Duration = Duration::from_secs(20);
/// Silence after which a peer counts as gone: an agent pings every 15 s.
const SILENCE: Duration = Duration::from_secs(60);
/// Messages that a session may send each second, and at once; pings and pongs are among them, relay frames are not.
const MESSAGES: Pace = Pace::new(50.0, 200.0);

const MIB: f64 = 1024.0 * 1024.0;

/// What a session may hold, bytes. What is read at once is small because sessions are many: most of them say a few
/// hundred bytes every ten seconds.
pub(super) const BOUNDS: Bounds = Bounds {
    message: FRAME_BYTES,
    read: 2 * 1024,
    gathered: 1024,
    waiting: FRAME_BYTES + 2 * 1024,
    // What a full session relays, 512 answers with 100 pieces a second of 250 bytes each, and two thousand receipts of usual
    // size beside it.
    pace: Pace::new(16.0 * MIB, 32.0 * MIB),
};

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The peer is gone, or too slow to be told anything.
    Gone,
    /// The peer closes the socket, and is answered.
    Left,
    /// The peer is told why.
    Error(Box<LinkError>),
}

impl End {
    pub(super) fn error(kind: ErrorType, message: impl Into<String>) -> Self {
        Self::Error(Box::new(LinkError {
            kind,
            message: Text::from(message.into()),
            retry_after_s: None,
        }))
    }

    pub(super) fn unavailable(message: &str) -> Self {
        Self::retry(ErrorType::Unavailable, message, 5)
    }

    pub(super) fn retry(kind: ErrorType, message: &str, after_s: u32) -> Self {
        Self::Error(Box::new(LinkError {
            kind,
            message: message.into(),
            retry_after_s: Some(after_s),
        }))
    }

    pub(super) fn store(error: &StoreError) -> Self {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a link was given up"
        );
        Self::unavailable("the control plane cannot use its database now")
    }
}

impl From<IngestError> for End {
    fn from(error: IngestError) -> Self {
        Self::unavailable(&error.to_string())
    }
}

impl From<SessionEnd> for End {
    fn from(end: SessionEnd) -> Self {
        match end {
            SessionEnd::Replaced => Self::error(
                ErrorType::Replaced,
                "a newer session of this node took over",
            ),
            SessionEnd::Retired => Self::error(ErrorType::Forbidden, "the node was retired"),
            SessionEnd::PassedOn => Self::error(
                ErrorType::Unauthorized,
                "the node was passed on to another organisation; enrol it again with a token of that one",
            ),
            SessionEnd::Draining => Self::unavailable("the control plane is stopping"),
            SessionEnd::Behind => Self::unavailable("the node does not read what it is told"),
            SessionEnd::Spent => Self::unavailable(
                "this session has had as many relay streams as one can have; connect again",
            ),
        }
    }
}

/// A message of the node.
pub(super) enum Received {
    /// A text frame. Apart, so that a session that waits for one has no place for it.
    Frame(Box<Incoming<ToControlPlane>>),
    /// The bytes of a relay frame.
    Relay(Bytes),
}

/// What comes in.
pub(super) struct Reader {
    stream: SplitStream<WebSocket>,
    pace: Pace,
}

impl Reader {
    /// The next frame, not before it may come. Cancel-safe: what was read is not lost while its time is awaited, because the
    /// wait is before the reading. Relay frames have a pace of their own (`relay`).
    pub(super) async fn receive(&mut self) -> Result<Received, End> {
        loop {
            self.pace.ready().await;
            let message = match timeout(SILENCE, self.stream.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(None | Some(Err(_))) | Err(_) => return Err(End::Gone),
            };
            if let Message::Binary(bytes) = message {
                return Ok(Received::Relay(bytes));
            }
            self.pace.spend(1.0);
            match message {
                Message::Text(text) => {
                    let frame = ToControlPlane::decode(text.as_str());
                    return frame
                        .map(|frame| Received::Frame(Box::new(frame)))
                        .map_err(|error| invalid(&error));
                }
                Message::Binary(_) => {}
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                Message::Close(_) => return Err(End::Left),
            }
        }
    }
}

/// What breaks the grammar ends the session.
pub(super) fn invalid(error: &dyn std::error::Error) -> End {
    metrics::counter!("link_invalid_frames_total").increment(1);
    End::error(ErrorType::InvalidFrame, error.to_string())
}

/// What goes out. Every write has a time limit, so a peer that does not read costs one session and no memory.
pub(super) struct Writer {
    sink: SplitSink<WebSocket, Message>,
    app: Arc<App>,
}

impl Writer {
    pub(super) async fn send(&mut self, frame: &ToAgent) -> Result<(), End> {
        let text = frame.encode(self.app.clock.now_ms());
        self.write(Message::Text(text.into())).await
    }

    /// Sends a relay frame.
    pub(super) async fn send_relay(&mut self, frame: Vec<u8>) -> Result<(), End> {
        self.write(Message::Binary(frame.into())).await
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        match timeout(WRITE, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    /// Says why and closes; nothing waits for the peer.
    pub(super) async fn close(mut self, end: End) {
        match end {
            End::Error(error) => {
                tracing::info!(kind = %error.kind, message = %error.message, "link closed");
                let _ = self.send(&ToAgent::Error(*error)).await;
                let _ = timeout(WRITE, self.sink.send(Message::Close(None))).await;
            }
            // The answer is ready since the close was read.
            End::Left => drop(timeout(WRITE, self.sink.flush()).await),
            End::Gone => {}
        }
    }
}

/// Both halves of a socket.
pub(super) fn split(app: &Arc<App>, socket: WebSocket) -> (Reader, Writer) {
    let (sink, stream) = socket.split();
    let reader = Reader {
        stream,
        pace: MESSAGES,
    };
    let writer = Writer {
        sink,
        app: Arc::clone(app),
    };
    (reader, writer)
}
