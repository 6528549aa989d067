//! Threads that verify receipts where more than a few come at once, and nothing else.
//!
//! Verification is most of what receipts cost, and one node can ask for as much of it as there is. So it yields to
//! everything else that the server does.

use crate::threads::YieldingThreads;
use std::sync::LazyLock;

/// As many as verify at once: all that the machine has but one, which is for those who wait for nothing but an answer.
pub(super) fn count() -> usize {
    let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    (cpus - 1).max(1)
}

static THREADS: LazyLock<YieldingThreads> =
    LazyLock::new(|| YieldingThreads::start("verify", count()));

/// Does `work` on one of them; `None` where it panicked.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    THREADS.run(work).await
}
