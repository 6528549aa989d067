//! Figures of the network that are computed for all who ask, at most once a second.

use super::QueryError;
use crate::app::Clock;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// How old an answer may be, ms.
const FRESH_MS: i64 = 1_000;

/// Something that is computed for all who ask, by nobody of them: whoever leaves takes nothing along, and who comes while
/// it is computed waits for it. A failure counts for as long as an answer: thousands who wait do not all try again.
#[derive(Debug)]
pub(super) struct Shared<T>(Arc<watch::Sender<Known<T>>>);

#[derive(Debug)]
struct Known<T> {
    is_under_way: bool,
    /// When it was last computed, ms of monotonic time, and what it was; `None` where it failed.
    last: Option<(i64, Option<Arc<T>>)>,
    /// When that last gave an answer, and which.
    answered: Option<(i64, Arc<T>)>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        let nothing = Known {
            is_under_way: false,
            last: None,
            answered: None,
        };
        Self(Arc::new(watch::Sender::new(nothing)))
    }
}

/// The computation that is under way; its end is told whatever ends it.
struct UnderWay<T> {
    known: Arc<watch::Sender<Known<T>>>,
    clock: Clock,
    answer: Option<Arc<T>>,
}

impl<T> UnderWay<T> {
    fn ended_with(mut self, answer: T) {
        self.answer = Some(Arc::new(answer));
    }
}

impl<T> Drop for UnderWay<T> {
    fn drop(&mut self) {
        let (at_ms, answer) = (self.clock.mono_ms(), self.answer.take());
        self.known.send_modify(|known| {
            if let Some(answer) = &answer {
                known.answered = Some((at_ms, Arc::clone(answer)));
            }
            (known.is_under_way, known.last) = (false, Some((at_ms, answer)));
        });
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    /// The answer of the last second; where there is none, the one that `compute` gives.
    ///
    /// # Errors
    /// [`QueryError::NotNow`] where it failed.
    pub(super) async fn get<F>(
        &self,
        (clock, runtime): (&Clock, &Handle),
        compute: impl FnOnce() -> F,
    ) -> Result<Arc<T>, QueryError>
    where
        F: Future<Output = Result<T, QueryError>> + Send + 'static,
    {
        let now_ms = clock.mono_ms();
        let begins = self.0.send_if_modified(|known| {
            let last = known.last.as_ref();
            let is_fresh = last.is_some_and(|(at_ms, _)| now_ms - at_ms < FRESH_MS);
            let begins = !known.is_under_way && !is_fresh;
            known.is_under_way |= begins;
            begins
        });
        if begins {
            let under_way = UnderWay {
                known: Arc::clone(&self.0),
                clock: clock.clone(),
                answer: None,
            };
            // The database ends it, if it takes too long.
            let compute = compute();
            runtime.spawn(async move {
                match compute.await {
                    Ok(answer) => under_way.ended_with(answer),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the network's figures could not be computed; they are tried again in a second"
                    ),
                }
            });
        }
        let mut known = self.0.subscribe();
        let known = known.wait_for(|known| !known.is_under_way).await;
        let known = known.map_err(|_| QueryError::NotNow)?;
        let answer = known.last.as_ref().and_then(|(_, answer)| answer.clone());
        answer.ok_or(QueryError::NotNow)
    }

    /// The last answer, where it is younger than this, ms.
    pub(super) fn of_late(&self, clock: &Clock, younger_ms: i64) -> Option<Arc<T>> {
        let known = self.0.borrow();
        let (at_ms, answer) = known.answered.as_ref()?;
        (clock.mono_ms() - at_ms < younger_ms).then(|| Arc::clone(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_failure_is_remembered_like_an_answer() {
        let (shared, clock) = (Shared::<u32>::default(), Clock::manual(1_000_000));
        let asked = Arc::new(AtomicUsize::new(0));
        let ask = async |answer: Option<u32>| {
            let asked = Arc::clone(&asked);
            let compute = || async move {
                asked.fetch_add(1, Ordering::Relaxed);
                answer.ok_or(QueryError::Cursor)
            };
            shared.get((&clock, &Handle::current()), compute).await
        };
        for _ in 0..100 {
            assert!(matches!(ask(None).await, Err(QueryError::NotNow)));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        clock.advance(1_000);
        assert!(matches!(ask(Some(2)).await.as_deref(), Ok(2)));
        assert!(matches!(ask(None).await.as_deref(), Ok(2)));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        // Who cannot wait has the last answer, also where another one failed since.
        clock.advance(1_000);
        assert!(ask(None).await.is_err());
        assert_eq!(shared.of_late(&clock, 60_000).as_deref(), Some(&2));
    }

    #[tokio::test]
    async fn whoever_leaves_takes_nothing_along() {
        let (shared, clock) = (Shared::<u32>::default(), Clock::manual(1_000_000));
        let (done, wait) = tokio::sync::oneshot::channel();
        let first = || async move { wait.await.map_err(|_| QueryError::Cursor) };
        assert!(
            shared
                .get((&clock, &Handle::current()), first)
                .now_or_never()
                .is_none()
        );
        for _ in 0..100 {
            let later = || async { Ok(0) };
            assert!(
                shared
                    .get((&clock, &Handle::current()), later)
                    .now_or_never()
                    .is_none()
            );
        }
        assert!(shared.of_late(&clock, 60_000).is_none());
        done.send(7).expect("is computed, though nobody waits");
        let later = || async { Ok(0) };
        assert!(matches!(
            shared
                .get((&clock, &Handle::current()), later)
                .await
                .as_deref(),
            Ok(7)
        ));
        clock.advance(59_999);
        let slow = || std::future::pending();
        assert!(
            shared
                .get((&clock, &Handle::current()), slow)
                .now_or_never()
                .is_none()
        );
        assert_eq!(shared.of_late(&clock, 60_000).as_deref(), Some(&7));
        clock.advance(1);
        assert!(shared.of_late(&clock, 60_000).is_none());
    }

    #[tokio::test]
    async fn one_that_panics_is_a_failure() {
        let (shared, clock) = (Shared::<u32>::default(), Clock::manual(1_000_000));
        let panics = || async { panic!("on purpose") };
        let answer = shared.get((&clock, &Handle::current()), panics).await;
        assert!(matches!(answer, Err(QueryError::NotNow)), "{answer:?}");
    }
}
