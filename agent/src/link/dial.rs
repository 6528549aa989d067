//! From an address to an authenticated WebSocket.
//!
//! The upgrade carries the v2 node headers over an empty body. Buffers are small: an idle link should cost
//! kilobytes, not the 128 KiB that the library takes by itself.

use super::LinkSettings;
use super::refusal::{Lent, lend};
use crate::api::Unexpected;
use crate::net::{ConnectError, Stream, Target};
use crate::own_command::own_command;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dgon_protocol::auth;
use dgon_protocol::error::{ErrorBody, ErrorType};
use dgon_protocol::frame::SUBPROTOCOL;
use dgon_protocol::limits::FRAME_BYTES;
use http::{HeaderValue, Request, StatusCode};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error as WsError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

const BUFFER_BYTES: usize = 8 * 1024;

/// The link's socket.
pub(super) type Socket = WebSocketStream<Lent<Stream>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The configured address is none.
    #[error(
        "the control plane's link address {url:?} cannot be used; enrol again, or check control_plane.api"
    )]
    Address {
        /// What is configured.
        url: String,
    },
    /// Nothing answers, or not whom we trust.
    #[error("the control plane cannot be reached")]
    Connect(#[source] ConnectError),
    /// The connection broke in the upgrade.
    #[error("{target} takes the connection and then breaks it")]
    Broken {
        /// Who.
        target: Target,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The control plane said no.
    #[error("the control plane refused the link: {message} ({status})")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// Why, for a program.
        kind: Option<ErrorType>,
        /// Why, for a person.
        message: String,
        /// How long to stay away.
        retry_after: Option<Duration>,
    },
    /// The control plane does not know this node by its name and secret.
    #[error(
        "the control plane does not accept this node's name and secret (status {status}): the node was removed or revoked \
         there, a later enrolment gave it another secret, or this is another control plane than the one that it was \
         enrolled with. Check control_plane.api; else stop the agent and enrol again with a token of the network (`{}`, \
         which keeps the node and gives it a new secret). The control plane says: {message}",
        own_command("enroll --force")
    )]
    Unknown {
        /// HTTP status.
        status: StatusCode,
        /// Its own words.
        message: String,
        /// How long to stay away.
        retry_after: Option<Duration>,
    },
    /// Something else answers there.
    #[error("what answers is no control plane: {stranger}")]
    NotOurs {
        /// What it does.
        stranger: Unexpected,
    },
    /// It speaks WebSocket, but not our protocol in it.
    #[error(
        "what answers is a WebSocket that does not speak {SUBPROTOCOL}; the address or a gateway before it is wrong"
    )]
    OtherProtocol,
    /// It does not answer as WebSockets do.
    #[error("what answers is no WebSocket ({0})")]
    NotAWebSocket(String),
}

impl DialError {
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Unknown { retry_after, .. } => *retry_after,
            Self::Address { .. }
            | Self::Connect(_)
            | Self::Broken { .. }
            | Self::NotOurs { .. }
            | Self::OtherProtocol
            | Self::NotAWebSocket(_) => None,
        }
    }
}

/// A connected link and the host that both sides prove it against.
pub(super) struct Dialled {
    pub(super) socket: Socket,
    pub(super) host: String,
}

/// Connects and upgrades.
pub(super) async fn dial(settings: &LinkSettings) -> Result<Dialled, DialError> {
    let address = || DialError::Address {
        url: settings.url.clone(),
    };
    let mut request = settings
        .url
        .as_str()
        .into_client_request()
        .map_err(|_| address())?;
    let host = request
        .headers()
        .get(http::header::HOST)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(address)?
        .to_owned();
    authenticate(&mut request, settings).ok_or_else(address)?;
    let target = target(&request).ok_or_else(address)?;
    let connecting = settings.network.connect(&target);
    let stream = connecting.await.map_err(DialError::Connect)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(2 * FRAME_BYTES)
        .max_message_size(Some(FRAME_BYTES))
        .max_frame_size(Some(FRAME_BYTES));
    let (stream, lender) = lend(stream);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(Dialled { socket, host }),
        Err(WsError::Http(mut response)) => {
            lender.complete(&mut response).await;
            Err(refused(&response))
        }
        Err(error) => Err(not_upgraded(error, target)),
    }
}

fn not_upgraded(error: WsError, target: Target) -> DialError {
    match error {
        WsError::Io(source) => DialError::Broken { target, source },
        WsError::Protocol(ProtocolError::HandshakeIncomplete) => DialError::Broken {
            target,
            source: io::ErrorKind::UnexpectedEof.into(),
        },
        // A server that named another subprotocol, or none.
        WsError::Protocol(ProtocolError::SecWebSocketSubProtocolError(
            SubProtocolError::NoSubProtocol | SubProtocolError::InvalidSubProtocol,
        )) => DialError::OtherProtocol,
        other => DialError::NotAWebSocket(other.to_string()),
    }
}

/// Adds the subprotocol and the v2 node headers; `None` where the system gives no randomness.
fn authenticate(
    request: &mut tungstenite::handshake::client::Request,
    settings: &LinkSettings,
) -> Option<()> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    let timestamp = seconds.to_string();
    let mut random = [0u8; 24];
    getrandom::fill(&mut random).ok()?;
    let nonce = URL_SAFE_NO_PAD.encode(random);
    let path_and_query = request.uri().path_and_query()?.as_str().to_owned();
    let signed = auth::sign_v2(
        &settings.secret,
        &auth::Request {
            method: "GET",
            path_and_query: &path_and_query,
            timestamp: &timestamp,
            nonce: &nonce,
            body: b"",
        },
    );
    let headers = request.headers_mut();
    let mut add = |name: &'static str, value: &str| {
        headers.insert(name, HeaderValue::from_str(value).ok()?);
        Some(())
    };
    add("sec-websocket-protocol", SUBPROTOCOL)?;
    add(auth::HEADER_NODE_ID, settings.node_id.as_str())?;
    add(auth::HEADER_TIMESTAMP, &timestamp)?;
    add(auth::HEADER_NONCE, &nonce)?;
    add(auth::HEADER_AUTH, &signed)
}

/// Where a link of this address connects.
pub(super) fn target_of(url: &str) -> Option<Target> {
    target(&url.into_client_request().ok()?)
}

/// Where to connect.
fn target<T>(request: &Request<T>) -> Option<Target> {
    let uri = request.uri();
    let tls = match uri.scheme_str()? {
        "ws" => false,
        "wss" => true,
        _ => return None,
    };
    let host = uri.host()?;
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    Some(Target {
        host: bare.to_owned(),
        port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        tls,
    })
}

fn refused(response: &http::Response<Option<Vec<u8>>>) -> DialError {
    let detail = response
        .body()
        .as_deref()
        .and_then(|body| serde_json::from_slice::<ErrorBody>(body).ok())
        .map(|body| body.error);
    let retry_after = response
        .headers()
        .get(http::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .map(Duration::from_secs);
    // A gateway before the control plane may say that it is away; anything else is no control plane.
    let is_away = response.status().is_server_error() || retry_after.is_some();
    if detail.is_none() && !is_away {
        return DialError::NotOurs {
            stranger: Unexpected::of(response.status(), response.headers()),
        };
    }
    let kind = detail.as_ref().map(|detail| detail.kind);
    let message = detail.map_or_else(
        || "it gave no reason".to_owned(),
        |detail| detail.message.chars().take(300).collect(),
    );
    if kind == Some(ErrorType::Unauthorized) {
        return DialError::Unknown {
            status: response.status(),
            message,
            retry_after,
        };
    }
    let advice = match kind {
        Some(ErrorType::StaleTimestamp) => "; set this machine's clock",
        _ => "",
    };
    DialError::Refused {
        status: response.status(),
        kind,
        message: format!("{message}{advice}"),
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> tungstenite::handshake::client::Request {
        url.into_client_request().unwrap()
    }

    #[test]
    fn addresses_are_split_into_host_and_port() {
        for (url, expected) in [
            ("ws://127.0.0.1:8080/x", ("127.0.0.1", 8080, false)),
            ("ws://cp.example/x", ("cp.example", 80, false)),
            ("wss://cp.example/x", ("cp.example", 443, true)),
            ("ws://[::1]:9/x", ("::1", 9, false)),
        ] {
            let found = target(&request(url)).unwrap();
            let found = (found.host.as_str(), found.port, found.tls);
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn the_upgrade_is_signed_over_its_path() {
        let settings = LinkSettings {
            url: "ws://127.0.0.1:1/api/v1/nodes/link".to_owned(),
            node_id: dgon_protocol::id::NodeId::parse("rig-7").unwrap(),
            key: dgon_protocol::key::NodeKey::from_seed(&[1; 32]),
            secret: vec![7; 32].into(),
            allow: Vec::new(),
            agent_version: String::new(),
            boot_id: String::new(),
            flush_within: Duration::ZERO,
            backoff: dgon_agent_core::link::Backoff::default(),
            network: crate::net::Network::default(),
        };
        let mut request = request(&settings.url);
        authenticate(&mut request, &settings).unwrap();
        let header = |name| request.headers()[name].to_str().unwrap();
        let (timestamp, nonce) = (header(auth::HEADER_TIMESTAMP), header(auth::HEADER_NONCE));
        assert!(auth::is_nonce(nonce) && auth::parse_timestamp(timestamp).is_some());
        let signed = auth::Request {
            method: "GET",
            path_and_query: "/api/v1/nodes/link",
            timestamp,
            nonce,
            body: b"",
        };
        assert!(auth::verify_v2(
            &[7; 32],
            &signed,
            header(auth::HEADER_AUTH)
        ));
        assert!(!format!("{settings:?}").contains("7, 7"));
    }

    #[test]
    fn a_refusal_keeps_reason_and_retry_after() {
        let body = br#"{"error":{"type":"rate_limited","message":"too many sessions"}}"#;
        let response = http::Response::builder()
            .status(429)
            .header("retry-after", "7")
            .body(Some(body.to_vec()))
            .unwrap();
        let error = refused(&response);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert!(error.to_string().contains("too many sessions"), "{error}");
    }

    #[test]
    fn a_node_that_is_not_known_is_told_what_that_means_and_what_to_do() {
        let body = br#"{"error":{"type":"unauthorized","message":"check X-Node-Auth"}}"#;
        let response = http::Response::builder().status(401);
        let text = refused(&response.body(Some(body.to_vec())).unwrap()).to_string();
        for part in [
            "removed or revoked",
            "a later enrolment",
            "another control plane",
            "dgon-agent enroll --force",
            "says: check X-Node-Auth",
        ] {
            assert!(text.contains(part), "{part:?} in: {text}");
        }
        // What has no words of ours stands before the control plane.
        let gate = http::Response::builder().status(401).body(None).unwrap();
        let text = refused(&gate).to_string();
        assert!(text.contains("asks for a login"), "{text}");
    }

    #[test]
    fn a_sign_in_page_is_told_apart_from_a_gateway_without_a_control_plane() {
        let answer = |status: u16, name: &str, value: &str| {
            let response = http::Response::builder().status(status).header(name, value);
            refused(&response.body(None).unwrap())
        };
        let portal = answer(302, "location", "http://portal.example/login");
        assert!(
            portal.to_string().contains("portal.example/login"),
            "{portal}"
        );
        let page = answer(200, "content-type", "text/html; charset=utf-8");
        assert!(page.to_string().contains("web page"), "{page}");
        let gateway = answer(502, "content-type", "text/html");
        assert!(matches!(gateway, DialError::Refused { .. }), "{gateway}");
    }
}
