//! Where the proxy puts what it learned: the seam between measuring a request and signing its receipt.
//!
//! Invariant: a response looks finished to its client only after [`ReceiptSink::record`] returned `Ok`.
//! The sink signs the receipt into the node's chain and makes it durable before it returns.

use dgon_agent_core::facts::RequestFacts;
use dgon_protocol::id::RequestId;
use futures_util::future::BoxFuture;
use std::io;

/// Why no receipt can be made now. The proxy answers 503 with this text.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The spool has reached its limit.
    #[error(
        "the receipt spool is full ({receipts} receipts, {bytes} bytes), so no request is served without a \
         receipt; connect the agent to its control plane, or raise spool.max_receipts or spool.max_mib"
    )]
    Full {
        /// Receipts in the spool.
        receipts: u64,
        /// Bytes in the spool.
        bytes: u64,
    },
    /// The spool cannot be written.
    #[error(
        "the receipt spool cannot be written, so no request is served without a receipt; check the free \
         space and the permissions of the spool directory"
    )]
    Write(#[source] io::Error),
    /// Another receipt would fork the node's chain; the text says how that came and what to do.
    #[error("no receipt can be signed: {0}")]
    Chain(String),
    /// The agent is stopping, or the spool's writer is gone.
    #[error("the agent is stopping and takes no more requests; try again when it runs")]
    Closed,
}

/// Turns facts into signed, durable receipts.
pub trait ReceiptSink: Send + Sync + 'static {
    /// How many receipts could be recorded now. Cheap: asked before every request is let in.
    ///
    /// # Errors
    /// [`SinkError`] says why there can be none, whatever the room.
    fn room(&self) -> Result<u64, SinkError>;

    /// What to tell a request for whose receipt there is no room.
    fn full(&self) -> SinkError;

    /// A fresh id for a request that begins now.
    fn next_request_id(&self) -> RequestId;

    /// Signs the receipt and makes it durable. Returns its `seq` once it is.
    ///
    /// The future does its work to the end even where it is dropped: a client that goes away between the
    /// call and the answer must not tear the chain.
    fn record(&self, facts: RequestFacts) -> BoxFuture<'_, Result<u64, SinkError>>;
}
