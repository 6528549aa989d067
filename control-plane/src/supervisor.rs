//! Notices when a task ends that nobody asked to end.
//!
//! A server whose committer or lifecycle task is gone looks alive and does no work. So every background task runs
//! under [`Supervisor::watch`]: one that returns before its stop was asked for, or that panics at any time, is
//! logged, named by `/readyz`, and makes `serve` end with an error, so that a service manager starts it anew. Nothing
//! is restarted in the process: after a panic nobody knows what state the task left behind.

use futures_util::FutureExt as _;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Remembers which tasks ended that should run.
#[derive(Debug)]
pub struct Supervisor {
    ended: watch::Sender<Vec<&'static str>>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            ended: watch::channel(Vec::new()).0,
        }
    }
}

impl Supervisor {
    /// Runs `task` to its end. An end before `stop` was cancelled, and any panic, is remembered under `name`.
    pub async fn watch(
        &self,
        name: &'static str,
        stop: &CancellationToken,
        task: impl Future<Output = ()>,
    ) {
        // Whatever the panic left half done belongs to the task, and the process ends soon.
        let how = match AssertUnwindSafe(task).catch_unwind().await {
            Ok(()) if stop.is_cancelled() => return,
            Ok(()) => "it returned although nothing asked it to stop".to_owned(),
            Err(panic) => format!("it panicked: {}", text(panic.as_ref())),
        };
        tracing::error!(
            task = name,
            how,
            "a task of the server ended unexpectedly; the server stops, to be started anew"
        );
        self.ended.send_modify(|ended| {
            if !ended.contains(&name) {
                ended.push(name);
            }
        });
    }

    /// The tasks that ended unexpectedly; empty while all is well.
    pub fn ended(&self) -> Vec<&'static str> {
        self.ended.borrow().clone()
    }

    /// Waits until a task has ended unexpectedly.
    pub async fn any_ended(&self) {
        let mut ended = self.ended.subscribe();
        // The sender is in `self`, so the channel stays open.
        let _ = ended.wait_for(|ended| !ended.is_empty()).await;
    }
}

/// What a panic said, where it said it in words.
fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_returns_unasked_is_named_once() {
        let (supervisor, stop) = (Supervisor::default(), CancellationToken::new());
        supervisor.watch("heartbeats", &stop, async {}).await;
        supervisor.watch("heartbeats", &stop, async {}).await;
        supervisor.any_ended().await;
        assert_eq!(supervisor.ended(), ["heartbeats"]);
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_is_none() {
        let (supervisor, stop) = (Supervisor::default(), CancellationToken::new());
        let task = async { stop.cancelled().await };
        tokio::join!(supervisor.watch("windows", &stop, task), async {
            stop.cancel();
        });
        assert!(supervisor.ended().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_an_unexpected_end_even_in_a_stop() {
        let (supervisor, stop) = (Supervisor::default(), CancellationToken::new());
        stop.cancel();
        let task = async { panic!("on purpose") };
        supervisor.watch("committer", &stop, task).await;
        assert_eq!(supervisor.ended(), ["committer"]);
    }
}
