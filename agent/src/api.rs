//! HTTP to the control plane: enrolment, changes of keys, the doctor's questions. Receipts of the key in use and
//! heartbeats go over the link.
//!
//! Answers are read up to a limit and every call has a deadline. Node requests carry the v2 headers of wire.md
//! section 5. Each call takes a connection of its own, the same way that the link takes.

use crate::config::BaseUrl;
use crate::identity::Enrolment;
use crate::net::{ConnectError, Network, Stream};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use dgon_protocol::auth::{
    self, HEADER_AUTH, HEADER_NODE_ID, HEADER_NONCE, HEADER_TIMESTAMP, sign_v2,
};
use dgon_protocol::error::{ErrorBody, ErrorDetail};
use dgon_protocol::limits::NONCE_BYTES;
use http::header::{CONTENT_TYPE, DATE, HOST, HeaderMap, LOCATION, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::{Duration, SystemTime};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Largest answer that is read, bytes.
const ANSWER_BYTES: usize = 256 * 1024;
/// Largest head of an answer, bytes.
const HEAD_BYTES: usize = 32 * 1024;
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(20);
/// Longest address of a redirect that is repeated to a person, characters.
const LOCATION_CHARS: usize = 120;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// There is no connection.
    #[error(
        "cannot reach the control plane at {url}; check the address, the network and that it runs"
    )]
    Unreachable {
        /// What was called.
        url: String,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// The connection broke before the answer was whole, or what came is no HTTP.
    #[error("{url} takes the connection, but gives no whole HTTP answer")]
    Broken {
        /// What was called.
        url: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// No answer came in time.
    #[error("no answer from {url} within {} s", .within.as_secs())]
    TimedOut {
        /// What was called.
        url: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The control plane says no.
    #[error("the control plane refuses this ({}): {}", .detail.kind, .detail.message)]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it says.
        detail: Box<ErrorDetail>,
        /// The `Date` header.
        date: Option<SystemTime>,
    },
    /// Something else answers there.
    #[error("{url} does not answer as a DGON control plane does: {unexpected}; check the address")]
    NotOurs {
        /// What was called.
        url: String,
        /// What answers.
        unexpected: Unexpected,
    },
    /// The system gives no randomness.
    #[error("the system gives no random bytes, so the request cannot be signed: {0}")]
    Entropy(String),
}

/// Something that answers HTTP and is no control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unexpected {
    /// It sends us elsewhere, as the sign-in page of a hotel or a company does.
    Redirect {
        /// HTTP status.
        status: u16,
        /// To where, shortened.
        to: String,
    },
    /// It shows a page for people, as such a sign-in page does.
    Page {
        /// HTTP status.
        status: u16,
    },
    /// It sends more than any answer of ours has.
    TooLarge,
    /// It sends something else.
    Other {
        /// HTTP status.
        status: u16,
    },
}

impl fmt::Display for Unexpected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redirect { status, to } => write!(f, "it redirects to {to} (status {status})"),
            Self::Page { status } => write!(f, "it shows a web page (status {status})"),
            Self::TooLarge => f.write_str("its answer does not end"),
            Self::Other {
                status: status @ (401 | 407),
            } => write!(
                f,
                "something before the control plane asks for a login (status {status}), which nodes do not have; its \
                 owner must let /api/v1/nodes through"
            ),
            Self::Other { status } => write!(f, "its answer is none of ours (status {status})"),
        }
    }
}

impl Unexpected {
    /// Judges by the head of an answer.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let status_code = status.as_u16();
        let is_page = text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"));
        match text(LOCATION) {
            Some(to) if status.is_redirection() => Self::Redirect {
                status: status_code,
                to: to.chars().take(LOCATION_CHARS).collect(),
            },
            _ if is_page => Self::Page {
                status: status_code,
            },
            _ => Self::Other {
                status: status_code,
            },
        }
    }

    /// Whether this is how a network behaves that wants somebody to sign in first.
    pub fn looks_like_a_portal(&self) -> bool {
        match self {
            Self::Redirect { .. } => true,
            // A gateway whose control plane is away shows a page too.
            Self::Page { status } => *status < 500,
            Self::TooLarge | Self::Other { .. } => false,
        }
    }
}

impl ApiError {
    /// The server's clock, where it answered.
    pub fn date(&self) -> Option<SystemTime> {
        match self {
            Self::Refused { date, .. } => *date,
            Self::Unreachable { .. }
            | Self::Broken { .. }
            | Self::TimedOut { .. }
            | Self::NotOurs { .. }
            | Self::Entropy(_) => None,
        }
    }
}

/// A client of one control plane.
#[derive(Debug, Clone)]
pub struct Api {
    base: BaseUrl,
    network: Network,
}

/// An answer and the server's clock.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The body.
    pub body: T,
    /// The `Date` header.
    pub date: Option<SystemTime>,
}

impl Api {
    /// A client of the control plane at `base`, reached through `network`.
    pub fn new(base: BaseUrl, network: Network) -> Self {
        Self { base, network }
    }

    /// Posts `body` without node headers: enrolment, where there are none yet.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ApiError> {
        let mut request = self.request(Method::POST, path, body);
        request.headers_mut().insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        Ok(self.send(path, request).await?.body)
    }

    /// Gets `path` as this node.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get_as_node<T: DeserializeOwned>(
        &self,
        path: &str,
        node: &Enrolment,
    ) -> Result<Answer<T>, ApiError> {
        self.send(path, self.get_request(path, node)?).await
    }

    /// Posts `body` as this node.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn post_as_node<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
        node: &Enrolment,
    ) -> Result<T, ApiError> {
        let mut request = self.node_request(Method::POST, path, body, node)?;
        request.headers_mut().insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        Ok(self.send(path, request).await?.body)
    }

    /// Like [`Api::get_as_node`], over a connection that stands already; as nobody where there is no node.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get_over<T: DeserializeOwned>(
        &self,
        stream: Stream,
        path: &str,
        node: Option<&Enrolment>,
    ) -> Result<Answer<T>, ApiError> {
        let request = match node {
            Some(node) => self.get_request(path, node)?,
            None => self.request(Method::GET, path, Vec::new()),
        };
        exchange(self.base.at(path), stream, request).await
    }

    fn get_request(&self, path: &str, node: &Enrolment) -> Result<Request<Full<Bytes>>, ApiError> {
        self.node_request(Method::GET, path, Vec::new(), node)
    }

    /// A request with the node headers over method, path and body.
    fn node_request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        node: &Enrolment,
    ) -> Result<Request<Full<Bytes>>, ApiError> {
        let timestamp = crate::clock::unix_s().to_string();
        let nonce = nonce()?;
        let signature = sign_v2(
            node.secret.as_bytes(),
            &auth::Request {
                method: method.as_str(),
                path_and_query: &self.base.path_of(path),
                timestamp: &timestamp,
                nonce: &nonce,
                body: &body,
            },
        );
        let mut request = self.request(method, path, body);
        let headers = request.headers_mut();
        for (name, value) in [
            (HEADER_NODE_ID, node.node_id.as_str()),
            (HEADER_TIMESTAMP, &timestamp),
            (HEADER_NONCE, &nonce),
            (HEADER_AUTH, &signature),
        ] {
            insert(headers, name, value);
        }
        Ok(request)
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        // A base address was read as a URI, and the paths are ours.
        *request.uri_mut() = self.base.path_of(path).parse().unwrap_or_default();
        let agent = concat!("dgon-agent/", env!("CARGO_PKG_VERSION"));
        insert(request.headers_mut(), HOST.as_str(), self.base.authority());
        insert(request.headers_mut(), USER_AGENT.as_str(), agent);
        request
    }

    async fn send<T: DeserializeOwned>(
        &self,
        path: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer<T>, ApiError> {
        let url = self.base.at(path);
        let late = |within| ApiError::TimedOut {
            url: url.clone(),
            within,
        };
        let whole = async {
            let connecting = self.network.connect(self.base.target());
            let stream = timeout(CONNECT, connecting)
                .await
                .map_err(|_| late(CONNECT))?
                .map_err(|source| ApiError::Unreachable {
                    url: url.clone(),
                    source,
                })?;
            exchange(url.clone(), stream, request).await
        };
        timeout(WHOLE, whole).await.map_err(|_| late(WHOLE))?
    }
}

/// Headers that cannot be written are left out; the server then says what is missing.
fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (
        http::HeaderName::from_bytes(name.as_bytes()),
        http::HeaderValue::from_str(value),
    ) {
        headers.insert(name, value);
    }
}

/// A fresh nonce of v2: 128 random bits.
///
/// # Errors
/// [`ApiError::Entropy`].
pub fn nonce() -> Result<String, ApiError> {
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| ApiError::Entropy(error.to_string()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Ends the connection's task with the call.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One request and its answer over one connection.
async fn exchange<T: DeserializeOwned>(
    url: String,
    stream: Stream,
    request: Request<Full<Bytes>>,
) -> Result<Answer<T>, ApiError> {
    let broken = |source| ApiError::Broken {
        url: url.clone(),
        source,
    };
    let (mut send, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = tokio::spawn(async move {
        // The caller hears of its end through the answer.
        drop(connection.await);
    });
    let _driver = Driver(driver.abort_handle());
    let response = send.send_request(request).await.map_err(broken)?;
    let date = date(&response);
    let status = response.status();
    let unexpected = Unexpected::of(status, response.headers());
    let not_ours = |unexpected| ApiError::NotOurs {
        url: url.clone(),
        unexpected,
    };
    let Some(body) = read_body(response.into_body()).await.map_err(broken)? else {
        return Err(not_ours(Unexpected::TooLarge));
    };
    if !status.is_success() {
        let error: ErrorBody = serde_json::from_slice(&body).map_err(|_| not_ours(unexpected))?;
        return Err(ApiError::Refused {
            status: status.as_u16(),
            detail: Box::new(error.error),
            date,
        });
    }
    let body = serde_json::from_slice(&body).map_err(|_| not_ours(unexpected))?;
    Ok(Answer { body, date })
}

/// The whole body; `None` where it is longer than any of ours.
async fn read_body(mut body: Incoming) -> Result<Option<Vec<u8>>, hyper::Error> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if read.len() + data.len() > ANSWER_BYTES {
                return Ok(None);
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(Some(read))
}

fn date<B>(response: &Response<B>) -> Option<SystemTime> {
    let text = response.headers().get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(text).ok()
}
