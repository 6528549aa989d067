//! Acknowledgements between the reader, which must not wait for a disk, and the task that applies them.
//!
//! They add up, so that any number of them takes the room of one: the highest position, the lowest that is needed, and
//! at most as many refusals as receipts may be in flight.

use dgon_protocol::frame::{Ack, Need};
use dgon_protocol::limits::RECEIPTS_IN_FLIGHT;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What came in since the last look.
#[derive(Debug, Default)]
pub(super) struct Mail {
    pub(super) ack: Option<Ack>,
    pub(super) need: Option<u64>,
    /// Refusals that were more than any control plane can have.
    pub(super) left_out: usize,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    came: Notify,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ack(&self, ack: Ack) {
        let mut mail = self.lock();
        let so_far = mail.ack.get_or_insert_default();
        so_far.acked_seq = so_far.acked_seq.max(ack.acked_seq);
        let room = RECEIPTS_IN_FLIGHT.saturating_sub(so_far.refused.len());
        let count = ack.refused.len();
        so_far.refused.extend(ack.refused.into_iter().take(room));
        mail.left_out += count.saturating_sub(room);
        drop(mail);
        self.came.notify_one();
    }

    pub(super) fn need(&self, need: &Need) {
        let mut mail = self.lock();
        mail.need = Some(mail.need.map_or(need.from, |from| from.min(need.from)));
        drop(mail);
        self.came.notify_one();
    }

    /// Takes all that came; waits for something. Cancel-safe.
    pub(super) async fn take(&self) -> Mail {
        self.came.notified().await;
        std::mem::take(&mut *self.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_protocol::error::ErrorType;
    use dgon_protocol::frame::Refused;

    #[tokio::test]
    async fn any_number_takes_the_room_of_one() {
        let mailbox = Mailbox::default();
        let refusal = Refused {
            request_id: None,
            kind: ErrorType::InvalidReceipt,
            message: "no".into(),
        };
        for acked_seq in [3, 9, 4] {
            mailbox.ack(Ack {
                acked_seq,
                refused: vec![refusal.clone(); 600],
            });
        }
        mailbox.need(&Need { from: 8, to: 9 });
        mailbox.need(&Need { from: 5, to: 5 });
        let mail = mailbox.take().await;
        let ack = mail.ack.unwrap();
        assert_eq!((ack.acked_seq, ack.refused.len()), (9, RECEIPTS_IN_FLIGHT));
        assert_eq!(
            (mail.need, mail.left_out),
            (Some(5), 1_800 - RECEIPTS_IN_FLIGHT)
        );
    }
}
