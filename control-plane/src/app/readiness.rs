//! Whether this process can serve: the database takes a write and a read, the schema is whole, every task runs.
//!
//! A load balancer asks every second or so, and several may ask. Of each check at most one attempt is under way, its
//! result is shared by all who ask and good for
//! [`Settings::ready_fresh`](super::Settings), and nobody waits for it longer than
//! [`Settings::ready_within`](super::Settings): an attempt that hangs on a lock stays the only one. A check waits in
//! the same queue as every other writer, so it finds out what a receipt would, and takes nobody's place.

use super::App;
use dgon_control_plane_store::{StoreError, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// When an attempt is given up, so that a connection which never answers does not hold the place for ever. Longer
/// than a store waits for a connection and a lock together.
const GIVE_UP: Duration = Duration::from_secs(40);

/// The checks of the database.
#[derive(Debug, Default)]
pub struct Readiness {
    write: Check,
    read: Check,
    lost_lock: AtomicBool,
}

impl Readiness {
    /// Whether the lock that keeps a second server away is lost at the moment.
    pub fn set_lock_lost(&self, is_lost: bool) {
        self.lost_lock.store(is_lost, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Good,
    Failing,
    /// The database answers, but lacks a part of the schema.
    OldSchema,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    last: Option<(Instant, Found)>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How long a result is good.
    fresh: Duration,
    /// How long an attempt may take.
    within: Duration,
}

/// One check: at most one attempt at a time, a shared result.
#[derive(Debug, Clone)]
struct Check(watch::Sender<State>);

impl Default for Check {
    fn default() -> Self {
        Self(watch::channel(State::default()).0)
    }
}

impl Check {
    /// The result that is there, or that of an attempt; an attempt that began longer than
    /// `limits.within` ago has failed.
    async fn ask<F>(&self, limits: Limits, attempt: impl FnOnce() -> F) -> Found
    where
        F: Future<Output = Found> + Send + 'static,
    {
        let mut state = self.0.subscribe();
        let now = Instant::now();
        let mut found = None;
        let starts = self.0.send_if_modified(|state| {
            let fresh = state
                .last
                .filter(|(at, _)| now.duration_since(*at) < limits.fresh);
            found = fresh.map(|(_, found)| found);
            let starts = found.is_none() && state.since.is_none();
            if starts {
                state.since = Some(now);
            }
            starts
        });
        if let Some(found) = found {
            return found;
        }
        if starts {
            let place = Place(self.clone());
            let attempt = attempt();
            tokio::spawn(async move {
                let ended = tokio::time::timeout(GIVE_UP, attempt).await;
                place.end(ended.unwrap_or(Found::Failing));
            });
        }
        let since = self.0.borrow().since.unwrap_or(now);
        let ended = state.wait_for(|state| state.since.is_none());
        match tokio::time::timeout_at(since + limits.within, ended).await {
            Ok(Ok(state)) => state.last.map_or(Found::Failing, |(_, found)| found),
            Ok(Err(_)) | Err(_) => Found::Failing,
        }
    }
}

/// Held by the attempt under way: whatever ends it, another may begin.
struct Place(Check);

impl Place {
    fn end(self, found: Found) {
        self.0.0.send_modify(|state| {
            state.last = Some((Instant::now(), found));
            state.since = None;
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After `end` there is nothing to do; without it the attempt panicked.
        self.0.0.send_if_modified(|state| {
            let is_open = state.since.take().is_some();
            if is_open {
                state.last = Some((Instant::now(), Found::Failing));
            }
            is_open
        });
    }
}

fn found(what: &'static str, result: Result<bool, StoreError>) -> Found {
    match result {
        Ok(true) => Found::Good,
        Ok(false) => {
            tracing::warn!("the database lacks migrations that this program has applied");
            Found::OldSchema
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "not ready: the database cannot be {what}"
            );
            Found::Failing
        }
    }
}

impl App {
    /// What fails, by name: `database_read`, `database_write`, `database_lock`, `migrations`, `sums_behind`, `task:NAME`.
    /// Empty when all can serve.
    pub async fn failing(self: &Arc<Self>) -> Vec<String> {
        let limits = Limits {
            fresh: self.settings.ready_fresh,
            within: self.settings.ready_within,
        };
        let (write, read) = tokio::join!(
            self.readiness.write.ask(limits, || {
                let app = Arc::clone(self);
                async move {
                    let tried = app
                        .store
                        .try_write(System::of_the_server(), app.clock.now_ms())
                        .await;
                    found("written", tried.map(|()| true))
                }
            }),
            self.readiness.read.ask(limits, || {
                let app = Arc::clone(self);
                async move { found("read", app.store.is_migrated().await) }
            }),
        );
        let mut failing: Vec<String> = Vec::new();
        if read == Found::Failing {
            failing.push("database_read".to_owned());
        }
        if read == Found::OldSchema {
            failing.push("migrations".to_owned());
        }
        if write != Found::Good {
            failing.push("database_write".to_owned());
        }
        if self.readiness.lost_lock.load(Ordering::Relaxed) {
            failing.push("database_lock".to_owned());
        }
        if self.open_minutes.has_room(self.clock.now_ms()).is_err() {
            failing.push("sums_behind".to_owned());
        }
        let tasks = self.supervisor.ended();
        failing.extend(tasks.into_iter().map(|name| format!("task:{name}")));
        failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    const LIMITS: Limits = Limits {
        fresh: Duration::from_secs(1),
        within: Duration::from_secs(4),
    };

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_share_one_attempt_and_its_result() {
        let (check, attempts) = (Check::default(), Arc::new(AtomicUsize::new(0)));
        let ask = || {
            let attempts = Arc::clone(&attempts);
            check.ask(LIMITS, || async move {
                attempts.fetch_add(1, Ordering::SeqCst);
                Found::Good
            })
        };
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!(
            (first, second, ask().await),
            (Found::Good, Found::Good, Found::Good)
        );
        assert_eq!(attempts.load(Ordering::SeqCst), 1);
        tokio::time::advance(LIMITS.fresh).await;
        assert_eq!(ask().await, Found::Good);
        assert_eq!(attempts.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_is_failing_and_stays_the_only_one() {
        let (check, attempts) = (Check::default(), Arc::new(AtomicUsize::new(0)));
        let lock = Arc::new(Notify::new());
        let ask = || {
            let (attempts, lock) = (Arc::clone(&attempts), Arc::clone(&lock));
            check.ask(LIMITS, || async move {
                attempts.fetch_add(1, Ordering::SeqCst);
                lock.notified().await;
                Found::Good
            })
        };
        assert_eq!(ask().await, Found::Failing);
        assert_eq!(ask().await, Found::Failing);
        assert_eq!(
            attempts.load(Ordering::SeqCst),
            1,
            "no second attempt beside the first"
        );
        lock.notify_one();
        let ended = check
            .0
            .subscribe()
            .wait_for(|state| state.since.is_none())
            .await
            .is_ok();
        assert!(ended);
        assert_eq!(ask().await, Found::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_never_ends_or_panics_makes_room_for_the_next() {
        let check = Check::default();
        let never = check.ask(LIMITS, std::future::pending::<Found>);
        assert_eq!(never.await, Found::Failing);
        tokio::time::advance(GIVE_UP).await;
        let ended = check
            .0
            .subscribe()
            .wait_for(|state| state.since.is_none())
            .await
            .is_ok();
        assert!(ended);
        tokio::time::advance(LIMITS.fresh).await;
        let panics = check.ask(LIMITS, || async { panic!("on purpose") });
        assert_eq!(panics.await, Found::Failing);
        tokio::time::advance(LIMITS.fresh).await;
        assert_eq!(
            check.ask(LIMITS, || async { Found::Good }).await,
            Found::Good
        );
    }
}
