//! What came of one answer and was not read yet: a head, at most a window of body, and how it ended.

use super::Lost;
use super::stream::Event;
use bytes::Bytes;
use dgon_protocol::relay::{AnswerEnd, AnswerHead, Cancelled, CreditError, ReceiveWindow};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One answer, between the session that hears it and whoever reads it.
#[derive(Debug, Default)]
pub(super) struct Answer {
    came: Mutex<Came>,
    /// Rung when something came.
    more: Notify,
}

#[derive(Debug, Default)]
struct Came {
    head: Option<AnswerHead>,
    has_head: bool,
    /// In one piece, whatever pieces it came in: many small ones would cost many times what they hold.
    body: Vec<u8>,
    window: ReceiveWindow,
    end: Option<Event>,
}

/// How an answer ended.
#[derive(Debug)]
pub(super) enum Ended {
    Whole(AnswerEnd),
    Cancelled(Cancelled),
    Lost(Lost),
}

impl Answer {
    fn lock(&self) -> MutexGuard<'_, Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the head has come.
    pub(super) fn has_head(&self) -> bool {
        self.lock().has_head
    }

    /// The head came, which it does once.
    pub(super) fn head(&self, head: AnswerHead) {
        let mut came = self.lock();
        (came.head, came.has_head) = (Some(head), true);
        self.more.notify_one();
    }

    /// Some of the body came.
    pub(super) fn body(&self, bytes: &[u8]) -> Result<(), CreditError> {
        let mut came = self.lock();
        came.window.received(bytes.len())?;
        if !bytes.is_empty() {
            came.body.extend_from_slice(bytes);
            self.more.notify_one();
        }
        Ok(())
    }

    /// It is over. What came before is read first.
    pub(super) fn end(&self, ended: Ended) {
        let mut came = self.lock();
        came.end = Some(match ended {
            Ended::Whole(end) => Event::End(end),
            Ended::Cancelled(cancelled) => Event::Cancelled(cancelled),
            Ended::Lost(lost) => Event::Lost(lost),
        });
        self.more.notify_one();
    }

    /// The next thing, now or when it comes, with the credit that the node gets for it. Cancel-safe.
    pub(super) async fn next(&self) -> (Event, Option<u32>) {
        loop {
            if let Some(next) = self.take() {
                return next;
            }
            self.more.notified().await;
        }
    }

    fn take(&self) -> Option<(Event, Option<u32>)> {
        let mut came = self.lock();
        if let Some(head) = came.head.take() {
            return Some((Event::Head(head), None));
        }
        if !came.body.is_empty() {
            let body = Bytes::from(std::mem::take(&mut came.body));
            let credit = came.window.consumed(body.len());
            return Some((Event::Body(body), credit));
        }
        came.end.take().map(|end| (end, None))
    }
}
