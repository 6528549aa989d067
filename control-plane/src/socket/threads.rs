//! Threads that serve WebSockets: each socket stays on one of them.
//!
//! A node says something now and then, and there are thousands. Threads that share their work wake each other for each
//! frame that comes, to look whether there is something to take over; where one frame is all there is, that costs more than the
//! frame. So each of these has sockets of its own and a scheduler of its own, and they wake nobody but who is to act.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle, Runtime};

/// Half as many as the program may run at once, and one at least: the others are for the database and for who asks.
///
/// They are there to the end of the program: connections to the database that were opened on one of them are everybody's.
static THREADS: LazyLock<Vec<Thread>> = LazyLock::new(|| {
    let count = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    (0..(count / 2).max(1)).filter_map(Thread::start).collect()
});

struct Thread {
    runtime: Runtime,
    /// How many sockets it serves.
    sockets: AtomicUsize,
}

impl Thread {
    fn start(number: usize) -> Option<Self> {
        let build = || {
            // A scheduler for many threads with one: other than that for a single thread, it is not woken again while it is
            // awake.
            Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name(format!("sockets-{number}"))
                .enable_all()
                .build()
        };
        // It panics where the system has no thread left.
        match std::panic::catch_unwind(build) {
            Ok(Ok(runtime)) => Some(Self {
                runtime,
                sockets: AtomicUsize::new(0),
            }),
            Ok(Err(error)) => {
                tracing::error!(%error, "a thread for sockets was not started; others serve them");
                None
            }
            Err(_) => {
                tracing::error!("the system has no thread for sockets; others serve them");
                None
            }
        }
    }
}

/// A place on one of the threads, for one socket, to its end.
pub(super) struct Place(Option<&'static Thread>);

impl Place {
    /// One where there are the fewest sockets.
    pub(super) fn take() -> Self {
        let sockets = |thread: &&Thread| thread.sockets.load(Ordering::Relaxed);
        let thread = THREADS.iter().min_by_key(sockets);
        if let Some(thread) = thread {
            thread.sockets.fetch_add(1, Ordering::Relaxed);
        }
        Self(thread)
    }

    /// Where the socket's tasks are to run, and its stream to be made; here where there are no such threads.
    pub(super) fn runtime(&self) -> Handle {
        self.0
            .map_or_else(Handle::current, |thread| thread.runtime.handle().clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(thread) = self.0 {
            thread.sockets.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Starts them, so that what the system refuses shows at the start; how many there are.
pub fn start() -> usize {
    THREADS.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_comes_to_a_thread_for_sockets_and_leaves_its_place() {
        assert!(start() > 0);
        let held = || {
            let sockets = THREADS.iter().map(|thread| &thread.sockets);
            sockets
                .map(|one| one.load(Ordering::Relaxed))
                .sum::<usize>()
        };
        let places: Vec<Place> = (0..THREADS.len() * 2).map(|_| Place::take()).collect();
        let least = THREADS
            .iter()
            .map(|one| one.sockets.load(Ordering::Relaxed))
            .min();
        assert!(least >= Some(2), "each has its part");
        for place in &places {
            let name = async { std::thread::current().name().map(str::to_owned) };
            let name = place.runtime().spawn(name).await.expect("a task");
            assert!(name.is_some_and(|name| name.starts_with("sockets-")));
        }
        let before = held();
        drop(places);
        assert_eq!(before - held(), THREADS.len() * 2);
    }
}
