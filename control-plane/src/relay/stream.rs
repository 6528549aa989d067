//! One stream in the hands of whoever opened it.

use super::Lost;
use super::answer::Answer;
use super::room::RoomShare;
use super::streams::Streams;
use bytes::Bytes;
use dgon_protocol::relay::{AnswerEnd, AnswerHead, CancelReason, Cancelled};
use std::sync::Arc;

/// What happens to a stream, in the order in which it comes. Nothing of it is believed yet.
#[derive(Debug, Clone)]
pub enum Event {
    /// The answer begins.
    Head(AnswerHead),
    /// Some of its body, never empty: what came since the last piece.
    Body(Bytes),
    /// The answer is over, with the bytes of the receipt as the node sent them.
    End(AnswerEnd),
    /// The node refused, or gave up; or it broke a rule of the relay, which is `protocol_error`.
    Cancelled(Cancelled),
    /// The session is gone. What else the node did is not known.
    Lost(Lost),
}

/// An open stream. Dropping it tells the node that nobody wants the answer any more.
#[derive(Debug)]
pub struct Stream {
    streams: Arc<Streams>,
    id: u32,
    answer: Arc<Answer>,
    is_over: bool,
    _window: RoomShare,
}

impl Stream {
    pub(super) fn new(
        streams: Arc<Streams>,
        id: u32,
        answer: Arc<Answer>,
        window: RoomShare,
    ) -> Self {
        Self {
            streams,
            id,
            answer,
            is_over: false,
            _window: window,
        }
    }

    /// What happens next; `None` after `End`, `Cancelled` or `Lost`. The node may send on as far as pieces were taken here. Who
    /// gives up waiting has lost nothing.
    pub async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let (event, credit) = self.answer.next().await;
        if let Some(credit) = credit {
            self.streams.give(self.id, credit);
        }
        self.is_over = matches!(event, Event::End(_) | Event::Cancelled(_) | Event::Lost(_));
        Some(event)
    }

    /// Gives the stream up for a reason, with a sentence for whoever looks at the node. Does nothing where it is over.
    pub fn cancel(mut self, reason: CancelReason, message: &str) {
        self.give_up(Cancelled::new(reason, message));
    }

    fn give_up(&mut self, why: Cancelled) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.streams.cancel(self.id, why);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.give_up(Cancelled::new(
            CancelReason::ClientGone,
            "nobody waits for the answer any more",
        ));
    }
}
