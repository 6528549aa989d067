//! Threads that verify receipts where more than a few come at once, and nothing else.
//!
//! Verification is most of what receipts cost, and one node can ask for as much of it as there is. So it yields to
//! everything else that the server does: on Linux, where a thread has a priority of its own, these threads have a low one.
//! A machine with time to spare verifies as fast as ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use tokio::sync::oneshot;

/// How much lower than that of the other threads their priority is; see `nice(2)`.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// As many as verify at once: all that the machine has but one, which is for those who wait for nothing but an answer.
pub(super) fn count() -> usize {
    let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    (cpus - 1).max(1)
}

static THREADS: LazyLock<Option<rayon::ThreadPool>> = LazyLock::new(|| {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(count())
        .thread_name(|number| format!("verify-{number}"))
        .start_handler(|_| lower_priority());
    match threads.build() {
        Ok(threads) => Some(threads),
        Err(error) => {
            tracing::error!(%error, "no threads of their own for verifying; others do it");
            None
        }
    }
});

#[cfg(target_os = "linux")]
fn lower_priority() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "verifying has the priority of everything else");
    }
}

#[cfg(not(target_os = "linux"))]
const fn lower_priority() {}

/// Does `work` on one of them; `None` where it panicked.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let work = move || {
        // The pool would end the process. Who asked is told, and may be gone.
        let _ = done.send(catch_unwind(AssertUnwindSafe(work)).ok());
    };
    match &*THREADS {
        Some(threads) => threads.spawn(work),
        None => drop(tokio::task::spawn_blocking(work)),
    }
    result.await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_the_threads_go_on() {
        let panics = || -> u8 { panic!("on purpose") };
        assert_eq!(run(panics).await, None);
        assert_eq!(run(|| 1).await, Some(1));
    }
}
