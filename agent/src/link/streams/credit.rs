//! Credit for the body of one answer: the reader adds what the control plane gives, the thread that serves waits for it.

use dgon_protocol::relay::{CreditError, SendCredit};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Credit {
    credit: Mutex<SendCredit>,
    came: Notify,
}

impl Credit {
    /// Adds what a `window` frame gives.
    pub(super) fn add(&self, bytes: u32) -> Result<(), CreditError> {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        credit.add(bytes)?;
        drop(credit);
        self.came.notify_one();
        Ok(())
    }

    /// Takes credit for up to `wanted` bytes, which is not 0; waits for some. Cancel-safe.
    pub(super) async fn take(&self, wanted: usize) -> usize {
        loop {
            let taken = {
                let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
                credit.take(wanted)
            };
            if taken > 0 {
                return taken;
            }
            // One stream has one taker, so the wake that is kept is its own.
            self.came.notified().await;
        }
    }
}
