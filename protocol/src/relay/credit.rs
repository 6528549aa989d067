//! Credit of one direction of a stream: how much body may be under way.
//!
//! The receiver has a window. At the start it is [`RELAY_INITIAL_CREDIT`], on both sides, without being told. The sender
//! takes of its [`SendCredit`] for each `body` payload; the receiver's [`ReceiveWindow`] gives back what was consumed, not
//! what arrived, once that is half of the window. So what waits for a slow reader is never more than its window, and
//! nobody else's stream waits for it.

use crate::limits::{RELAY_CREDIT_MAX, RELAY_INITIAL_CREDIT};

/// A fault of the peer: the stream is cancelled with
/// [`CancelReason::ProtocolError`](super::CancelReason::ProtocolError).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditError {
    /// The credit given adds up to more than 16 MiB.
    #[error("a stream has at most {RELAY_CREDIT_MAX} bytes of credit")]
    TooMuch,
    /// More body came than there was credit for.
    #[error("{bytes} bytes of body came, with credit for {credit}")]
    Beyond {
        /// What came.
        bytes: usize,
        /// What might have come.
        credit: u32,
    },
}

/// What the sender of a body may still send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendCredit {
    bytes: u32,
}

impl Default for SendCredit {
    fn default() -> Self {
        Self {
            bytes: RELAY_INITIAL_CREDIT,
        }
    }
}

impl SendCredit {
    /// Bytes that may be sent now.
    pub fn available(&self) -> u32 {
        self.bytes
    }

    /// Takes credit for up to `wanted` bytes, and says for how many: 0 where there is none.
    pub fn take(&mut self, wanted: usize) -> usize {
        let bytes = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.bytes);
        self.bytes -= bytes;
        bytes as usize
    }

    /// Adds the credit of a `window` frame.
    ///
    /// # Errors
    /// [`CreditError::TooMuch`]: nothing is added.
    pub fn add(&mut self, bytes: u32) -> Result<(), CreditError> {
        let sum = self.bytes.checked_add(bytes);
        self.bytes = sum
            .filter(|sum| *sum <= RELAY_CREDIT_MAX)
            .ok_or(CreditError::TooMuch)?;
        Ok(())
    }
}

/// What the receiver of a body lets the sender send. At any time the window is what the sender may still send, what came
/// and was not consumed, and what was consumed and not given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveWindow {
    /// Bytes that may be under way or waiting at once.
    size: u32,
    /// Credit that the sender has.
    credit: u32,
    /// Bytes that came and were not consumed.
    held: u32,
    /// Bytes that were consumed and not given back.
    owed: u32,
}

impl Default for ReceiveWindow {
    fn default() -> Self {
        Self {
            size: RELAY_INITIAL_CREDIT,
            credit: RELAY_INITIAL_CREDIT,
            held: 0,
            owed: 0,
        }
    }
}

impl ReceiveWindow {
    /// Bytes that came and were not consumed.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Takes a `body` payload.
    ///
    /// # Errors
    /// [`CreditError::Beyond`]: the payload must not be kept.
    pub fn received(&mut self, bytes: usize) -> Result<(), CreditError> {
        let within = u32::try_from(bytes).ok();
        let Some(taken) = within.filter(|taken| *taken <= self.credit) else {
            let credit = self.credit;
            return Err(CreditError::Beyond { bytes, credit });
        };
        self.credit -= taken;
        self.held += taken;
        Ok(())
    }

    /// Notes that so many bytes were passed on. Yields the credit of a `window` frame to send, once that is half of the
    /// window. More than came cannot be consumed, and gives nothing.
    pub fn consumed(&mut self, bytes: usize) -> Option<u32> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.held);
        self.held -= bytes;
        self.owed += bytes;
        if self.owed == 0 || self.owed < self.size / 2 {
            return None;
        }
        Some(self.give(self.owed))
    }

    /// Makes the window wider, to `size` bytes or [`RELAY_CREDIT_MAX`], for a body that should not wait for round trips.
    /// Yields the credit of a `window` frame to send; a window never shrinks.
    pub fn widen(&mut self, size: u32) -> Option<u32> {
        let more = size.min(RELAY_CREDIT_MAX).checked_sub(self.size)?;
        if more == 0 {
            return None;
        }
        self.size += more;
        self.owed += more;
        Some(self.give(self.owed))
    }

    fn give(&mut self, bytes: u32) -> u32 {
        self.owed -= bytes;
        self.credit += bytes;
        bytes
    }
}
