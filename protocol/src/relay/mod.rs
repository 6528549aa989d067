//! Binary frames of the agent link: relayed streams (`docs/agent/link.md` tells the rules).
//!
//! A stream is one request of a consumer and its answer. Only the control plane opens streams; ids rise from 1 in a
//! session and are never used twice. Each direction has a credit of its own, of which only `body` payloads take.
//!
//! | frame | from the control plane | from the agent |
//! |---|---|---|
//! | `open` | [`OpenStream`] | never |
//! | `headers` | never | [`AnswerHead`], once, before the body |
//! | `body` | bytes of the request | bytes of the answer |
//! | `end` | empty: the request is whole | [`AnswerEnd`]: the answer is over |
//! | `cancel` | [`Cancelled`]: nobody wants the answer any more | [`Cancelled`]: refused, or given up |
//! | `window` | credit for the answer's body | credit for the request's body |
//!
//! | module | owns |
//! |---|---|
//! | `frame` | the frame itself |
//! | `open` | what opens a stream |
//! | `answer` | what begins and ends an answer |
//! | `cancel` | why a stream was given up |
//! | `credit` | how much body may be under way |

mod answer;
mod cancel;
mod credit;
mod frame;
mod open;

pub use answer::{AnswerEnd, AnswerHead};
pub use cancel::{CancelReason, Cancelled};
pub use credit::{CreditError, ReceiveWindow, SendCredit};
pub use frame::{Kind, RelayError, RelayFrame};
pub use open::OpenStream;

use crate::limits::RELAY_PAYLOAD_BYTES;
use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};

/// Why a payload is none. The stream is cancelled with [`CancelReason::ProtocolError`].
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// It does not fit into one frame.
    #[error("a payload has at most {RELAY_PAYLOAD_BYTES} bytes, this has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not the JSON that its frame carries.
    #[error("the payload of {what} is malformed")]
    Malformed {
        /// The frame.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

fn read<T: DeserializeOwned>(what: &'static str, payload: &[u8]) -> Result<T, PayloadError> {
    if payload.len() > RELAY_PAYLOAD_BYTES {
        let bytes = payload.len();
        return Err(PayloadError::TooLarge { bytes });
    }
    serde_json::from_slice(payload).map_err(|source| PayloadError::Malformed { what, source })
}

fn write(what: &'static str, payload: &impl Serialize) -> Result<Vec<u8>, PayloadError> {
    let payload =
        serde_json::to_vec(payload).map_err(|source| PayloadError::Malformed { what, source })?;
    if payload.len() > RELAY_PAYLOAD_BYTES {
        let bytes = payload.len();
        return Err(PayloadError::TooLarge { bytes });
    }
    Ok(payload)
}

/// Longest value of a header that is relayed, characters.
const HEADER_CHARS: usize = 128;

/// Whether a text can stand in a header as it is, and cannot make another: printable ASCII.
fn is_header_value(text: &str) -> bool {
    (1..=HEADER_CHARS).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Reads a header's value. For `#[serde(deserialize_with)]`.
fn header_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_header_value(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(
            "a header's value has 1 to 128 printable characters of ASCII",
        ))
    }
}

/// Reads a header's value that may be absent. For `#[serde(deserialize_with)]`.
fn optional_header_value<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    struct HeaderValue(String);
    impl<'de> Deserialize<'de> for HeaderValue {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            header_value(deserializer).map(Self)
        }
    }
    let value = Option::<HeaderValue>::deserialize(deserializer)?;
    Ok(value.map(|value| value.0))
}
