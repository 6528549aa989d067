//! A TCP proxy that does to connections what networks do: delay, throttle, swallow, cut.
//!
//! Weather holds for all connections and can change at any time. A cut closes what is open; a connection can also
//! be cut after an exact number of bytes, so that a test can try every moment.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Largest piece that is passed on at once.
const PIECE: usize = 4096;

/// What happens to every connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weather {
    /// Held back by this before each piece.
    pub delay: Duration,
    /// Passed on at most this fast.
    pub bytes_per_s: Option<u64>,
    /// Connections stay open and nothing passes.
    pub black_hole: bool,
    /// New connections are closed at once.
    pub refuse: bool,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    weather: watch::Sender<Weather>,
    cut: watch::Sender<CancellationToken>,
    /// Bytes from the client after which its connection is cut; 0 for never.
    cut_after: AtomicU64,
    accepted: AtomicU64,
}

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _ends: DropGuard,
}

impl FaultProxy {
    /// Starts a proxy before `target`, on a port of its own.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            weather: watch::Sender::new(Weather::default()),
            cut: watch::Sender::new(CancellationToken::new()),
            cut_after: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        });
        let end = CancellationToken::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), end.clone()));
        Ok(Self {
            address,
            shared,
            _ends: end.drop_guard(),
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather, also for open connections.
    pub fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// Cuts all open connections.
    pub fn cut(&self) {
        self.shared
            .cut
            .send_replace(CancellationToken::new())
            .cancel();
    }

    /// Cuts each new connection once its client has sent `bytes`; `None` stops that.
    pub fn cut_after(&self, bytes: Option<u64>) {
        self.shared
            .cut_after
            .store(bytes.unwrap_or(0), Ordering::SeqCst);
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, end: CancellationToken) {
    loop {
        let client = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => continue,
            },
            () = end.cancelled() => return,
        };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        if !shared.weather.borrow().refuse {
            tokio::spawn(connection(client, Arc::clone(&shared), end.clone()));
        }
    }
}

async fn connection(client: TcpStream, shared: Arc<Shared>, end: CancellationToken) {
    let cut = shared.cut.borrow().clone();
    let Ok(server) = TcpStream::connect(shared.target).await else {
        return;
    };
    let limit = Some(shared.cut_after.load(Ordering::SeqCst)).filter(|bytes| *bytes > 0);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let weather = || shared.weather.subscribe();
    tokio::select! {
        () = pump(from_client, to_server, weather(), limit) => {}
        () = pump(from_server, to_client, weather(), None) => {}
        () = cut.cancelled() => {}
        () = end.cancelled() => {}
    }
}

/// Passes bytes on until either side ends or `limit` is reached.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    mut limit: Option<u64>,
) {
    let mut piece = [0u8; PIECE];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else {
            return;
        };
        // Bytes that came before the hole opened wait like all others.
        if weather.wait_for(|now| !now.black_hole).await.is_err() {
            return;
        }
        let now = weather.borrow().clone();
        let throttle = now.bytes_per_s.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(length as f64 / rate.max(1) as f64)
        });
        tokio::time::sleep(now.delay + throttle).await;
        let passing = limit.map_or(length, |left| {
            length.min(usize::try_from(left).unwrap_or(length))
        });
        if to.write_all(&piece[..passing]).await.is_err() {
            return;
        }
        if let Some(left) = &mut limit {
            *left -= passing as u64;
            if *left == 0 {
                return;
            }
        }
    }
}
