//! Streams over the sessions of nodes: each is one request of a consumer and its answer, and many share one socket.
//!
//! Whoever wants an answer opens a [`Stream`] from any task or thread and reads events of it. The session's reader hands
//! frames to [`Streams`], its writer takes frames out of it; nothing here knows the socket, or what is asked and answered.
//! The frames are those of `dgon_protocol::relay`, whose tables say who sends what.
//!
//! What waits is bounded, and by whom it may be made to wait: an answer by the window of its stream, whatever sizes the node's
//! frames have; a session by [`RELAY_STREAMS`]; the process by its [`Room`], from which each stream takes at its
//! opening what it may come to hold. A stream that is not read, or whose node gives it no credit, stops alone.
//!
//! | module | owns |
//! |---|---|
//! | `room` | bytes that all streams of the process may hold |
//! | `answer` | what came of one answer and was not read |
//! | `outgoing` | one stream as its session knows it: what is to be sent, and what frames of the node may do |
//! | `streams` | the streams of one session, and whose turn it is to send |
//! | `stream` | one stream in the hands of whoever opened it |

mod answer;
mod outgoing;
mod room;
mod stream;
mod streams;

pub use room::{NoRoom, Room, RoomShare};
pub use stream::{Event, Stream};
pub use streams::{Fault, Streams};

use bytes::Bytes;
use dgon_protocol::content::ContentKey;
use dgon_protocol::limits::{RELAY_BODY_BYTES, RELAY_STREAMS};
use dgon_protocol::order::SignedOrder;
use dgon_protocol::relay::{OpenStream, PayloadError};
use serde_json::value::RawValue;

/// What a node is asked.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The order that it is work under.
    pub order: &'a SignedOrder,
    /// The content key of the request.
    pub content_key: &'a ContentKey,
    /// Path of the route on the runtime, such as `/v1/chat/completions`.
    pub path: &'a str,
    /// Type of the body, such as `application/json`.
    pub content_type: &'a str,
    /// The body whose hash is in the order; at most [`RELAY_BODY_BYTES`].
    pub body: Bytes,
}

impl Request<'_> {
    /// Payload of the `open` frame.
    fn head(&self) -> Result<Vec<u8>, OpenError> {
        let body_bytes = self.body.len() as u64;
        if body_bytes > RELAY_BODY_BYTES {
            return Err(OpenError::TooLarge);
        }
        // Entry bytes are JSON in UTF-8.
        let order = String::from_utf8_lossy(self.order.entry_bytes()).into_owned();
        let order = RawValue::from_string(order).map_err(|source| PayloadError::Malformed {
            what: "an open frame",
            source,
        });
        let open = OpenStream {
            order: order.map_err(OpenError::Head)?,
            content_key: self.content_key.clone(),
            path: self.path.to_owned(),
            content_type: self.content_type.to_owned(),
            body_bytes,
        };
        open.encode().map_err(OpenError::Head)
    }
}

/// Why no stream was opened: the node has heard nothing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not connected, or its session has just ended.
    #[error("the node has no session now")]
    NoSession,
    /// Its session has all the streams that it may have.
    #[error("the node's session has {RELAY_STREAMS} streams already")]
    Full,
    /// The process holds all that it may hold.
    #[error("this process holds as many bytes of relayed requests and answers as it may")]
    NoRoom,
    /// Ids are never used twice, and this session has used all of them.
    #[error(
        "the node's session has had as many streams as one can have; it ends, and the next begins anew"
    )]
    Spent,
    /// The body is larger than any that is relayed.
    #[error("a relayed body has at most {RELAY_BODY_BYTES} bytes")]
    TooLarge,
    /// The head cannot be written.
    #[error("the head of the request cannot be sent")]
    Head(#[source] PayloadError),
}

/// Why a stream was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// A newer session of the node took over.
    Replaced,
    /// The session ended.
    Ended,
}

#[cfg(test)]
mod tests;
