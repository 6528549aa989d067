//! What begins and ends an answer.

use super::{PayloadError, optional_header_value, read, write};
use crate::text::{self, NAME_CHARS};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// `headers`: what the runtime answered before the body. No other header passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerHead {
    /// HTTP status, 200 to 599: an answer that is not final is not relayed.
    #[serde(deserialize_with = "status")]
    pub status: u16,
    /// `content-type`, where there is one.
    #[serde(
        default,
        deserialize_with = "optional_header_value",
        skip_serializing_if = "Option::is_none"
    )]
    pub content_type: Option<String>,
    /// `retry-after`, s, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

impl AnswerHead {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`PayloadError`].
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        read("a headers frame", payload)
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`], which no head that can be read leads to.
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        write("a headers frame", self)
    }
}

/// `end` of an answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AnswerEnd {
    /// Entry bytes of the receipt, so that the consumer's last event can have it. It is sent among the receipts too, and
    /// counts once it is acknowledged there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Box<RawValue>>,
    /// What failed, in the word that the receipt has for it; `None` where the answer came whole.
    #[serde(
        default,
        deserialize_with = "text::optional_name::<_, NAME_CHARS>",
        skip_serializing_if = "Option::is_none"
    )]
    pub failure: Option<String>,
}

impl AnswerEnd {
    /// Reads a payload. An empty one says nothing.
    ///
    /// # Errors
    /// [`PayloadError`]. The receipt in it is not read yet.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        if payload.is_empty() {
            return Ok(Self::default());
        }
        read("an end frame", payload)
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`] where the receipt does not fit: it is to be left out, and comes among the others.
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        write("an end frame", self)
    }
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    if (200..=599).contains(&status) {
        Ok(status)
    } else {
        Err(D::Error::custom("a status is a number from 200 to 599"))
    }
}
