//! Which clients' connections idle, so that the one that has idled longest makes room for a client with work.
//!
//! A connection idles until its next request has come, while the client is slow to send the body, and after the answer
//! is whole. One that has idled for less than
//! [`FRESH`] is left alone: its request may be on its way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a connection must have idled before it is closed for another.
const FRESH: Duration = Duration::from_millis(100);

/// The connections of one thread. Clones share them.
#[derive(Clone, Default)]
pub(super) struct IdleConnections(Arc<Shared>);

#[derive(Default)]
struct Shared {
    idle: Mutex<HashMap<u64, Idle>>,
    next: AtomicU64,
    /// One more idles.
    one_idles: Notify,
}

struct Idle {
    since: Instant,
    close: CancellationToken,
}

/// What closing the oldest came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It is asked to close.
    One,
    /// None has idled long enough; this is when the first will have.
    NotBefore(Instant),
    /// None idles.
    None,
}

/// One connection. It idles when it is made, and is forgotten when the last handle on it is dropped.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    all: IdleConnections,
    id: u64,
    close: CancellationToken,
    is_busy: AtomicBool,
    /// Whether an answer goes out: a body that the client still sends does not matter then.
    is_answered: AtomicBool,
    /// Whether a request was answered whose body did not come whole: the connection ends with that answer.
    is_unread: AtomicBool,
}

impl IdleConnections {
    /// A new connection.
    pub(super) fn add(&self) -> Connection {
        let connection = Connection(Arc::new(Inner {
            all: self.clone(),
            id: self.0.next.fetch_add(1, Ordering::Relaxed),
            close: CancellationToken::new(),
            is_busy: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
            is_unread: AtomicBool::new(false),
        }));
        connection.idles(Instant::now());
        connection
    }

    /// Asks the connection that has idled longest to close.
    pub(super) fn close_oldest(&self) -> Closed {
        let mut idle = self.lock();
        let oldest = idle.iter().min_by_key(|(_, one)| one.since);
        let Some((id, since)) = oldest.map(|(id, one)| (*id, one.since)) else {
            return Closed::None;
        };
        let may_go = since + FRESH;
        if may_go > Instant::now() {
            return Closed::NotBefore(may_go);
        }
        if let Some(one) = idle.remove(&id) {
            one.close.cancel();
        }
        Closed::One
    }

    /// Waits until one idles.
    pub(super) async fn until_one_idles(&self) {
        loop {
            // Made before the look, so that nothing in between is missed.
            let next = self.0.one_idles.notified();
            if !self.lock().is_empty() {
                return;
            }
            next.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Idle>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// A request has come, or more of its body.
    pub(super) fn works(&self) {
        self.0.is_busy.store(true, Ordering::Relaxed);
        self.0.all.lock().remove(&self.0.id);
    }

    /// More of a body is waited for, as good as since `since`.
    pub(super) fn waits(&self, since: Instant) {
        if !self.0.is_answered.load(Ordering::Relaxed) {
            self.idles(since);
        }
    }

    /// An answer begins to go out.
    pub(super) fn answers(&self) {
        self.0.is_answered.store(true, Ordering::Relaxed);
        if !self.is_busy() {
            self.works();
        }
    }

    /// The answer is whole, or there will be none.
    pub(super) fn ends(&self) {
        self.0.is_answered.store(false, Ordering::Relaxed);
        self.idles(Instant::now());
    }

    fn idles(&self, since: Instant) {
        let inner = &self.0;
        inner.is_busy.store(false, Ordering::Relaxed);
        let idle = Idle {
            since,
            close: inner.close.clone(),
        };
        inner.all.lock().insert(inner.id, idle);
        inner.all.0.one_idles.notify_waiters();
    }

    /// A body was given up before it came whole.
    pub(super) fn leaves_a_body_unread(&self) {
        self.0.is_unread.store(true, Ordering::Relaxed);
    }

    /// Whether a body was given up before it came whole.
    pub(super) fn left_a_body_unread(&self) -> bool {
        self.0.is_unread.load(Ordering::Relaxed)
    }

    /// Whether a request is being served and the client is not waited for.
    pub(super) fn is_busy(&self) -> bool {
        self.0.is_busy.load(Ordering::Relaxed)
    }

    /// Waits until it is asked to close.
    pub(super) async fn asked_to_close(&self) {
        self.0.close.cancelled().await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_that_idles_longest_goes_and_who_works_stays() {
        let all = IdleConnections::default();
        assert_eq!(all.close_oldest(), Closed::None);
        let first = all.add();
        assert_eq!(
            all.close_oldest(),
            Closed::NotBefore(Instant::now() + FRESH)
        );
        tokio::time::advance(FRESH).await;
        let second = all.add();
        first.works();
        assert!(first.is_busy());
        tokio::time::advance(FRESH).await;
        first.ends();
        tokio::time::advance(FRESH).await;
        assert_eq!(all.close_oldest(), Closed::One);
        second.asked_to_close().await;
        first.works();
        drop(second);
        assert_eq!(all.close_oldest(), Closed::None);
        first.ends();
        drop(first);
        assert_eq!(
            all.close_oldest(),
            Closed::None,
            "who is gone does not idle"
        );
    }
    #[tokio::test(start_paused = true)]
    async fn who_is_slow_to_send_a_body_idles_until_it_is_answered() {
        let all = IdleConnections::default();
        let slow = all.add();
        slow.works();
        slow.waits(Instant::now());
        slow.answers();
        slow.waits(Instant::now());
        tokio::time::advance(FRESH).await;
        assert_eq!(all.close_oldest(), Closed::None, "an answer goes out");
        slow.ends();
        slow.works();
        slow.waits(Instant::now());
        tokio::time::advance(FRESH).await;
        assert_eq!(all.close_oldest(), Closed::One);
    }
}
