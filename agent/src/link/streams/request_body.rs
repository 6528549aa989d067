//! The body of one relayed request while it comes: within its credit, its size and its share of the memory of all bodies.

use bytes::{Bytes, BytesMut};
use dgon_agent_dataplane::admission::BodyShare;
use dgon_protocol::content::{BodyHasher, ContentKey};
use dgon_protocol::order::WorkOrder;
use dgon_protocol::relay::{CancelReason, Cancelled, ReceiveWindow};

/// The widest window of a request body, bytes: a body of megabytes should not wait for many round trips.
const WIDEST: u64 = 1024 * 1024;

pub(super) struct RequestBody {
    bytes: BytesMut,
    hasher: BodyHasher,
    share: BodyShare,
    window: ReceiveWindow,
    /// Size that the head said, bytes.
    announced: u64,
}

impl RequestBody {
    pub(super) fn new(content_key: &ContentKey, announced: u64, share: BodyShare) -> Self {
        Self {
            bytes: BytesMut::new(),
            hasher: content_key.body_hasher(),
            share,
            window: ReceiveWindow::default(),
            announced,
        }
    }

    /// Credit to give at the start, beyond what the control plane has without being told.
    pub(super) fn first_credit(&mut self) -> Option<u32> {
        let size = u32::try_from(self.announced.min(WIDEST)).unwrap_or(u32::MAX);
        self.window.widen(size)
    }

    /// Takes a piece. Yields the credit to give back.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Option<u32>, Cancelled> {
        let protocol = |error: &dyn std::error::Error| {
            Cancelled::new(CancelReason::ProtocolError, &error.to_string())
        };
        let received = self.window.received(piece.len());
        received.map_err(|error| protocol(&error))?;
        let all = self.bytes.len() as u64 + piece.len() as u64;
        if all > self.announced {
            let message = "the body is larger than the head of the request said";
            return Err(Cancelled::new(CancelReason::BodyTooLarge, message));
        }
        if !self.share.grow(piece.len()) {
            let message = "this node holds as many bytes of requests as it may; try again";
            return Err(Cancelled::new(CancelReason::Busy, message));
        }
        self.hasher.update(piece);
        self.bytes.extend_from_slice(piece);
        Ok(self.window.consumed(piece.len()))
    }

    /// The whole body, if it is the one of the order.
    pub(super) fn finish(self, order: &WorkOrder) -> Result<(Bytes, BodyShare), Cancelled> {
        if self.bytes.len() as u64 != self.announced || self.hasher.finish() != order.body_hash {
            let message = "the body that came is not the one of the work order";
            return Err(Cancelled::new(CancelReason::BodyMismatch, message));
        }
        Ok((self.bytes.freeze(), self.share))
    }
}
