//! Why a stream was given up.

use super::{PayloadError, write};
use crate::limits::RELAY_PAYLOAD_BYTES;
use crate::text::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a stream was given up. The list is closed; a word of a newer peer reads as [`CancelReason::Unknown`].
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub enum CancelReason {
            $($(#[$doc])* $name,)*
            /// Not told, or told in a word that this version does not know.
            #[default]
            Unknown,
        }

        impl CancelReason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)* Self::Unknown];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

reasons! {
    /// The node's owner does not allow work of the gateway.
    NotAllowed = "not_allowed",
    /// The node is paused.
    Paused = "paused",
    /// The sender is about to end.
    Stopping = "stopping",
    /// The node has no place for another request, or remembers as many orders as it can.
    Busy = "busy",
    /// The node has no room for another receipt.
    Spool = "spool",
    /// The order is not one.
    OrderMalformed = "order_malformed",
    /// The order's key is not in the live set, or not in its interval.
    OrderUnknownKey = "order_unknown_key",
    /// The order's signature does not hold.
    OrderBadSignature = "order_bad_signature",
    /// The order is for another node.
    OrderForeign = "order_foreign",
    /// The time by which the work must have begun has passed.
    OrderExpired = "order_expired",
    /// The order's times are further ahead than an agent remembers orders.
    OrderTooFar = "order_too_far",
    /// The order, or another of its request id, came before.
    OrderReplayed = "order_replayed",
    /// The content key is not the one of the order.
    ContentKeyMismatch = "content_key_mismatch",
    /// The body is larger than it may be, or than the head said.
    BodyTooLarge = "body_too_large",
    /// The body is not the one of the order.
    BodyMismatch = "body_mismatch",
    /// No runtime of the node has the model.
    ModelMissing = "model_missing",
    /// The runtime's model has another digest than the order's.
    ModelMismatch = "model_mismatch",
    /// No runtime of the node serves the route.
    RouteNotServed = "route_not_served",
    /// The time by which the work must have ended has passed.
    FinishBy = "finish_by",
    /// The runtime failed.
    RuntimeFailed = "runtime_failed",
    /// The peer broke a rule of the relay.
    ProtocolError = "protocol_error",
    /// The consumer went away.
    ClientGone = "client_gone",
    /// The consumer reads too slowly, or not at all.
    ClientStalled = "client_stalled",
    /// The first token, or the next one, took too long.
    TooSlow = "too_slow",
    /// Another node's answer is used.
    Superseded = "superseded",
    /// A fault of the sender. Its log has the cause.
    Internal = "internal",
}

impl CancelReason {
    /// Reads a word.
    pub fn of_name(name: &str) -> Self {
        let known = Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == name);
        known.unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for CancelReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CancelReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::of_name(&name))
    }
}

/// `cancel`: the stream is over for its sender.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Why, for a program.
    pub reason: CancelReason,
    /// Why, for a person; at most 512 characters.
    #[serde(default)]
    pub message: Text,
}

impl Cancelled {
    /// A reason with a sentence.
    pub fn new(reason: CancelReason, message: &str) -> Self {
        Self {
            reason,
            message: Text::new(message),
        }
    }

    /// Reads a payload. What is empty or cannot be read still cancels: it gives no reason.
    pub fn decode(payload: &[u8]) -> Self {
        if payload.len() > RELAY_PAYLOAD_BYTES {
            return Self::default();
        }
        serde_json::from_slice(payload).unwrap_or_default()
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`], which no sentence of the allowed length leads to.
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        write("a cancel frame", self)
    }
}
