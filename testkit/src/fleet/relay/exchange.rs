//! One stream on a simulated node: its request as it comes, then its answer as the credit lets it go.

use super::super::SimError;
use super::super::agent::{SimAgent, SimReceipt};
use super::Runtime;
use super::answer::Answer;
use dgon_protocol::content::BodyHasher;
use dgon_protocol::order::SignedOrder;
use dgon_protocol::receipt::Source;
use dgon_protocol::relay::{
    AnswerEnd, CancelReason, Kind, OpenStream, ReceiveWindow, RelayFrame, SendCredit,
};
use serde_json::value::RawValue;

/// A request and its answer.
pub(super) struct Exchange {
    order: SignedOrder,
    open: OpenStream,
    body: Vec<u8>,
    window: ReceiveWindow,
    credit: SendCredit,
    /// From when the request is whole.
    answer: Option<Answering>,
    /// The answer is sent, and this is what is left of it.
    pub(super) done: Option<Done>,
}

struct Answering {
    answer: Answer,
    has_head: bool,
    /// The runtime's piece that is being sent, how much of it was, and how many there were.
    piece: Vec<u8>,
    sent: usize,
    pieces: u64,
    /// Hashes what was sent.
    output: BodyHasher,
}

/// What is left of an exchange.
pub(super) struct Done {
    pub(super) receipt: SimReceipt,
}

impl Exchange {
    pub(super) fn new(order: SignedOrder, open: OpenStream) -> Self {
        Self {
            order,
            open,
            body: Vec::new(),
            window: ReceiveWindow::default(),
            credit: SendCredit::default(),
            answer: None,
            done: None,
        }
    }

    /// Takes a frame; credit to give back.
    pub(super) fn take(
        &mut self,
        frame: &RelayFrame<'_>,
        credit: Option<u32>,
        runtime: Runtime,
    ) -> Result<Option<u32>, CancelReason> {
        if let Some(credit) = credit {
            self.credit
                .add(credit)
                .map_err(|_| CancelReason::ProtocolError)?;
            return Ok(None);
        }
        if self.answer.is_some() {
            return Err(CancelReason::ProtocolError);
        }
        if frame.kind == Kind::Body {
            let bytes = frame.payload;
            self.window
                .received(bytes.len())
                .map_err(|_| CancelReason::ProtocolError)?;
            self.body.extend_from_slice(bytes);
            if self.body.len() as u64 > self.open.body_bytes {
                return Err(CancelReason::BodyTooLarge);
            }
            return Ok(self.window.consumed(bytes.len()));
        }
        let is_whole = self.body.len() as u64 == self.open.body_bytes
            && self.open.content_key.body_hash(&self.body) == self.order.order.body_hash;
        if !is_whole {
            return Err(CancelReason::BodyMismatch);
        }
        let mut answering = Answering {
            answer: runtime(&self.order.order, &self.body),
            has_head: false,
            piece: Vec::new(),
            sent: 0,
            pieces: 0,
            output: self.open.content_key.body_hasher(),
        };
        answering.advance();
        self.answer = Some(answering);
        Ok(None)
    }

    /// Whether some of the answer could be sent now.
    pub(super) fn can_send(&self) -> bool {
        let Some(answering) = &self.answer else {
            return false;
        };
        let is_sent = answering.sent == answering.piece.len();
        self.done.is_none() && (!answering.has_head || is_sent || self.credit.available() > 0)
    }

    /// The next frame of the answer: its head, a piece as the runtime wrote it, or its end with the receipt.
    pub(super) fn send(
        &mut self,
        agent: &mut SimAgent,
    ) -> Result<Option<(Kind, Vec<u8>)>, SimError> {
        let bad = |_| SimError::Answer("an answer does not fit into its frame");
        let Some(answering) = &mut self.answer else {
            return Ok(None);
        };
        if !answering.has_head {
            answering.has_head = true;
            let head = answering.answer.head.encode().map_err(bad)?;
            return Ok(Some((Kind::Headers, head)));
        }
        let left = &answering.piece[answering.sent..];
        if !left.is_empty() {
            let payload = left[..self.credit.take(left.len())].to_vec();
            answering.sent += payload.len();
            answering.output.update(&payload);
            if answering.sent == answering.piece.len() {
                answering.advance();
            }
            return Ok((!payload.is_empty()).then_some((Kind::Body, payload)));
        }
        let receipt = self.receipt(agent)?;
        let raw = RawValue::from_string(receipt.text().to_owned())
            .map_err(|_| SimError::Answer("a receipt is not JSON"))?;
        let end = AnswerEnd {
            receipt: Some(raw),
            failure: None,
        };
        self.done = Some(Done { receipt });
        Ok(Some((Kind::End, end.encode().map_err(bad)?)))
    }

    fn receipt(&self, agent: &mut SimAgent) -> Result<SimReceipt, SimError> {
        let (order, key) = (&self.order.order, &self.open.content_key);
        let output = self.answer.as_ref();
        let tokens_output = output.map_or(0, |answering| answering.pieces);
        let output_hash = output.map(|answering| answering.output.finish().to_string());
        let prompt_hash = key.body_hash(&self.body).to_string();
        let order_hash = self.order.order_hash();
        agent.next_receipt_with(|draft| {
            draft.request_id = order.request_id.clone();
            draft.source = Source::Gateway;
            draft.model_id.clone_from(&order.model_id);
            draft.tokens_input = self.body.len() as u64 / 4;
            draft.tokens_output = tokens_output;
            draft.prompt_hash = Some(prompt_hash);
            draft.output_hash = output_hash;
            draft.order_hash = Some(order_hash);
        })
    }
}

impl Answering {
    /// Goes on to the runtime's next piece; past the last one there is an empty one.
    fn advance(&mut self) {
        let next = self.answer.pieces.next();
        self.pieces += u64::from(next.is_some());
        (self.piece, self.sent) = (next.unwrap_or_default(), 0);
    }
}
