//! What one task leaves for another, where there are thousands of pairs of them and most have nothing to say: memory is
//! taken when something waits, and given back when it was taken out.
//!
//! One task waits at each of these at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The latest of something; what was there before is forgotten.
#[derive(Debug)]
pub struct Latest<T> {
    value: Mutex<Option<T>>,
    changed: Notify,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self {
            value: Mutex::new(None),
            changed: Notify::new(),
        }
    }
}

impl<T> Latest<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves it.
    pub fn set(&self, value: T) {
        *self.lock() = Some(value);
        self.changed.notify_one();
    }

    /// Takes it, now or when it comes. Cancel-safe.
    pub async fn take(&self) -> T {
        loop {
            if let Some(value) = self.lock().take() {
                return value;
            }
            self.changed.notified().await;
        }
    }
}

/// So many at most, in the order in which they came.
#[derive(Debug)]
pub struct Queue<T> {
    most: usize,
    waiting: Mutex<VecDeque<T>>,
    more: Notify,
    room: Notify,
}

impl<T> Queue<T> {
    /// One with room for so many.
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            waiting: Mutex::new(VecDeque::new()),
            more: Notify::const_new(),
            room: Notify::const_new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves one; false where there is no room.
    pub fn try_push(&self, one: T) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.len() < self.most;
        if has_room {
            waiting.push_back(one);
            self.more.notify_one();
        }
        has_room
    }

    /// Leaves one as soon as there is room. One task waits for that at a time; who gives up waiting has left nothing.
    pub async fn push(&self, one: T) {
        loop {
            {
                let mut waiting = self.lock();
                if waiting.len() < self.most {
                    waiting.push_back(one);
                    self.more.notify_one();
                    return;
                }
            }
            self.room.notified().await;
        }
    }

    /// Takes the first, now or when it comes. Cancel-safe.
    pub async fn pop(&self) -> T {
        loop {
            if let Some(one) = self.try_pop() {
                return one;
            }
            self.more.notified().await;
        }
    }

    fn try_pop(&self) -> Option<T> {
        let mut waiting = self.lock();
        let one = waiting.pop_front()?;
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        self.room.notify_one();
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn the_latest_is_taken_once_and_who_waits_is_woken() {
        let latest = Latest::default();
        latest.set(1);
        latest.set(2);
        assert_eq!(latest.take().await, 2);
        let mut waits = Box::pin(latest.take());
        assert!((&mut waits).now_or_never().is_none());
        latest.set(3);
        assert_eq!(waits.await, 3);
    }

    #[tokio::test]
    async fn what_was_left_is_not_lost_by_who_gave_up_waiting() {
        let queue = Queue::new(2);
        let mut gives_up = Box::pin(queue.pop());
        assert!((&mut gives_up).now_or_never().is_none());
        assert!(queue.try_push(1));
        drop(gives_up);
        assert_eq!(queue.pop().await, 1);
    }

    #[tokio::test]
    async fn a_queue_has_an_order_and_an_end_and_holds_nothing_when_it_is_empty() {
        let queue = Queue::new(2);
        queue.push(1).await;
        assert!(queue.try_push(2));
        assert!(!queue.try_push(3));
        let mut gives_up = Box::pin(queue.push(4));
        assert!((&mut gives_up).now_or_never().is_none());
        drop(gives_up);
        let mut waits = Box::pin(queue.push(5));
        assert!((&mut waits).now_or_never().is_none());
        assert_eq!(queue.pop().await, 1);
        waits.await;
        assert_eq!((queue.pop().await, queue.pop().await), (2, 5));
        assert_eq!(queue.lock().capacity(), 0);
    }
}
