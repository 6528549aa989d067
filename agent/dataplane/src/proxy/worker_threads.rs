//! Serving on threads of the proxy's own, each with its own event loop and its own connections to runtimes.
//!
//! A client's connection stays on the thread that accepted it, and so does the runtime's connection behind it: a
//! token passes from socket to socket without a change of threads, and no other thread is woken to look for work.
//! Nothing else runs on these threads, so a busy link or a slow look at the hardware delays no token.

use super::Proxy;
use super::upstream::Pool;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Threads. One core serves the tokens of several cards; the second is for a request that takes the first for a
/// moment, such as one with a body of megabytes.
const LANES: usize = 2;
/// How long a thread that has served its last client waits for the receipts of those that were cut off.
const RECORDS_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// One thread's share.
struct Lane {
    runtime: Runtime,
    proxy: Arc<Proxy>,
    listeners: Vec<std::net::TcpListener>,
    shutdown: CancellationToken,
}

impl Proxy {
    /// Serves clients as [`Proxy::serve`] does, on threads of its own; on this one where the system gives none.
    pub async fn serve_on_threads(
        self: Arc<Self>,
        listeners: Vec<TcpListener>,
        shutdown: CancellationToken,
    ) {
        let mut lanes = Vec::new();
        for _ in 0..LANES {
            match self.start_lane(&listeners, &shutdown) {
                Ok(ended) => lanes.push(ended),
                Err(error) => tracing::warn!(%error, "the proxy has one thread less"),
            }
        }
        if lanes.is_empty() {
            return self.serve_all(listeners, shutdown).await;
        }
        // The threads have their own handles on the socket: it is closed when the last of them closes its own.
        drop(listeners);
        for ended in lanes {
            // An error is a thread that has ended, too.
            drop(ended.await);
        }
    }

    fn start_lane(
        self: &Arc<Self>,
        listeners: &[TcpListener],
        shutdown: &CancellationToken,
    ) -> io::Result<oneshot::Receiver<()>> {
        let lane = Lane {
            runtime: Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(1)
                .build()?,
            proxy: self.lane(),
            listeners: listeners
                .iter()
                .map(clone_socket)
                .collect::<Result<_, _>>()?,
            shutdown: shutdown.clone(),
        };
        let handle = lane.runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                lane.run();
                drop(end);
            })?;
        let loops = self.loops.lock();
        loops.unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(ended)
    }

    /// The same proxy with connections to runtimes of its own, for a thread of its own.
    fn lane(&self) -> Arc<Self> {
        let mut settings = self.settings.clone();
        settings.max_connections = (settings.max_connections / LANES).max(1);
        settings.max_idle_upstream /= LANES;
        Arc::new(Self {
            registry: self.registry.clone(),
            sink: Arc::clone(&self.sink),
            pool: Pool::keeping(settings.max_idle_upstream),
            settings,
            budget: self.budget.clone(),
            running: Arc::clone(&self.running),
            loops: Arc::clone(&self.loops),
        })
    }

    /// The event loops of its own threads, for the watchdog to ask.
    pub fn loops(&self) -> Vec<Handle> {
        let loops = self.loops.lock();
        loops.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lane {
    fn run(self) {
        let Self {
            runtime,
            proxy,
            listeners,
            shutdown,
        } = self;
        runtime.block_on(async {
            let listeners = listeners.into_iter().map(TcpListener::from_std);
            match listeners.collect() {
                Ok(listeners) => Arc::clone(&proxy).serve_all(listeners, shutdown).await,
                Err(error) => {
                    tracing::error!(%error, "the proxy cannot listen on one of its threads")
                }
            }
            // Receipts of answers that were cut off are still on their way, in tasks of this thread.
            let give_up = Instant::now() + RECORDS_WITHIN;
            while proxy.in_flight_local() > 0 && Instant::now() < give_up {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
    }
}

/// Another handle on the same socket.
#[cfg(unix)]
fn clone_socket(listener: &TcpListener) -> io::Result<std::net::TcpListener> {
    use std::os::fd::AsFd as _;
    Ok(listener.as_fd().try_clone_to_owned()?.into())
}

/// Another handle on the same socket.
#[cfg(windows)]
fn clone_socket(listener: &TcpListener) -> io::Result<std::net::TcpListener> {
    use std::os::windows::io::AsSocket as _;
    Ok(listener.as_socket().try_clone_to_owned()?.into())
}
