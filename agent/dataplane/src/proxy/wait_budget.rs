//! How long a client may keep the proxy waiting, for its request body or for it to read an answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Who moves slower than this uses its budget up, bytes per second.
const SLOWEST: u64 = 1024;

/// What is left of the time that a client may let the proxy wait.
///
/// Bytes that move earn time back, so what moves is never given up, however long it takes. More than one pause cannot
/// be saved: a client that was fast at first and then moves a byte now and then is let go as well. Only the time that
/// the proxy waits for this client counts, never its own or a runtime's.
pub(super) struct WaitBudget {
    longest: Duration,
    left: Duration,
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl WaitBudget {
    /// A client that may pause for as long as `longest`.
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            longest,
            left: longest,
            waiting: None,
        }
    }

    /// The proxy does not wait any more; so many bytes moved.
    pub(super) fn moved(&mut self, bytes: usize) {
        if let Some(waiting) = self.waiting.take() {
            self.left = self.left.saturating_sub(waiting.since.elapsed());
        }
        let earned = Duration::from_millis((bytes as u64).saturating_mul(1000) / SLOWEST);
        self.left = self.left.saturating_add(earned).min(self.longest);
    }

    /// The proxy waits; ready once it has waited too long.
    pub(super) fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            since: Instant::now(),
            timer: Box::pin(tokio::time::sleep(self.left)),
        });
        waiting.timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::future::poll_fn;
    use tokio::time::advance;

    const LONGEST: Duration = Duration::from_secs(10);

    fn is_spent(budget: &mut WaitBudget) -> bool {
        poll_fn(|cx| budget.poll_spent(cx)).now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_is_never_given_up() {
        let mut budget = WaitBudget::new(LONGEST);
        for _ in 0..100 {
            assert!(!is_spent(&mut budget));
            advance(Duration::from_secs(9)).await;
            budget.moved(9 * 1024);
        }
        assert!(!is_spent(&mut budget));
        advance(LONGEST).await;
        assert!(is_spent(&mut budget));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_fast_saves_one_pause_and_no_more() {
        let mut budget = WaitBudget::new(LONGEST);
        budget.moved(1 << 30);
        let mut seconds = 0;
        while !is_spent(&mut budget) {
            advance(Duration::from_secs(1)).await;
            seconds += 1;
            if !is_spent(&mut budget) {
                budget.moved(1);
            }
        }
        assert_eq!(seconds, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_nobody_waits_for_the_client_is_free() {
        let mut budget = WaitBudget::new(LONGEST);
        assert!(!is_spent(&mut budget));
        budget.moved(0);
        advance(LONGEST * 10).await;
        assert!(!is_spent(&mut budget));
    }
}
