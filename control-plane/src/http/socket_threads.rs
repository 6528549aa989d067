//! Threads that serve WebSockets: each socket stays on one of them.
//!
//! A node says something now and then, and there are thousands. Threads that share their work wake each other for each
//! frame that comes, to look whether there is something to take over; where one frame is all there is, that costs more than the
//! frame. So each of these has sockets of its own and a scheduler of its own, and they wake nobody but who is to act.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle, Runtime};

/// Half as many as the machine can run at once: the others are for the database and for who asks.
///
/// They are there from the first socket to the end of the program: connections to the database that were opened on one of
/// them are everybody's.
static THREADS: LazyLock<Vec<Runtime>> = LazyLock::new(|| {
    let count = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    (0..(count / 2).max(1)).filter_map(start).collect()
});

/// The one that the next socket comes to.
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn start(number: usize) -> Option<Runtime> {
    // A scheduler for many threads with one: other than that for a single thread, it is not woken again while it is awake.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(format!("sockets-{number}"))
        .enable_all()
        .build();
    runtime
        .inspect_err(|error| tracing::error!(%error, "a thread for sockets was not started; others serve them"))
        .ok()
}

/// A thread for one socket: its stream has to be made there.
pub(super) fn next() -> Handle {
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    match THREADS.get(next % THREADS.len().max(1)) {
        Some(thread) => thread.handle().clone(),
        None => Handle::current(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sockets_are_spread_over_all_threads() {
        let mut names = Vec::new();
        for _ in 0..THREADS.len() {
            let name = next().spawn(async { std::thread::current().name().map(str::to_owned) });
            names.extend(name.await.expect("a task"));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), THREADS.len(), "{names:?}");
        assert!(names.iter().all(|name| name.starts_with("sockets-")));
    }
}
