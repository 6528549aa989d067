//! HTTP to the control plane: enrolment and the doctor's questions. Receipts and heartbeats go over the link.
//!
//! Answers are read up to a limit and every call has a deadline. Node requests carry the v2 headers of wire.md
//! section 5. A proxy of the environment is used, but never for this machine itself.

use crate::config::BaseUrl;
use crate::identity::Enrolment;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dgon_protocol::auth::{
    self, HEADER_AUTH, HEADER_NODE_ID, HEADER_NONCE, HEADER_TIMESTAMP, sign_v2,
};
use dgon_protocol::error::{ErrorBody, ErrorDetail};
use dgon_protocol::limits::NONCE_BYTES;
use reqwest::{Method, Response, Url};
use serde::de::DeserializeOwned;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Largest answer that is read, bytes.
const ANSWER_BYTES: usize = 256 * 1024;
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(20);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No client can be made, such as for want of root certificates.
    #[error("no HTTP client can be made on this machine")]
    Client(#[source] reqwest::Error),
    /// The connection failed or broke.
    #[error(
        "cannot reach the control plane at {url}; check the address, the network and that it runs"
    )]
    Unreachable {
        /// What was called.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
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
    #[error(
        "{url} answers with status {status} and not as a DGON control plane does; check the address"
    )]
    NotOurs {
        /// What was called.
        url: Url,
        /// HTTP status.
        status: u16,
    },
    /// The system gives no randomness.
    #[error("the system gives no random bytes, so the request cannot be signed: {0}")]
    Entropy(String),
}

impl ApiError {
    /// The server's clock, where it answered.
    pub fn date(&self) -> Option<SystemTime> {
        match self {
            Self::Refused { date, .. } => *date,
            Self::Client(_)
            | Self::Unreachable { .. }
            | Self::NotOurs { .. }
            | Self::Entropy(_) => None,
        }
    }
}

/// A client of one control plane.
#[derive(Debug, Clone)]
pub struct Api {
    base: BaseUrl,
    http: reqwest::Client,
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
    /// A client of the control plane at `base`.
    ///
    /// # Errors
    /// [`ApiError::Client`].
    pub fn new(base: BaseUrl) -> Result<Self, ApiError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("dgon-agent/", env!("CARGO_PKG_VERSION")));
        if is_this_machine(base.host()) {
            builder = builder.no_proxy();
        }
        Ok(Self {
            base,
            http: builder.build().map_err(ApiError::Client)?,
        })
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
        let url = self.base.at(path);
        let request = self
            .http
            .post(url.clone())
            .header("content-type", "application/json")
            .body(body);
        Ok(answer(url, request).await?.body)
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
        let url = self.base.at(path);
        let timestamp = unix_seconds().to_string();
        let nonce = nonce()?;
        let signature = sign_v2(
            node.secret.as_bytes(),
            &auth::Request {
                method: Method::GET.as_str(),
                path_and_query: url.path(),
                timestamp: &timestamp,
                nonce: &nonce,
                body: b"",
            },
        );
        let request = self
            .http
            .get(url.clone())
            .header(HEADER_NODE_ID, node.node_id.as_str())
            .header(HEADER_TIMESTAMP, timestamp)
            .header(HEADER_NONCE, nonce)
            .header(HEADER_AUTH, signature);
        answer(url, request).await
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

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

async fn answer<T: DeserializeOwned>(
    url: Url,
    request: reqwest::RequestBuilder,
) -> Result<Answer<T>, ApiError> {
    let unreachable = |source| ApiError::Unreachable {
        url: url.clone(),
        source,
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let date = date(&response);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES {
            break;
        }
    }
    let not_ours = || ApiError::NotOurs {
        url: url.clone(),
        status: status.as_u16(),
    };
    if !status.is_success() {
        let error: ErrorBody = serde_json::from_slice(&body).map_err(|_| not_ours())?;
        return Err(ApiError::Refused {
            status: status.as_u16(),
            detail: Box::new(error.error),
            date,
        });
    }
    let body = serde_json::from_slice(&body).map_err(|_| not_ours())?;
    Ok(Answer { body, date })
}

fn date(response: &Response) -> Option<SystemTime> {
    let text = response.headers().get("date")?.to_str().ok()?;
    httpdate::parse_http_date(text).ok()
}
