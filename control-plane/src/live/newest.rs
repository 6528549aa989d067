//! The newest receipts of each organisation, in the order of their commits. Pure.
//!
//! Each organisation has so many, so that what one commits pushes nothing of another's out; and all together are bounded,
//! at the cost of who has most.

use crate::bus::CommittedReceipt;
use std::collections::{BTreeMap, VecDeque};

/// Receipts of one organisation in a batch.
pub(super) const OF_ORG: usize = 100;
/// Receipts of all in a batch.
const OF_ALL: usize = 1_000;

/// Which organisation; `None` for nodes without one.
type Org = Option<String>;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Newest {
    of: BTreeMap<Org, VecDeque<(u64, CommittedReceipt)>>,
    left_out: BTreeMap<Org, u64>,
    waiting: usize,
    heard: u64,
}

impl Newest {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// One more was committed.
    pub(super) fn push(&mut self, receipt: CommittedReceipt) {
        let org = receipt.org_id.clone();
        let of_org = self.of.entry(org.clone()).or_default();
        of_org.push_back((self.heard, receipt));
        let is_full = of_org.len() > OF_ORG;
        (self.heard, self.waiting) = (self.heard + 1, self.waiting + 1);
        if is_full {
            self.leave_out(&org);
        } else if self.waiting > OF_ALL {
            let most = self.of.iter().max_by_key(|(_, of)| of.len());
            if let Some(org) = most.map(|(org, _)| org.clone()) {
                self.leave_out(&org);
            }
        }
    }

    /// The oldest of an organisation goes.
    fn leave_out(&mut self, org: &Org) {
        if self.of.get_mut(org).and_then(VecDeque::pop_front).is_some() {
            self.waiting -= 1;
            *self.left_out.entry(org.clone()).or_default() += 1;
        }
    }

    /// All that waits, the oldest first, and how many of each organisation were left out.
    pub(super) fn take(&mut self) -> (Vec<CommittedReceipt>, Vec<(Org, u64)>) {
        let taken = std::mem::take(self);
        let mut all: Vec<(u64, CommittedReceipt)> = taken.of.into_values().flatten().collect();
        all.sort_unstable_by_key(|(heard, _)| *heard);
        let receipts = all.into_iter().map(|(_, receipt)| receipt).collect();
        (receipts, taken.left_out.into_iter().collect())
    }
}
