//! The listening side: accepting clients, their limits, and stopping.

use super::Proxy;
use super::answer::Answer;
use super::client_body::ClientBody;
use super::headers::{is_local_origin, names_this_machine};
use super::idle_connections::{Closed, Connection, IdleConnections};
use super::reply::Refusal;
use super::wait_budget::WaitBudget;
use crate::accept::AcceptErrors;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Largest request head, and how much of a body is read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long a stop waits for the receipts of what it cut off.
const RECORDS_WITHIN: Duration = Duration::from_secs(5);
/// How long to wait for somebody to end or idle, where nobody can make room.
const ROOM_PAUSE: Duration = Duration::from_millis(100);
/// How long a client that was answered before its request came whole may pause in sending the rest.
const UNREAD_PAUSE: Duration = Duration::from_secs(5);
/// How long the rest of such a request is read, so that its client gets to read the answer.
const UNREAD_WITHIN: Duration = Duration::from_secs(30);
/// How long a connection that is to make room may take to end by itself.
const LEAVE_WITHIN: Duration = Duration::from_millis(200);

impl Proxy {
    /// Serves clients until `shutdown`, then lets running answers end within the drain time.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        self.serve_all(vec![listener], shutdown).await;
    }

    /// The same on several addresses, under the same limits.
    pub async fn serve_all(
        self: Arc<Self>,
        listeners: Vec<TcpListener>,
        shutdown: CancellationToken,
    ) {
        let places = Arc::new(Semaphore::new(self.settings.max_connections));
        let acceptor = Acceptor {
            proxy: Arc::clone(&self),
            places: Arc::clone(&places),
            idle: IdleConnections::default(),
            shutdown,
        };
        acceptor.accept(listeners).await;
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
        place: Connection,
        shutdown: CancellationToken,
    ) {
        // A token is a small write; it must not wait for the one before.
        let _ = stream.set_nodelay(true);
        let cut = self.cut.clone();
        let header_timeout = self.settings.header_timeout;
        let io = TimedWrites::new(stream, self.settings.client_timeout);
        let is_blocked = Arc::clone(&io.is_blocked);
        let state = place.clone();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let proxy = Arc::clone(&self);
            let guard = RequestGuard::of(&state);
            let longest = proxy.settings.client_timeout;
            let request = request.map(|body| ClientBody::new(body, state.clone(), longest));
            Box::pin(async move {
                let path = request.uri().path();
                if !names_this_machine(&request, &proxy.settings.hosts) {
                    let message = "this is no name of this machine; use localhost or its IP address, or have its \
                                   owner allow the name in agent.yaml under proxy.hosts";
                    let reply = Refusal::ForeignHost.reply(path, message);
                    return Ok::<_, Infallible>(guard.until_end_of(reply));
                }
                if !is_local_origin(request.headers(), &proxy.settings.origins) {
                    let message = "a web page of another site asks; the owner of this machine can allow its origin \
                                   in agent.yaml under proxy.origins";
                    return Ok(guard.until_end_of(Refusal::ForeignOrigin.reply(path, message)));
                }
                Ok(guard.until_end_of(proxy.handle(request).await))
            })
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(BUFFER_BYTES)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(io), service);
        let first_look = tokio::select! {
            biased;
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {
                if ended.is_ok() && place.left_a_body_unread() {
                    let stream = connection.into_parts().io.into_inner();
                    tokio::select! {
                        () = read_the_rest(stream) => {}
                        () = place.asked_to_close() => {}
                        () = cut.cancelled() => {}
                    }
                }
                return;
            }
            // Whose body is waited for is told that the agent stops.
            () = shutdown.cancelled() => LEAVE_WITHIN,
            () = place.asked_to_close() => Duration::ZERO,
        };
        Pin::new(&mut connection).graceful_shutdown();
        // Who has sent a part of a head or of a body, and is to make room, idles still.
        let idles_on = async {
            tokio::time::sleep(first_look).await;
            while place.is_busy() || is_blocked.load(Ordering::Relaxed) {
                tokio::time::sleep(LEAVE_WITHIN).await;
            }
        };
        tokio::select! {
            biased;
            _ = connection => {}
            () = cut.cancelled() => {}
            () = idles_on => {}
        }
    }
}

/// Takes what a client still sends, and keeps nothing of it: a connection that is closed with bytes unread may lose the
/// answer on its way to the client.
async fn read_the_rest(mut stream: TimedWrites) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = vec![0; BUFFER_BYTES];
    let reading = async {
        while let Ok(Ok(1..)) = tokio::time::timeout(UNREAD_PAUSE, stream.read(&mut rest)).await {}
    };
    // Late or early, the client has its answer.
    drop(tokio::time::timeout(UNREAD_WITHIN, reading).await);
}

/// Accepts clients on all addresses of one thread.
struct Acceptor {
    proxy: Arc<Proxy>,
    places: Arc<Semaphore>,
    idle: IdleConnections,
    shutdown: CancellationToken,
}

impl Acceptor {
    async fn accept(&self, listeners: Vec<TcpListener>) {
        let mut errors = AcceptErrors::of("a client");
        loop {
            let next = async {
                // Where there is no place, a client is accepted only if somebody can make room: another thread may have
                // a place for it.
                let place = tokio::select! {
                    biased;
                    place = Arc::clone(&self.places).acquire_owned() => Some(place.ok()?),
                    () = self.idle.until_one_idles() => None,
                };
                let accepted = accept_any(&listeners).await;
                let place = match place {
                    Some(place) => place,
                    None if accepted.is_ok() => self.make_room().await?,
                    None => return Some((accepted, None)),
                };
                Some((accepted, Some(place)))
            };
            let (accepted, place) = tokio::select! {
                next = next => match next { Some(next) => next, None => break },
                () = self.shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    errors.accepted();
                    let connection = Arc::clone(&self.proxy).connection(
                        stream,
                        self.idle.add(),
                        self.shutdown.clone(),
                    );
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    self.idle.close_oldest();
                    errors.refused(&error).await;
                }
            }
        }
    }

    /// A place, for which the connection that has idled longest is closed.
    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        // Somebody may have gone since it was looked for.
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        loop {
            let again_at = match self.idle.close_oldest() {
                Closed::One => Instant::now() + LEAVE_WITHIN * 2,
                Closed::NotBefore(at) => at,
                // Who idled works now; one of them ends or idles again.
                Closed::None => Instant::now() + ROOM_PAUSE,
            };
            tokio::select! {
                biased;
                place = Arc::clone(&self.places).acquire_owned() => return place.ok(),
                () = tokio::time::sleep_until(again_at) => {}
            }
        }
    }
}

/// The next client of any of these addresses.
async fn accept_any(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|cx| {
        let mut polled = listeners.iter().map(|listener| listener.poll_accept(cx));
        polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

/// A request that is served; its connection idles when its answer is whole.
struct RequestGuard(Connection);

impl RequestGuard {
    fn of(connection: &Connection) -> Self {
        connection.works();
        Self(connection.clone())
    }

    fn until_end_of(self, response: Response<Answer>) -> Response<Served> {
        self.0.answers();
        response.map(|answer| Served {
            answer,
            _guard: self,
        })
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.ends();
    }
}

/// An answer whose connection works until it is whole.
struct Served {
    answer: Answer,
    _guard: RequestGuard,
}

impl Body for Served {
    type Data = <Answer as Body>::Data;
    type Error = <Answer as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

/// A client's connection that fails where the client reads too slowly for too long.
struct TimedWrites {
    stream: TcpStream,
    budget: WaitBudget,
    /// Whether bytes wait for the client to read.
    is_blocked: Arc<AtomicBool>,
}

impl TimedWrites {
    fn new(stream: TcpStream, longest: Duration) -> Self {
        Self {
            stream,
            budget: WaitBudget::new(longest),
            is_blocked: Arc::default(),
        }
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        self.is_blocked
            .store(written.is_pending(), Ordering::Relaxed);
        match written {
            Poll::Ready(written) => {
                self.budget
                    .moved(written.as_ref().map_or(0, |count| *count));
                Poll::Ready(written)
            }
            Poll::Pending => {
                let spent = self.budget.poll_spent(cx);
                spent.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncRead for TimedWrites {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for TimedWrites {
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
