//! The listening socket: accepts, limits, and stops gracefully.
//!
//! Headers must come within seconds, so that a slow caller cannot hold a connection for nothing, and each address may
//! have so many connections: one more is closed at once, so that it keeps no place from others. At a stop the
//! socket closes first; open requests may end; then what is left is cut.

use super::client_ip::IpBlock;
use super::connections::{Connections, Counted};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const READ_BUFFER_BYTES: usize = 32 * 1024;
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Limits of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once; more wait in the system's queue.
    pub max_connections: usize,
    /// Connections of one address (IPv4 address, IPv6 /64) open at once; one more is closed.
    pub max_connections_per_address: usize,
    /// Addresses whose connections are not counted: who is behind them is not known here, as with a reverse proxy, or
    /// has this machine anyway.
    pub exempt: Vec<IpBlock>,
    /// How long open requests may take at a stop.
    pub stop_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_connections_per_address: 1_024,
            exempt: IpBlock::loopback().to_vec(),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves until `stop` is cancelled and open requests have ended.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let connections = Connections::new(limits.max_connections_per_address, limits.exempt);
    // Each connection holds a sender; when the last one is dropped, all have ended.
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places, &connections) => accepted,
        };
        let Some((stream, peer, place)) = accepted else {
            break;
        };
        let (router, stop, open) = (router.clone(), stop.clone(), open.clone());
        tokio::spawn(async move {
            connection(stream, peer, router, stop).await;
            drop((open, place));
        });
    }
    drop((listener, open));
    if tokio::time::timeout(limits.stop_timeout, all_closed.recv())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not end in time and were cut");
    }
}

type Place = (tokio::sync::OwnedSemaphorePermit, Counted);

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    connections: &Connections,
) -> Option<(TcpStream, SocketAddr, Place)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match connections.open(peer.ip()) {
                Some(counted) => return Some((stream, peer, (place, counted))),
                // Closed by being dropped; the place is for the next.
                None => metrics::counter!("http_connections_over_limit_total").increment(1),
            },
            Err(error) => {
                // Out of file handles, or the caller left already: neither is a reason to end.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: CancellationToken) {
    // Small frames must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a socket refused TCP_NODELAY");
    }
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
