//! Serving on threads of the proxy's own, each with its own event loop and its own connections to runtimes.
//!
//! A client's connection stays on the thread that accepted it, and so does the runtime's connection behind it: a
//! token passes from socket to socket without a change of threads, and no other thread is woken to look for work.
//! Nothing else runs on these threads, so a busy link or a slow look at the hardware delays no token.

use super::Proxy;
use super::upstream::Pool;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Threads. One core serves the tokens of several cards; the second is for a request that takes the first for a
/// moment, such as one with a body of megabytes.
const THREADS: usize = 2;

/// The threads that serve, for work that no client of a socket brings.
#[derive(Default)]
pub(super) struct Workers {
    list: Mutex<Vec<(Handle, Weak<Proxy>)>>,
    next: AtomicUsize,
}

/// One thread's share.
struct Worker {
    runtime: Runtime,
    proxy: Arc<Proxy>,
    listeners: Vec<std::net::TcpListener>,
    shutdown: CancellationToken,
}

impl Workers {
    fn list(&self) -> MutexGuard<'_, Vec<(Handle, Weak<Proxy>)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread that serves, one after the other.
    fn pick(&self) -> Option<(Handle, Arc<Proxy>)> {
        let list = self.list();
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        let (handle, proxy) = list.get(at % list.len().max(1))?;
        Some((handle.clone(), proxy.upgrade()?))
    }
}

impl Proxy {
    /// Serves clients as [`Proxy::serve`] does, on threads of its own; on this one where the system gives none.
    pub async fn serve_on_threads(
        self: Arc<Self>,
        listeners: Vec<TcpListener>,
        shutdown: CancellationToken,
    ) {
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            match self.start_worker(&listeners, &shutdown) {
                Ok(ended) => threads.push(ended),
                Err(error) => tracing::warn!(%error, "the proxy has one thread less"),
            }
        }
        if threads.is_empty() {
            return self.serve_all(listeners, shutdown).await;
        }
        // The threads have their own handles on the socket: it is closed when the last of them closes its own.
        drop(listeners);
        for ended in threads {
            // An error is a thread that has ended, too.
            drop(ended.await);
        }
    }

    fn start_worker(
        self: &Arc<Self>,
        listeners: &[TcpListener],
        shutdown: &CancellationToken,
    ) -> io::Result<oneshot::Receiver<()>> {
        let worker = Worker {
            runtime: Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(1)
                .build()?,
            proxy: self.for_one_thread(),
            listeners: listeners
                .iter()
                .map(clone_socket)
                .collect::<Result<_, _>>()?,
            shutdown: shutdown.clone(),
        };
        let entry = (
            worker.runtime.handle().clone(),
            Arc::downgrade(&worker.proxy),
        );
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || {
                worker.run();
                drop(end);
            })?;
        self.workers.list().push(entry);
        Ok(ended)
    }

    /// The same proxy with connections to runtimes of its own, for a thread of its own.
    fn for_one_thread(&self) -> Arc<Self> {
        let mut settings = self.settings.clone();
        settings.max_connections = (settings.max_connections / THREADS).max(1);
        settings.max_idle_upstream /= THREADS;
        Arc::new(Self {
            registry: self.registry.clone(),
            sink: Arc::clone(&self.sink),
            admission: self.admission.clone(),
            pool: Pool::keeping(settings.max_idle_upstream),
            settings,
            usage_refusals: Arc::clone(&self.usage_refusals),
            workers: Arc::clone(&self.workers),
            cut: self.cut.clone(),
        })
    }

    /// Runs work of the network where clients' requests are served, so that nothing else on the machine's side
    /// delays it: on one of the threads, or here where there are none. Dropping the future leaves the work running.
    pub(super) async fn on_a_worker<T, F>(
        self: &Arc<Self>,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        match self.workers.pick() {
            Some((thread, proxy)) => thread.spawn(work(proxy)).await.ok(),
            None => tokio::spawn(work(Arc::clone(self))).await.ok(),
        }
    }

    /// The event loops of its own threads, for the watchdog to ask.
    pub fn loops(&self) -> Vec<Handle> {
        let list = self.workers.list();
        list.iter().map(|(handle, _)| handle.clone()).collect()
    }
}

impl Worker {
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
                Ok(listeners) => proxy.serve_all(listeners, shutdown).await,
                Err(error) => {
                    tracing::error!(%error, "the proxy cannot listen on one of its threads")
                }
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
