//! The answer of one stream on its way into the session, from the thread that serves it.

use super::credit::Credit;
use crate::link::session::{Outbox, Turn};
use crate::proxy::relay::{AnswerOut, Gone};
use bytes::Bytes;
use dgon_protocol::limits::RELAY_PAYLOAD_BYTES;
use dgon_protocol::relay::{AnswerHead, Kind, RelayFrame};
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Answer {
    pub(super) stream_id: u32,
    pub(super) credit: Arc<Credit>,
    pub(super) turn: Turn,
    pub(super) outbox: Outbox,
}

impl Answer {
    /// Sends a frame in the stream's turn: at most one of each stream waits for the writer.
    pub(super) async fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Gone> {
        let stream_id = self.stream_id;
        let frame = RelayFrame {
            kind,
            stream_id,
            payload,
        };
        let frame = frame.encode().map_err(|_| Gone)?;
        if self.outbox.stream(&self.turn, frame).await {
            Ok(())
        } else {
            Err(Gone)
        }
    }
}

impl AnswerOut for Answer {
    async fn head(&mut self, head: AnswerHead) -> Result<(), Gone> {
        let payload = head.encode().map_err(|_| Gone)?;
        self.send(Kind::Headers, &payload).await
    }

    async fn body(&mut self, mut bytes: Bytes) -> Result<(), Gone> {
        while !bytes.is_empty() {
            let wanted = bytes.len().min(RELAY_PAYLOAD_BYTES);
            let granted = self.credit.take(wanted).await;
            let piece = bytes.split_to(granted);
            self.send(Kind::Body, &piece).await?;
        }
        Ok(())
    }
}
