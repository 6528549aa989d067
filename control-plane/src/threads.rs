//! Threads for work that yields to everything else that the server does: what strangers, or one node, can ask for without
//! end. On Linux, where a thread has a priority of its own, these have a low one; a machine with time to spare does
//! their work as fast as ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::sync::oneshot;

/// How much lower than that of the other threads their priority is; see `nice(2)`.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Some such threads, and nothing else.
#[derive(Debug)]
pub(crate) struct YieldingThreads(Option<rayon::ThreadPool>);

impl YieldingThreads {
    /// So many, called by `name` and a number. Where the system has none, others do their work.
    pub(crate) fn start(name: &'static str, count: usize) -> Self {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(move |number| format!("{name}-{number}"))
            .start_handler(|_| lower_priority());
        match threads.build() {
            Ok(threads) => Self(Some(threads)),
            Err(error) => {
                tracing::error!(%error, name, "no threads of their own for this work; others do it");
                Self(None)
            }
        }
    }

    /// Does `work` on one of them; `None` where it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        let work = move || {
            // The pool would end the process. Who asked is told, and may be gone.
            let _ = done.send(catch_unwind(AssertUnwindSafe(work)).ok());
        };
        match &self.0 {
            Some(threads) => threads.spawn(work),
            None => drop(tokio::task::spawn_blocking(work)),
        }
        result.await.ok().flatten()
    }
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "this work has the priority of everything else");
    }
}

#[cfg(not(target_os = "linux"))]
const fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_the_threads_go_on() {
        let threads = YieldingThreads::start("test", 1);
        let panics = || -> u8 { panic!("on purpose") };
        assert_eq!(threads.run(panics).await, None);
        assert_eq!(threads.run(|| 1).await, Some(1));
    }
}
