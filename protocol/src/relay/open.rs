//! What opens a stream.

use super::{PayloadError, header_value, read, write};
use crate::content::ContentKey;
use crate::limits::RELAY_BODY_BYTES;
use crate::order::SignedOrder;
use crate::statement::StatementError;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Longest path of a relayed request, characters.
const PATH_CHARS: usize = 128;

/// `open`: the head of a request, and the order that it is work under.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenStream {
    /// The signed order, as the object that was signed. It is read by [`OpenStream::order`] alone, so that a bad order
    /// is refused as one and is no fault of the frame.
    pub order: Box<RawValue>,
    /// The content key of the request.
    pub content_key: ContentKey,
    /// Path of the route on the runtime, such as `/v1/chat/completions`, without a query.
    #[serde(deserialize_with = "path")]
    pub path: String,
    /// Type of the body, such as `application/json`.
    #[serde(deserialize_with = "header_value")]
    pub content_type: String,
    /// Bytes of the body that follows, at most 32 MiB.
    #[serde(deserialize_with = "body_bytes")]
    pub body_bytes: u64,
}

impl OpenStream {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`PayloadError`]. The order in it is not read yet.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        read("an open frame", payload)
    }

    /// Writes the payload.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`], which no order of the allowed size leads to.
    pub fn encode(&self) -> Result<Vec<u8>, PayloadError> {
        write("an open frame", self)
    }

    /// Reads the order. Nothing of it is checked but its form.
    ///
    /// # Errors
    /// [`StatementError`] where it is no order.
    pub fn order(&self) -> Result<SignedOrder, StatementError> {
        SignedOrder::parse(self.order.get().as_bytes())
    }
}

/// A path of plain segments: it can be compared as it is, and leads nowhere else when a runtime decodes it.
fn is_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'.');
    text.len() <= PATH_CHARS
        && text.starts_with('/')
        && text.bytes().all(plain)
        && !text.contains("//")
        && !text.contains("..")
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if is_path(&text) {
        Ok(text)
    } else {
        Err(D::Error::custom(
            "a path has at most 128 characters of A-Z a-z 0-9 / _ - . and begins with /",
        ))
    }
}

fn body_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let bytes = u64::deserialize(deserializer)?;
    if bytes <= RELAY_BODY_BYTES {
        Ok(bytes)
    } else {
        Err(D::Error::custom(format!(
            "a relayed body has at most {RELAY_BODY_BYTES} bytes"
        )))
    }
}
