//! One binary frame: 1 byte kind, 4 bytes stream id (big endian), payload of at most 64 KiB.

use crate::limits::RELAY_PAYLOAD_BYTES;

/// What a relay frame does to its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Opens the stream; payload: [`OpenStream`](super::OpenStream).
    Open = 1,
    /// Begins the answer; payload: [`AnswerHead`](super::AnswerHead).
    Headers = 2,
    /// Bytes of a body.
    Body = 3,
    /// This direction ended as it should; payload: empty for a request, [`AnswerEnd`](super::AnswerEnd) for an answer.
    End = 4,
    /// The stream is given up; payload: [`Cancelled`](super::Cancelled), may be empty.
    Cancel = 5,
    /// Credit for the peer; payload: 4 bytes.
    Window = 6,
}

/// One binary frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayFrame<'a> {
    /// What it does.
    pub kind: Kind,
    /// Which stream.
    pub stream_id: u32,
    /// The bytes it carries.
    pub payload: &'a [u8],
}

/// Why bytes are not a relay frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// Shorter than the header.
    #[error("a relay frame has at least 5 bytes")]
    TooShort,
    /// The payload is over its limit.
    #[error("a relay frame carries at most {RELAY_PAYLOAD_BYTES} bytes")]
    TooLarge,
    /// The kind is unknown.
    #[error("unknown relay frame kind {0}")]
    UnknownKind(u8),
    /// A `window` payload is not 4 bytes.
    #[error("a window frame carries 4 bytes")]
    BadWindow,
}

const HEADER_BYTES: usize = 5;

impl<'a> RelayFrame<'a> {
    /// Reads one frame.
    ///
    /// # Errors
    /// [`RelayError`] names the rule that the bytes break.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RelayError> {
        let (&[kind, a, b, c, d], payload) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(RelayError::TooShort)?;
        let kind = match kind {
            1 => Kind::Open,
            2 => Kind::Headers,
            3 => Kind::Body,
            4 => Kind::End,
            5 => Kind::Cancel,
            6 => Kind::Window,
            other => return Err(RelayError::UnknownKind(other)),
        };
        if payload.len() > RELAY_PAYLOAD_BYTES {
            return Err(RelayError::TooLarge);
        }
        if kind == Kind::Window && payload.len() != 4 {
            return Err(RelayError::BadWindow);
        }
        Ok(Self {
            kind,
            stream_id: u32::from_be_bytes([a, b, c, d]),
            payload,
        })
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// [`RelayError::TooLarge`] when the payload is over 64 KiB.
    pub fn encode(&self) -> Result<Vec<u8>, RelayError> {
        if self.payload.len() > RELAY_PAYLOAD_BYTES {
            return Err(RelayError::TooLarge);
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.payload.len());
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.stream_id.to_be_bytes());
        bytes.extend_from_slice(self.payload);
        Ok(bytes)
    }

    /// The credit of a `window` frame, bytes.
    pub fn credit(&self) -> Option<u32> {
        if self.kind == Kind::Window {
            self.payload.try_into().ok().map(u32::from_be_bytes)
        } else {
            None
        }
    }
}
