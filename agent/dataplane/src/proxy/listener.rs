//! The listening side: accepting clients, their limits, and stopping.

use super::Proxy;
use super::headers::{is_local_origin, names_this_machine};
use super::reply::Refusal;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

/// Largest request head, and how much of a body is read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// A client that reads slower than this for longer than its patience is let go, bytes per second.
const SLOWEST: u64 = 1024;
/// How long a stop waits for the receipts of what it cut off.
const RECORDS_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait after the machine refused a connection, such as for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Proxy {
    /// Serves clients until `shutdown`, then lets running answers end within the drain time.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.settings.max_connections));
        let is_loopback = listener.local_addr().is_ok_and(|at| at.ip().is_loopback());
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((listener.accept().await, place))
            };
            let (accepted, place) = tokio::select! {
                accepted = accepted => match accepted { Some(accepted) => accepted, None => break },
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection =
                        Arc::clone(&self).connection(stream, is_loopback, shutdown.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a client");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.drain(&places).await;
    }

    /// Lets what is in flight end, cuts what takes too long, and waits for the receipts of both.
    async fn drain(&self, places: &Semaphore) {
        self.admission.close();
        let all = u32::try_from(self.settings.max_connections).unwrap_or(u32::MAX);
        // A client may still be reading an answer that has its receipt; the network's work has no connection here.
        let ended = async { tokio::join!(places.acquire_many(all), self.admission.drained()) };
        let in_time = tokio::time::timeout(self.settings.drain_timeout, ended).await;
        if in_time.is_err() {
            self.cut.cancel();
            let recorded = self.admission.drained();
            if tokio::time::timeout(RECORDS_WITHIN, recorded)
                .await
                .is_err()
            {
                let requests = self.in_flight();
                tracing::error!(
                    requests,
                    "the agent stops without the receipts of requests that were cut off"
                );
            }
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        is_loopback: bool,
        shutdown: CancellationToken,
    ) {
        // A token is a small write; it must not wait for the one before.
        let _ = stream.set_nodelay(true);
        let cut = self.cut.clone();
        let header_timeout = self.settings.header_timeout;
        let io = Watched::new(stream, self.settings.client_timeout);
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let proxy = Arc::clone(&self);
            async move {
                let path = request.uri().path();
                if is_loopback && !names_this_machine(&request) {
                    let message =
                        "the proxy listens on this machine only; use localhost or its IP address";
                    return Ok::<_, Infallible>(Refusal::ForeignHost.reply(path, message));
                }
                if !is_local_origin(request.headers(), &proxy.settings.origins) {
                    let message = "a web page of another site asks; the owner of this machine can allow its origin \
                                   in agent.yaml under proxy.origins";
                    return Ok(Refusal::ForeignOrigin.reply(path, message));
                }
                Ok(Box::pin(proxy.handle(request)).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(BUFFER_BYTES)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            _ = connection => {}
            () = cut.cancelled() => {}
        }
    }
}

/// A client's connection that fails where the client reads too slowly for too long.
///
/// All the time that the client lets the agent wait counts: each byte that it takes earns it a little more, so a
/// client that takes a byte now and then is let go too.
struct Watched {
    stream: TcpStream,
    limit: Duration,
    /// Bytes that the client took.
    written: u64,
    /// How long it let us wait for that.
    waited: Duration,
    blocked: Option<Blocked>,
}

/// A wait for the client to read.
struct Blocked {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Watched {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            written: 0,
            waited: Duration::ZERO,
            blocked: None,
        }
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            if let Some(blocked) = self.blocked.take() {
                self.waited += blocked.since.elapsed();
            }
            if let Ok(count) = written {
                self.written = self.written.saturating_add(count as u64);
            }
            return Poll::Ready(written);
        }
        let blocked = self.blocked.get_or_insert_with(|| {
            let earned = Duration::from_millis(self.written.saturating_mul(1000) / SLOWEST);
            let left = (self.limit + earned).saturating_sub(self.waited);
            Blocked {
                since: Instant::now(),
                timer: Box::pin(tokio::time::sleep(left.min(self.limit))),
            }
        });
        blocked
            .timer
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch(cx, written)
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
