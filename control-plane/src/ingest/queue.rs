//! Submissions that wait for the committer, in turns that are fair to nodes.

use super::Submission;
use super::share::{Shares, Turn};
use std::collections::BTreeMap;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    waiting: BTreeMap<Turn, Submission>,
    receipts: usize,
    shares: Shares,
}

impl FairQueue {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Receipts that wait.
    pub(super) fn receipts(&self) -> usize {
        self.receipts
    }

    /// Adds a submission.
    pub(super) fn push(&mut self, submission: Submission) {
        let size = submission.items.len();
        let turn = self.shares.begin(&submission.node.node_id, size);
        self.receipts += size;
        self.waiting.insert(turn, submission);
    }

    /// Takes submissions until they have this many receipts.
    pub(super) fn take(&mut self, receipts: usize) -> Vec<Submission> {
        let (mut batch, mut taken) = (Vec::new(), 0);
        while taken < receipts
            && let Some((turn, submission)) = self.waiting.pop_first()
        {
            self.shares.served(turn);
            taken += submission.items.len();
            batch.push(submission);
        }
        self.receipts -= taken;
        batch
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::app::NodeSession;
    use crate::ingest::room::Reserved;
    use crate::ingest::verify::{Checked, Refused};
    use crate::ingest::{Cut, Ingest};
    use dgon_protocol::error::ErrorType;
    use dgon_protocol::id::NodeId;
    use dgon_protocol::key::NodeKey;
    use std::collections::HashMap;
    use std::sync::Arc;
    use tokio::sync::oneshot;

    /// Receipts of a node that nobody waits for.
    pub(in crate::ingest) fn submission(node: &str, receipts: usize) -> Submission {
        let item = || {
            Checked::Refused(Box::new(Refused {
                kind: ErrorType::InvalidReceipt,
                message: String::new(),
                request_id: None,
                key: 1,
                link: None,
                unknown_key: false,
                bytes: Vec::new(),
            }))
        };
        Submission {
            node: Arc::new(NodeSession {
                node_id: NodeId::parse(node).expect("id"),
                region: String::new(),
                org_id: None,
                key_org_id: None,
                node_key_id: 1,
                public_key: NodeKey::from_seed(&[1; 32]).public(),
                former: Vec::new(),
                head_seq: 0,
                session_id: None,
            }),
            items: (0..receipts).map(|_| item()).collect(),
            reply: oneshot::channel().0,
            _reserved: Arc::new(Reserved::alone()),
        }
    }

    #[tokio::test]
    async fn what_comes_over_a_link_is_queued_in_pieces_and_a_post_whole() {
        let ingest = Ingest::new();
        let mut inbox = ingest.take_inbox().expect("once");
        for (cut, sizes) in [(Cut::Pieces, vec![64, 64, 64, 8]), (Cut::Whole, vec![200])] {
            let Submission { node, items, .. } = submission("n", 200);
            let submitted = ingest.submit(node, items, Reserved::alone(), cut);
            submitted.await.expect("queued");
            let queued: Vec<usize> = std::iter::from_fn(|| inbox.try_recv().ok())
                .map(|submission| submission.items.len())
                .collect();
            assert_eq!(queued, sizes);
        }
    }

    fn names(batch: &[Submission]) -> Vec<(&str, usize)> {
        batch
            .iter()
            .map(|submission| (submission.node.node_id.as_str(), submission.items.len()))
            .collect()
    }

    #[test]
    fn a_node_that_sends_little_does_not_wait_for_one_that_sends_much() {
        let mut queue = FairQueue::default();
        for _ in 0..20 {
            queue.push(submission("flood", 256));
        }
        queue.push(submission("calm", 2));
        assert_eq!(queue.receipts(), 20 * 256 + 2);
        let batch = queue.take(300);
        assert_eq!(names(&batch), [("flood", 256), ("calm", 2), ("flood", 256)]);
    }

    #[test]
    fn a_flood_with_one_submission_at_a_time_waits_its_turn_too() {
        let mut queue = FairQueue::default();
        queue.push(submission("flood", 256));
        assert_eq!(queue.take(1).len(), 1);
        queue.push(submission("flood", 255));
        queue.push(submission("calm", 1));
        assert_eq!(names(&queue.take(1)), [("calm", 1)]);
    }

    #[test]
    fn the_submissions_of_a_node_keep_their_order_and_nothing_is_lost() {
        let mut queue = FairQueue::default();
        for size in 1..=50 {
            queue.push(submission("a", size));
            queue.push(submission("b", 51 - size));
        }
        let mut sizes: HashMap<String, Vec<usize>> = HashMap::new();
        while !queue.is_empty() {
            for taken in queue.take(10) {
                let of_node = sizes.entry(taken.node.node_id.to_string()).or_default();
                of_node.push(taken.items.len());
            }
        }
        assert_eq!(sizes["a"], (1..=50).collect::<Vec<_>>());
        assert_eq!(sizes["b"], (1..=50).rev().collect::<Vec<_>>());
        assert_eq!(queue.receipts(), 0);
    }
}
