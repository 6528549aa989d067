//! Connections to runtimes, driven by the task that uses them.
//!
//! A connection is no task of its own: whoever waits for an answer polls it, so a token passes from the runtime's
//! socket to the client's without a change of task, and dropping an answer closes the runtime's connection at
//! once, which is what makes runtimes stop working. Idle connections are kept for less than the five seconds
//! after which runtimes close them, and a request is sent again only if nothing of it had been sent.

use super::client_body::{BodyError, ClientBody};
use super::wake_filter::WakeFilter;
use crate::runtime::{Access, Endpoint, FoundRuntime, connect};
use crate::stream::Stream;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Runtimes close idle connections after five seconds.
const IDLE: Duration = Duration::from_secs(4);
/// Idle connections kept per runtime.
const IDLE_PER_ENDPOINT: usize = 32;

/// A body on its way to a runtime.
pub(super) enum RequestBody {
    /// In memory, so that it can be sent again.
    Whole(Bytes),
    /// Straight from the client.
    Stream(ClientBody),
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// No connection.
    #[error("cannot connect to the runtime at {endpoint}; check that it runs")]
    Connect {
        endpoint: Endpoint,
        #[source]
        source: io::Error,
    },
    /// The connection broke before an answer began.
    #[error("the runtime at {endpoint} closed the connection before it answered")]
    Broken {
        endpoint: Endpoint,
        #[source]
        source: hyper::Error,
    },
    /// Neither did the request move nor did an answer begin.
    #[error("the runtime at {endpoint} did not answer in time")]
    Silent { endpoint: Endpoint },
}

impl UpstreamError {
    /// Why the request was not sent whole, where that was the client's doing.
    pub(super) fn unsent(&self) -> Option<&BodyError> {
        match self {
            Self::Broken { source, .. } => source.source()?.downcast_ref(),
            _ => None,
        }
    }
}

/// One connection and the handle to send on it.
struct Connection {
    send: http1::SendRequest<RequestBody>,
    conn: Pin<Box<http1::Connection<TokioIo<Counted>, RequestBody>>>,
    is_open: bool,
    /// Bytes that the runtime took.
    taken: Arc<AtomicU64>,
}

/// Connections that wait for their next request.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    /// Most that wait, to all runtimes together.
    most: usize,
}

#[derive(Default)]
struct Idle {
    connections: HashMap<Endpoint, Vec<(Connection, Instant)>>,
    is_swept: bool,
}

/// An answer's body. Dropping it before its end closes the connection.
pub(super) struct AnswerBody {
    incoming: Incoming,
    connection: Option<Connection>,
    home: Arc<Pool>,
    endpoint: Endpoint,
    /// Absent only while it is polled through.
    wake_filter: Option<WakeFilter>,
    /// What was read ahead and is told first.
    ahead: Option<Bytes>,
    is_done: bool,
}

impl Pool {
    /// A pool that keeps at most this many idle connections.
    pub(super) fn keeping(most: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            most,
        })
    }

    /// Sends a request and waits for the head of its answer, as long as this after the request has last moved.
    pub(super) async fn send(
        self: &Arc<Self>,
        runtime: &FoundRuntime,
        mut request: Box<Request<RequestBody>>,
        connect_timeout: Duration,
        first_byte_timeout: Duration,
    ) -> Result<Response<AnswerBody>, UpstreamError> {
        let endpoint = &runtime.endpoint;
        loop {
            let pooled = self.take(endpoint);
            let is_fresh = pooled.is_none();
            let mut connection = match pooled {
                Some(connection) => connection,
                None => {
                    let access = &runtime.access;
                    Box::pin(Connection::connect(endpoint, access, connect_timeout)).await?
                }
            };
            let Some(sent) = connection.send_within(request, first_byte_timeout).await else {
                return Err(UpstreamError::Silent {
                    endpoint: endpoint.clone(),
                });
            };
            match sent {
                Ok(answer) => {
                    let (head, incoming) = answer.into_parts();
                    let body = AnswerBody {
                        incoming,
                        connection: Some(connection),
                        home: Arc::clone(self),
                        endpoint: endpoint.clone(),
                        wake_filter: Some(WakeFilter::new()),
                        ahead: None,
                        is_done: false,
                    };
                    return Ok(Response::from_parts(head, body));
                }
                Err(mut error) => match error.take_message() {
                    // A pooled connection that had died: nothing was sent.
                    Some(unsent) if !is_fresh => request = Box::new(unsent),
                    _ => {
                        return Err(UpstreamError::Broken {
                            endpoint: endpoint.clone(),
                            source: error.into_error(),
                        });
                    }
                },
            }
        }
    }

    fn take(&self, endpoint: &Endpoint) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.connections.get_mut(endpoint)?;
        while let Some((mut connection, since)) = connections.pop() {
            if since.elapsed() < IDLE && connection.is_reusable() {
                return Some(connection);
            }
        }
        None
    }

    fn put(self: &Arc<Self>, endpoint: Endpoint, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = idle.connections.values().map(Vec::len).sum();
        if all >= self.most {
            return;
        }
        let connections = idle.connections.entry(endpoint).or_default();
        if connections.len() < IDLE_PER_ENDPOINT {
            connections.push((connection, Instant::now()));
        }
        if !idle.is_swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            idle.is_swept = true;
            runtime.spawn(Arc::clone(self).sweep());
        }
    }

    /// Closes what has idled too long; ends when nothing is left, so that an idle agent has no timer for it.
    async fn sweep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(IDLE).await;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.connections.retain(|_, connections| {
                connections.retain(|(_, since)| since.elapsed() < IDLE);
                !connections.is_empty()
            });
            if idle.connections.is_empty() {
                idle.is_swept = false;
                return;
            }
        }
    }
}

impl Connection {
    async fn connect(
        endpoint: &Endpoint,
        access: &Access,
        limit: Duration,
    ) -> Result<Self, UpstreamError> {
        let failed = |source| UpstreamError::Connect {
            endpoint: endpoint.clone(),
            source,
        };
        let stream = tokio::time::timeout(limit, connect(endpoint, access))
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        let taken = Arc::new(AtomicU64::new(0));
        let stream = Counted {
            stream,
            taken: Arc::clone(&taken),
        };
        let (send, conn) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(io::Error::other(error)))?;
        Ok(Self {
            send,
            conn: Box::pin(conn),
            is_open: true,
            taken,
        })
    }

    /// Moves bytes on the connection.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if self.is_open && self.conn.as_mut().poll(cx).is_ready() {
            self.is_open = false;
        }
    }

    fn is_reusable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.is_open && self.send.is_ready()
    }

    /// Sends a request; `None` where for as long as `limit` the runtime neither took a byte nor answered.
    async fn send_within(
        &mut self,
        request: Box<Request<RequestBody>>,
        limit: Duration,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> {
        let taken = Arc::clone(&self.taken);
        let mut before = taken.load(Ordering::Relaxed);
        let mut sending = pin!(self.send(request));
        loop {
            if let Ok(sent) = tokio::time::timeout(limit, sending.as_mut()).await {
                return Some(sent);
            }
            let now = taken.load(Ordering::Relaxed);
            if now == before {
                return None;
            }
            before = now;
        }
    }

    async fn send(
        &mut self,
        request: Box<Request<RequestBody>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut answer = pin!(self.send.try_send_request(*request));
        std::future::poll_fn(|cx| {
            // As with the body: the connection's socket wakes this task, the answer itself need not.
            let mut quiet = Context::from_waker(Waker::noop());
            if let Poll::Ready(answer) = answer.as_mut().poll(&mut quiet) {
                return Poll::Ready(answer);
            }
            if self.is_open && self.conn.as_mut().poll(cx).is_ready() {
                self.is_open = false;
            }
            let cx = if self.is_open { &mut quiet } else { cx };
            answer.as_mut().poll(cx)
        })
        .await
    }
}

/// A connection that counts the bytes that the runtime took.
struct Counted {
    stream: Stream,
    taken: Arc<AtomicU64>,
}

impl Counted {
    fn count(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.taken.fetch_add(*bytes as u64, Ordering::Relaxed);
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.count(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AnswerBody {
    /// The next piece of the body.
    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(ahead)));
        }
        let Some(wake_filter) = self.wake_filter.take() else {
            return self.poll_open(cx);
        };
        let polled = wake_filter.poll(cx, |cx| self.poll_open(cx));
        self.wake_filter = Some(wake_filter);
        polled
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            let mut frame = Pin::new(&mut self.incoming).poll_frame(cx);
            if frame.is_pending() {
                if let Some(connection) = &mut self.connection {
                    connection.drive(cx);
                }
                frame = Pin::new(&mut self.incoming).poll_frame(cx);
            }
            match std::task::ready!(frame) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => {
                    self.connection = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.is_done = true;
                    self.go_home();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// The whole of a small body; `None` where it is larger than `most` bytes or breaks off.
    pub(super) async fn read_to_end(&mut self, most: usize) -> Option<Bytes> {
        let mut all = BytesMut::new();
        while let Some(data) = std::future::poll_fn(|cx| self.poll_data(cx)).await {
            all.extend_from_slice(&data.ok()?);
            if all.len() > most {
                return None;
            }
        }
        Some(all.freeze())
    }

    /// Puts back a body that was read to its end, so that it is told again.
    pub(super) fn put_back(&mut self, body: Bytes) {
        self.ahead = Some(body).filter(|body| !body.is_empty());
    }

    /// Whether there is nothing to come.
    pub(super) fn is_empty(&self) -> bool {
        self.ahead.is_none() && self.incoming.is_end_stream()
    }

    /// Closes the connection, which cancels the runtime's work.
    pub(super) fn cancel(&mut self) {
        self.connection = None;
    }

    fn go_home(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && connection.is_reusable()
        {
            self.home.put(self.endpoint.clone(), connection);
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.is_done || self.incoming.is_end_stream() {
            self.go_home();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(body) if body.is_empty() => Poll::Ready(None),
            Self::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Self::Stream(incoming) => Pin::new(incoming).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_empty(),
            Self::Stream(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Self::Stream(incoming) => incoming.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::RuntimeKind;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Counts how often a task is told to run.
    struct Counting {
        task: Waker,
        wakes: Arc<AtomicUsize>,
    }

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            self.task.wake_by_ref();
        }
    }

    #[tokio::test]
    async fn a_token_makes_its_task_run_once() {
        const TOKENS: usize = 50;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (go_on, mut next) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            while next.recv().await.is_some() {
                stream.write_all(b"5\r\ntoken\r\n").await.unwrap();
            }
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        });
        let runtime = FoundRuntime::new(RuntimeKind::Vllm, Endpoint::new("127.0.0.1", port));
        let request = Box::new(Request::new(RequestBody::Whole(Bytes::new())));
        let pool = Pool::keeping(1);
        let limit = Duration::from_secs(5);
        let answer = pool.send(&runtime, request, limit, limit).await;
        let mut body = answer.unwrap().into_body();
        let wakes = Arc::new(AtomicUsize::new(0));
        for _ in 0..TOKENS {
            go_on.send(()).await.unwrap();
            let token = std::future::poll_fn(|cx| {
                let waker = Waker::from(Arc::new(Counting {
                    task: cx.waker().clone(),
                    wakes: Arc::clone(&wakes),
                }));
                body.poll_data(&mut Context::from_waker(&waker))
            });
            assert_eq!(token.await.unwrap().unwrap(), "token");
        }
        let wakes = wakes.load(Ordering::Relaxed);
        assert!(wakes <= TOKENS, "{wakes} wakes for {TOKENS} tokens");
        drop(go_on);
        assert_eq!(body.read_to_end(10).await.unwrap(), "");
    }
}
