//! What becomes of receipts that were queued: they are committed in pieces, and answered for together.
//!
//! The pieces of one frame keep their order.

use super::{IngestError, Outcome};
use dgon_protocol::frame::Need;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// The answer for one piece.
pub(super) type Reply = oneshot::Sender<Result<Outcome, IngestError>>;

/// The answer to come.
#[derive(Debug, Default)]
pub struct Pending {
    pieces: VecDeque<oneshot::Receiver<Result<Outcome, IngestError>>>,
    so_far: Outcome,
}

impl Pending {
    /// One more piece is queued: where its answer goes.
    pub(super) fn piece(&mut self) -> Reply {
        let (reply, outcome) = oneshot::channel();
        self.pieces.push_back(outcome);
        reply
    }

    /// What became of them all, once. A caller may give up and ask again.
    ///
    /// # Errors
    /// That of the first piece that has no outcome; those before it are durable.
    pub async fn outcome(&mut self) -> Result<Outcome, IngestError> {
        while let Some(next) = self.pieces.front_mut() {
            let outcome = next.await.map_err(|_| IngestError::Stopped)?;
            self.pieces.pop_front();
            self.so_far.join(outcome?);
        }
        Ok(std::mem::take(&mut self.so_far))
    }
}

impl Outcome {
    /// That of a later piece is known, too.
    fn join(&mut self, later: Self) {
        self.head_seq = self.head_seq.max(later.head_seq);
        self.verdicts.extend(later.verdicts);
        // The first gap is the one to fill, until it is.
        let moved_on = |need: &Need| {
            self.need
                .as_ref()
                .is_none_or(|first| need.from > first.from)
        };
        if let Some(need) = later.need.filter(moved_on) {
            self.need = Some(need);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fate, ReceiptVerdict};
    use super::*;
    use futures_util::FutureExt as _;

    fn outcome(head_seq: u64, need: Option<(u64, u64)>) -> Outcome {
        Outcome {
            head_seq,
            verdicts: vec![ReceiptVerdict {
                request_id: None,
                fate: Fate::Accepted,
            }],
            need: need.map(|(from, to)| Need { from, to }),
        }
    }

    #[test]
    fn pieces_are_answered_for_together_and_in_order() {
        let mut pending = Pending::default();
        let (first, second) = (pending.piece(), pending.piece());
        assert!(pending.outcome().now_or_never().is_none());
        first.send(Ok(outcome(3, Some((4, 9))))).expect("waits");
        assert!(pending.outcome().now_or_never().is_none());
        second.send(Ok(outcome(3, Some((4, 73))))).expect("waits");
        let all = pending.outcome().now_or_never().expect("at once");
        let all = all.expect("an outcome");
        assert_eq!((all.head_seq, all.verdicts.len()), (3, 2));
        assert_eq!(all.need, Some(Need { from: 4, to: 9 }));
    }

    #[test]
    fn the_first_failure_is_the_answer() {
        let mut pending = Pending::default();
        let (first, second) = (pending.piece(), pending.piece());
        first.send(Err(IngestError::Store)).expect("waits");
        drop(second);
        let answer = pending.outcome().now_or_never();
        assert_eq!(answer, Some(Err(IngestError::Store)));
    }
}
