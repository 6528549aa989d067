//! One stream as its session knows it: what is still to be sent of its request, and what the node's frames may do to it.

use super::answer::{Answer, Ended};
use super::room::RoomShare;
use bytes::Bytes;
use dgon_protocol::relay::{
    AnswerEnd, AnswerHead, Cancelled, Kind, RelayError, RelayFrame, SendCredit,
};
use std::sync::Arc;

/// Bytes of a request in one frame: whatever else the session has to say waits for one such frame at most.
pub(super) const BODY_FRAME: usize = 16 * 1024;

/// A stream that is not over.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) answer: Arc<Answer>,
    /// Payload of `open`, until it is sent.
    pub(super) head: Option<Vec<u8>>,
    /// What is left of the body.
    body: Bytes,
    /// Room of the body, until it is sent.
    room: Option<RoomShare>,
    credit: SendCredit,
    /// Whether the request was sent to its end.
    pub(super) is_whole: bool,
    /// Whether it waits for its turn to send some of its body.
    pub(super) has_turn: bool,
    /// Credit for the node that is not told yet.
    pub(super) owed: u32,
}

/// What a frame of the node did to a stream.
#[derive(Debug)]
pub(super) enum Step {
    /// It goes on.
    On,
    /// It is over.
    Over(Ended),
    /// The node broke this rule, and the stream with it.
    Broken(String),
}

impl Outgoing {
    pub(super) fn new(head: Vec<u8>, body: Bytes, room: RoomShare) -> Self {
        metrics::gauge!("relay_streams").increment(1.0);
        Self {
            answer: Arc::default(),
            head: Some(head),
            body,
            room: Some(room),
            credit: SendCredit::default(),
            is_whole: false,
            has_turn: false,
            owed: 0,
        }
    }

    /// Whether something of the request could be sent now.
    pub(super) fn can_send(&self) -> bool {
        let is_open = self.head.is_none() && !self.is_whole;
        is_open && (self.body.is_empty() || self.credit.available() > 0)
    }

    /// The next frame of the request, where it [`can be sent`](Self::can_send): some of its body, or its end.
    pub(super) fn send(&mut self, stream_id: u32) -> Result<Vec<u8>, RelayError> {
        let kind = if self.body.is_empty() {
            (self.is_whole, self.room) = (true, None);
            Kind::End
        } else {
            Kind::Body
        };
        let bytes = self.credit.take(self.body.len().min(BODY_FRAME));
        let payload = self.body.split_to(bytes);
        RelayFrame {
            kind,
            stream_id,
            payload: &payload,
        }
        .encode()
    }

    /// Takes a frame of the node for this stream.
    pub(super) fn receive(&mut self, frame: &RelayFrame<'_>) -> Step {
        match frame.kind {
            Kind::Window => match self.credit.add(frame.credit().unwrap_or_default()) {
                Ok(()) => Step::On,
                Err(error) => Step::Broken(error.to_string()),
            },
            Kind::Cancel => Step::Over(Ended::Cancelled(Cancelled::decode(frame.payload))),
            // It has the order's hash of the body to look at before a runtime hears of anything.
            Kind::Headers | Kind::Body | Kind::End if !self.is_whole => {
                Step::Broken("an answer begins after the whole request".to_owned())
            }
            Kind::Headers => self.head(frame.payload),
            Kind::Body if !self.answer.has_head() => {
                Step::Broken("the head of an answer comes before its body".to_owned())
            }
            Kind::Body => match self.answer.body(frame.payload) {
                Ok(()) => Step::On,
                Err(error) => Step::Broken(error.to_string()),
            },
            Kind::End => self.end(frame.payload),
            // The session closes before it comes to this.
            Kind::Open => Step::Broken("only the control plane opens streams".to_owned()),
        }
    }

    fn head(&self, payload: &[u8]) -> Step {
        if self.answer.has_head() {
            return Step::Broken("an answer has one head".to_owned());
        }
        match AnswerHead::decode(payload) {
            Ok(head) => self.answer.head(head),
            Err(error) => return Step::Broken(error.to_string()),
        }
        Step::On
    }

    fn end(&self, payload: &[u8]) -> Step {
        match AnswerEnd::decode(payload) {
            // What failed before it began has no head.
            Ok(end) if end.failure.is_none() && !self.answer.has_head() => {
                Step::Broken("an answer that did not fail has a head".to_owned())
            }
            Ok(end) => Step::Over(Ended::Whole(end)),
            Err(error) => Step::Broken(error.to_string()),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        metrics::gauge!("relay_streams").decrement(1.0);
    }
}
