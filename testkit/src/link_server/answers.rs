//! What an agent sent on one stream, put together from its frames.

use super::Seen;
use dgon_protocol::relay::{AnswerEnd, AnswerHead, Cancelled, Kind, RelayFrame};

/// One stream of the latest session, as far as it came.
#[derive(Debug, Clone, Default)]
pub struct StreamAnswer {
    /// The head.
    pub head: Option<AnswerHead>,
    /// The body so far.
    pub body: Vec<u8>,
    /// Sizes of its pieces, bytes.
    pub pieces: Vec<usize>,
    /// The last frame of an answer.
    pub end: Option<AnswerEnd>,
    /// Why the agent gave the stream up.
    pub cancelled: Option<Cancelled>,
    /// Credit that it gave for the request's body, bytes.
    pub credit: u64,
    /// What no agent may send.
    pub faults: Vec<String>,
}

impl StreamAnswer {
    /// Whether the agent has ended the stream.
    pub fn is_over(&self) -> bool {
        self.end.is_some() || self.cancelled.is_some()
    }

    /// Entry bytes of the receipt in the last frame.
    pub fn receipt(&self) -> Option<&[u8]> {
        let receipt = self.end.as_ref()?.receipt.as_ref()?;
        Some(receipt.get().as_bytes())
    }

    fn take(&mut self, frame: &RelayFrame<'_>) {
        if self.is_over() {
            self.faults.push(format!("{:?} after the end", frame.kind));
        }
        match frame.kind {
            Kind::Headers if self.head.is_none() => match AnswerHead::decode(frame.payload) {
                Ok(head) => self.head = Some(head),
                Err(error) => self.faults.push(error.to_string()),
            },
            Kind::Body if self.head.is_some() => {
                self.body.extend_from_slice(frame.payload);
                self.pieces.push(frame.payload.len());
            }
            Kind::End => match AnswerEnd::decode(frame.payload) {
                Ok(end) => self.end = Some(end),
                Err(error) => self.faults.push(error.to_string()),
            },
            Kind::Cancel => self.cancelled = Some(Cancelled::decode(frame.payload)),
            Kind::Window => self.credit += u64::from(frame.credit().unwrap_or_default()),
            Kind::Headers | Kind::Body | Kind::Open => {
                self.faults.push(format!("{:?} out of place", frame.kind));
            }
        }
    }
}

impl Seen {
    /// What came on stream `id` since `session_start`, a count of binary frames.
    pub fn answer_since(&self, session_start: usize, id: u32) -> StreamAnswer {
        let mut answer = StreamAnswer::default();
        for bytes in self.relayed.iter().skip(session_start) {
            match RelayFrame::decode(bytes) {
                Ok(frame) if frame.stream_id == id => answer.take(&frame),
                Ok(_) => {}
                Err(error) => answer.faults.push(error.to_string()),
            }
        }
        answer
    }

    /// What came on stream `id` of the first session that had streams.
    pub fn answer(&self, id: u32) -> StreamAnswer {
        self.answer_since(0, id)
    }
}
