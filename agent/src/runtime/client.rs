//! Asking one endpoint a few questions: bounded answers, a deadline for each, one connection for all.

use super::{Access, Endpoint, connect};
use crate::proxy::{DETECT_HEADER, SERVER_NAME};
use bytes::Bytes;
use dgon_agent_core::error::chain;
use http::header::{ACCEPT, AUTHORIZATION, HOST, SERVER};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// Most of an answer that is read, bytes. Tag lists and metrics of large installations stay well below.
const ANSWER_BYTES: usize = 2 << 20;

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) server: Option<String>,
    pub(super) body: Bytes,
}

impl Reply {
    /// The body of a 200 as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        (self.status == 200)
            .then(|| serde_json::from_slice(&self.body).ok())
            .flatten()
    }

    /// Whether the answer is of a program of ours.
    fn is_ours(&self) -> bool {
        self.server
            .as_deref()
            .is_some_and(|server| server == SERVER_NAME || server.starts_with("dgon-"))
    }
}

/// Questions to one endpoint. Each path is asked once; later questions get the same answer.
pub(super) struct EndpointClient {
    endpoint: Endpoint,
    access: Access,
    connection: Option<Connection>,
    replies: HashMap<String, Option<Reply>>,
    is_refused: bool,
    missed_an_answer: bool,
    /// Why the last question that had no answer had none.
    why_missed: Option<String>,
    is_ours: bool,
}

struct Connection {
    send: http1::SendRequest<Empty<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl EndpointClient {
    pub(super) fn new(endpoint: Endpoint, access: Access) -> Self {
        Self {
            endpoint,
            access,
            connection: None,
            replies: HashMap::new(),
            is_refused: false,
            missed_an_answer: false,
            why_missed: None,
            is_ours: false,
        }
    }

    /// The endpoint that is asked.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What it takes to speak to it.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Whether nobody listens there.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Whether a question had no answer in time, or none that could be read.
    pub(super) fn missed_an_answer(&self) -> bool {
        self.missed_an_answer
    }

    /// Why no answer came, in a few words.
    pub(super) fn why_missed(&self) -> Option<&str> {
        self.why_missed.as_deref()
    }

    /// Whether a program of ours listens there.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Asks for `path`; `None` where no answer came in time.
    pub(super) async fn get(&mut self, path: &str) -> Option<Reply> {
        self.ask(Method::GET, path).await
    }

    /// The JSON of a 200 at `path`.
    pub(super) async fn get_json<T: DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        self.get(path).await?.json()
    }

    /// Whether `path` asks for a key that was not given, or refuses the given one.
    pub(super) async fn is_closed(&mut self, path: &str) -> bool {
        let reply = self.get(path).await;
        reply.is_some_and(|reply| matches!(reply.status, 401 | 403))
    }

    /// Posts nothing to `path`, for the one runtime whose list of models is read by a POST.
    pub(super) async fn post_json<T: DeserializeOwned>(&mut self, path: &str) -> Option<T> {
        self.ask(Method::POST, path).await?.json()
    }

    async fn ask(&mut self, method: Method, path: &str) -> Option<Reply> {
        if let Some(known) = self.replies.get(path) {
            return known.clone();
        }
        if self.is_refused || self.is_ours {
            return None;
        }
        let reply = tokio::time::timeout(REQUEST_TIMEOUT, self.fetch(method, path))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let reply = match reply {
            Ok(reply) => Some(reply),
            Err(error) => {
                self.connection = None;
                self.is_refused |= error.kind() == io::ErrorKind::ConnectionRefused;
                self.missed_an_answer = true;
                self.why_missed = Some(why_missed(&error));
                None
            }
        };
        self.is_ours |= reply.as_ref().is_some_and(Reply::is_ours);
        self.replies.insert(path.to_owned(), reply.clone());
        reply
    }

    async fn fetch(&mut self, method: Method, path: &str) -> io::Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.endpoint.authority())
            .header(ACCEPT, "application/json, text/plain")
            .header(DETECT_HEADER, "1");
        if let Some(key) = self.access.authorization() {
            request = request.header(AUTHORIZATION, key);
        }
        let request = request.body(Empty::new()).map_err(io::Error::other)?;
        let answer = self
            .connection()
            .await?
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = answer.status().as_u16();
        let server = answer.headers().get(SERVER);
        let server = server.and_then(|value| value.to_str().ok().map(str::to_owned));
        let body = Limited::new(answer.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(io::Error::other)?
            .to_bytes();
        Ok(Reply {
            status,
            server,
            body,
        })
    }

    async fn connection(&mut self) -> io::Result<&mut http1::SendRequest<Empty<Bytes>>> {
        let is_usable = match &mut self.connection {
            Some(connection) => connection.send.ready().await.is_ok(),
            None => false,
        };
        if !is_usable {
            let stream = connect(&self.endpoint, &self.access).await?;
            let (send, driver) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
            let driver = tokio::spawn(async move {
                let _ = driver.await;
            });
            self.connection = Some(Connection {
                send,
                driver: driver.abort_handle(),
            });
        }
        match &mut self.connection {
            Some(connection) => Ok(&mut connection.send),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn why_missed(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => format!(
            "it does not answer within {:.1} s",
            REQUEST_TIMEOUT.as_secs_f32()
        ),
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
        _ => chain(error),
    }
}
