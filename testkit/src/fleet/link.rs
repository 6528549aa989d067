//! The agent's side of a link, one frame at a time. Sends whatever it is told to, also what no agent should.

use super::SimError;
use super::agent::{SimAgent, SimReceipt, random, unix_now};
use dgon_protocol::frame::{
    Hello, Incoming, Receipts, SUBPROTOCOL, ToAgent, ToControlPlane, Welcome,
};
use dgon_protocol::key::hex;
use dgon_protocol::limits::{FRAME_BYTES, HANDSHAKE};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A link that stands.
pub struct SimLink {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What the control plane said when the session began.
    pub welcome: Welcome,
}

/// What came in.
#[derive(Debug)]
pub enum Event {
    /// A text frame of this version.
    Frame(Box<ToAgent>),
    /// A relay frame.
    Binary(Bytes),
    /// Something else that keeps the connection alive: ping, pong, a frame of a newer version.
    Other,
    /// The link is closed.
    Closed,
}

impl SimLink {
    /// Upgrades with the node headers; the first frame (the challenge) is not read yet.
    async fn upgrade(
        agent: &SimAgent,
    ) -> Result<(WebSocketStream<MaybeTlsStream<TcpStream>>, String), SimError> {
        let mut request = agent.link_url.as_str().into_client_request().map_err(ws)?;
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str())
            .to_owned();
        let host = request
            .uri()
            .authority()
            .map_or(String::new(), ToString::to_string);
        for (name, value) in agent.headers("GET", &path, b"")? {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| SimError::Answer("a node header is malformed"))?;
            request.headers_mut().insert(name, value);
        }
        request.headers_mut().insert(
            "sec-websocket-protocol",
            HeaderValue::from_static(SUBPROTOCOL),
        );
        // Small buffers: a fleet has thousands of these.
        let config = WebSocketConfig::default()
            .read_buffer_size(8 * 1024)
            .max_message_size(Some(FRAME_BYTES))
            .max_frame_size(Some(FRAME_BYTES));
        let connect = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
        let (ws, _) = tokio::time::timeout(HANDSHAKE, connect)
            .await
            .map_err(|_| SimError::Timeout)?
            .map_err(self::ws)?;
        Ok((ws, host))
    }

    /// Connects and goes through challenge, hello and welcome.
    pub(super) async fn open(
        agent: &SimAgent,
        edit: impl FnOnce(&mut Hello),
    ) -> Result<Self, SimError> {
        let (mut ws, host) = Self::upgrade(agent).await?;
        let nonce = match next(&mut ws, HANDSHAKE).await? {
            Event::Frame(frame) => match *frame {
                ToAgent::Challenge(challenge) => challenge.nonce,
                ToAgent::Error(error) => return Err(SimError::Link(error)),
                _ => return Err(SimError::Answer("the first frame is not a challenge")),
            },
            _ => return Err(SimError::Answer("the first frame is not a challenge")),
        };
        let agent_nonce = hex(&random::<16>()?);
        let mut hello = agent.hello(&nonce, &host, &agent_nonce);
        edit(&mut hello);
        let text = ToControlPlane::Hello(hello).encode(unix_now().as_millis() as i64);
        ws.send(Message::text(text)).await.map_err(self::ws)?;
        loop {
            match next(&mut ws, HANDSHAKE).await? {
                Event::Frame(frame) => match *frame {
                    ToAgent::Welcome(sealed) => {
                        let opened = sealed.open(&agent.secret, &nonce, &agent_nonce);
                        let welcome = opened.map_err(SimError::Welcome)?;
                        return Ok(Self { ws, welcome });
                    }
                    ToAgent::Error(error) => return Err(SimError::Link(error)),
                    _ => {}
                },
                Event::Closed => return Err(SimError::Closed),
                Event::Other | Event::Binary(_) => {}
            }
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The link is gone.
    pub async fn send(&mut self, frame: &ToControlPlane) -> Result<(), SimError> {
        self.send_text(frame.encode(unix_now().as_millis() as i64))
            .await
    }

    /// Sends any text: junk too.
    ///
    /// # Errors
    /// The link is gone.
    pub async fn send_text(&mut self, text: String) -> Result<(), SimError> {
        self.ws.send(Message::text(text)).await.map_err(ws)
    }

    /// Sends any bytes.
    ///
    /// # Errors
    /// The link is gone.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> Result<(), SimError> {
        self.ws.send(Message::binary(bytes)).await.map_err(ws)
    }

    /// Sends receipts in one frame, in the order given.
    ///
    /// # Errors
    /// The link is gone.
    pub async fn send_receipts<'a>(
        &mut self,
        receipts: impl IntoIterator<Item = &'a SimReceipt>,
    ) -> Result<(), SimError> {
        let raw = |receipt: &SimReceipt| {
            RawValue::from_string(receipt.text().to_owned())
                .map_err(|_| SimError::Answer("a receipt is not JSON"))
        };
        let receipts = receipts.into_iter().map(raw).collect::<Result<_, _>>()?;
        self.send(&ToControlPlane::Receipts(Receipts { receipts }))
            .await
    }

    /// Waits for whatever comes next.
    ///
    /// # Errors
    /// Nothing came in time, or what came breaks the protocol.
    pub async fn receive(&mut self, within: Duration) -> Result<Event, SimError> {
        next(&mut self.ws, within).await
    }

    /// Waits for a frame that `wanted` makes something of; others are passed over.
    ///
    /// # Errors
    /// Nothing fitting came in time, the link closed, or the control plane sent an error frame.
    pub async fn until<T>(
        &mut self,
        within: Duration,
        mut wanted: impl FnMut(&ToAgent) -> Option<T>,
    ) -> Result<T, SimError> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.receive(left).await? {
                Event::Frame(frame) => {
                    if let Some(found) = wanted(&frame) {
                        return Ok(found);
                    }
                    if let ToAgent::Error(error) = *frame {
                        return Err(SimError::Link(error));
                    }
                }
                Event::Closed => return Err(SimError::Closed),
                Event::Other | Event::Binary(_) => {}
            }
        }
    }

    /// Says goodbye and closes.
    pub async fn close(mut self) {
        // Whether the peer still listens does not matter any more.
        let _ = self.ws.close(None).await;
    }
}

fn ws(fault: tokio_tungstenite::tungstenite::Error) -> SimError {
    if let tokio_tungstenite::tungstenite::Error::Http(response) = &fault {
        let text = response
            .body()
            .as_deref()
            .map(String::from_utf8_lossy)
            .unwrap_or_default()
            .into_owned();
        return SimError::Refused {
            status: response.status().as_u16(),
            text,
        };
    }
    SimError::WebSocket(Box::new(fault))
}

async fn next(
    ws: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
    within: Duration,
) -> Result<Event, SimError> {
    let message = tokio::time::timeout(within, ws.next())
        .await
        .map_err(|_| SimError::Timeout)?;
    Ok(match message {
        None | Some(Ok(Message::Close(_)) | Err(_)) => Event::Closed,
        Some(Ok(Message::Text(text))) => match ToAgent::decode(&text).map_err(SimError::Frame)? {
            Incoming::Known(frame) => Event::Frame(Box::new(frame)),
            Incoming::Unknown(_) => Event::Other,
        },
        Some(Ok(Message::Binary(bytes))) => Event::Binary(bytes),
        Some(Ok(_)) => Event::Other,
    })
}
