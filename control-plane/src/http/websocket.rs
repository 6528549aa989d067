//! WebSockets on connections of this server: the handshake, and the socket that is there after it.
//!
//! Our own and not axum's, because a socket must cost little while nothing is said and must be bounded while somebody
//! is hostile: it sits on the bare connection, without what HTTP keeps of it, and whoever opens one says how much each
//! part of it may hold. There is no default on purpose.

use super::error::ApiError;
pub use super::metered::Metered;
use super::socket_threads::Place;
use crate::pace::Pace;
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use dgon_protocol::error::ErrorType;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Bytes of the key that a client makes for one handshake.
const KEY_BYTES: usize = 16;

/// A socket after its handshake.
pub type WebSocket = WebSocketStream<Metered<TcpStream>>;

/// What one socket may make this server hold, bytes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Largest message that may come.
    pub message: usize,
    /// What is read at once. So much is held also while nothing comes.
    pub read: usize,
    /// What is gathered before it is written.
    pub gathered: usize,
    /// What may wait to be written: what is gathered and the largest message together. Answers to pings wait here too,
    /// and one for which there is no room is not given; a message for which there is none ends the socket.
    pub waiting: usize,
    /// How fast it may send, bytes.
    pub pace: Pace,
}

impl Bounds {
    fn config(self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read)
            .write_buffer_size(self.gathered)
            .max_write_buffer_size(self.waiting)
            .max_message_size(Some(self.message))
            .max_frame_size(Some(self.message))
    }
}

/// How a key is read: clients that make it of random characters leave bits after the last byte.
const KEY: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A handshake that is in order and not yet answered.
#[derive(Debug)]
pub struct Handshake {
    on_upgrade: OnUpgrade,
    accept: String,
    protocol: Option<&'static str>,
}

impl Handshake {
    /// Looks at the headers alone: whoever has them wrong has cost nothing.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(parts: &mut Parts) -> Result<Self, ApiError> {
        let wrong = |message| ApiError::new(ErrorType::InvalidRequest, message);
        let is_upgrade = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && says(&parts.headers, &CONNECTION, "upgrade")
            && says(&parts.headers, &UPGRADE, "websocket");
        if !is_upgrade {
            return Err(wrong(
                "this address is a WebSocket; a proxy in between must pass Upgrade and Connection on",
            ));
        }
        if !says(&parts.headers, &SEC_WEBSOCKET_VERSION, "13") {
            return Err(wrong("the WebSocket must be of version 13"));
        }
        let key = parts.headers.get(SEC_WEBSOCKET_KEY);
        let key = key.filter(|key| {
            let bytes = KEY.decode(key.as_bytes());
            bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES)
        });
        let key = key.ok_or_else(|| wrong("Sec-WebSocket-Key is missing or is not 16 bytes"))?;
        let accept = derive_accept_key(key.as_bytes());
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        Ok(Self {
            on_upgrade: on_upgrade.ok_or_else(|| wrong("this connection cannot be upgraded"))?,
            accept,
            protocol: None,
        })
    }

    /// Chooses a subprotocol.
    ///
    /// # Errors
    /// The client does not offer it.
    pub fn speaking(
        mut self,
        headers: &HeaderMap,
        protocol: &'static str,
    ) -> Result<Self, ApiError> {
        let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let mut offers = offers.flat_map(|offers| offers.as_bytes().split(|byte| *byte == b','));
        if !offers.any(|offer| offer.trim_ascii() == protocol.as_bytes()) {
            let message = format!("the subprotocol here is {protocol}");
            return Err(ApiError::new(ErrorType::InvalidRequest, message));
        }
        self.protocol = Some(protocol);
        Ok(self)
    }

    /// The answer, after which `serve` has the socket.
    pub fn accept<F>(
        self,
        bounds: Bounds,
        serve: impl FnOnce(WebSocket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let on_upgrade = self.on_upgrade;
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => move_over(upgraded, bounds, serve),
                Err(error) => tracing::debug!(%error, "a connection broke before its upgrade"),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        // It is base64.
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = self.protocol {
            let protocol = HeaderValue::from_static(protocol);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// Lets one of the threads for sockets serve what HTTP was spoken on until now.
fn move_over<F>(
    upgraded: Upgraded,
    bounds: Bounds,
    serve: impl FnOnce(WebSocket) -> F + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return tracing::error!("a connection that is not the server's own was upgraded");
    };
    let stream = match parts.io.into_inner().into_std() {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%error, "a connection broke at its upgrade"),
    };
    let read = parts.read_buf.to_vec();
    let place = Place::take();
    place.runtime().spawn(async move {
        match Box::pin(socket(stream, read, bounds)).await {
            // In a task of its own, which holds nothing of how it came about.
            Ok(socket) => {
                let serving = serve(socket);
                tokio::spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => tracing::warn!(%error, "a connection cannot be served as a WebSocket"),
        }
    });
}

/// The socket on a connection of which this much was read. It is bound to the thread that makes it.
async fn socket(
    stream: std::net::TcpStream,
    read: Vec<u8>,
    bounds: Bounds,
) -> std::io::Result<WebSocket> {
    let stream = Metered::new(TcpStream::from_std(stream)?, bounds.pace);
    let config = Some(bounds.config());
    Ok(WebSocketStream::from_partially_read(stream, read, Role::Server, config).await)
}

/// Whether a header has this word among those with commas between them, in whatever case.
fn says(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt as _, StreamExt as _};
    use http::Request;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_tungstenite::tungstenite::Message;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The head of a good handshake with one header changed.
    fn parts(change: (HeaderName, &'static str)) -> Parts {
        let mut request = Request::builder()
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "WebSocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, KEY)
            .body(())
            .expect("a request");
        let value = HeaderValue::from_static(change.1);
        request.headers_mut().insert(change.0, value);
        let on_upgrade = hyper::upgrade::on(&mut request);
        request.extensions_mut().insert(on_upgrade);
        request.into_parts().0
    }

    #[test]
    fn a_handshake_is_answered_as_the_standard_has_it_and_a_wrong_one_refused() {
        let handshake = Handshake::read(&mut parts((UPGRADE, "websocket"))).expect("a handshake");
        // The example of RFC 6455, section 1.3.
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for wrong in [
            (CONNECTION, "keep-alive"),
            (UPGRADE, "h2c"),
            (SEC_WEBSOCKET_VERSION, "8"),
            (SEC_WEBSOCKET_KEY, "AAAA"),
            (SEC_WEBSOCKET_KEY, "not of base64, not at all"),
        ] {
            let refused = Handshake::read(&mut parts(wrong.clone()));
            assert!(refused.is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_subprotocol_is_chosen_only_where_it_is_offered() {
        let speaking = |offers| {
            let mut parts = parts((SEC_WEBSOCKET_PROTOCOL, offers));
            let handshake = Handshake::read(&mut parts).expect("a handshake");
            handshake.speaking(&parts.headers, "dgon.v1")
        };
        for offers in ["dgon.v1", "dgon.v2, dgon.v1", "dgon.v2,dgon.v1 ,x"] {
            let chosen = speaking(offers).expect("chosen");
            assert_eq!(chosen.protocol, Some("dgon.v1"));
        }
        for offers in ["dgon.v2", "DGON.V1", "dgon.v11", "", "dgon.v1;q=1"] {
            assert!(speaking(offers).is_err(), "{offers}");
        }
    }

    /// A ping of a client, with as much in it as may be, under a mask of zeros.
    fn ping() -> Vec<u8> {
        let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
        ping.extend([b'x'; 125]);
        ping
    }

    #[tokio::test]
    async fn who_sends_pings_and_reads_nothing_makes_little_wait_for_them() {
        const PIPE: usize = 1024;
        const PINGS: usize = 5_000;
        let bounds = Bounds {
            message: 4 * 1024,
            read: 1024,
            gathered: 1024,
            waiting: 16 * 1024,
            pace: Pace::new(1e9, 1e9),
        };
        let (ours, mut theirs) = tokio::io::duplex(PIPE);
        let config = Some(bounds.config());
        let mut ours = WebSocketStream::from_raw_socket(ours, Role::Server, config).await;
        let ping = ping();
        for _ in 0..PINGS {
            let (written, heard) = tokio::join!(theirs.write_all(&ping), ours.next());
            written.expect("written");
            assert!(matches!(heard, Some(Ok(Message::Ping(_)))), "{heard:?}");
        }
        // They begin to read: what waited for them comes, and no more.
        let mut waited = 0;
        let mut some = [0; PIPE];
        loop {
            tokio::select! {
                biased;
                read = theirs.read(&mut some) => waited += read.expect("read"),
                flushed = ours.flush() => {
                    flushed.expect("flushed");
                    break;
                }
            }
        }
        assert!(
            waited > PIPE && waited <= bounds.waiting + 2 * PIPE,
            "{waited}"
        );
    }
}
