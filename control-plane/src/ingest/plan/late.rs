//! Receipts for places that were given up.
//!
//! What follows such a place names the hash of what was there, so only that very receipt may fill it. Where nothing
//! that is stored follows, nobody vouches for it yet. The later ones are looked at first: each vouches for the one
//! before.

use super::gaps::{Found, SEVERAL};
use super::{Place, Plan, refusal, seq_column};
use crate::app::NodeSession;
use crate::ingest::Fate;
use crate::ingest::verify::Verified;
use dgon_control_plane_store::StoreError;
use dgon_protocol::chain::Link;
use dgon_protocol::error::ErrorType;
use dgon_protocol::receipt::{Receipt, Sha256Hash};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Entry hash and `prev_hash` of receipts, by key row and `seq`.
pub(super) type Placed = HashMap<(i64, u64), (Sha256Hash, Sha256Hash)>;

/// A receipt at or below the head that is not stored.
pub(super) struct Late<'a> {
    pub(super) place: Place,
    pub(super) node: &'a NodeSession,
    pub(super) receipt: &'a Verified,
    pub(super) link: Link,
}

impl<'a> Plan<'a> {
    /// Decides on the late receipts, once all others are.
    pub(super) async fn settle_late(&mut self) -> Result<(), StoreError> {
        let mut late = std::mem::take(&mut self.late);
        if late.is_empty() {
            return Ok(());
        }
        late.sort_by_key(|late| (late.receipt.key, Reverse(late.link.seq)));
        self.load_gaps(late.iter().map(|late| late.receipt.key))
            .await?;
        let after: Vec<(i64, i64)> = late
            .iter()
            .map(|late| (late.receipt.key, seq_column(late.link.seq + 1)))
            .collect();
        let followers = self.tx.entries_at(&after).await?;
        let before: Vec<(i64, i64)> = late
            .iter()
            .map(|late| {
                (
                    late.receipt.key,
                    seq_column(late.link.seq.saturating_sub(1)),
                )
            })
            .collect();
        let before = self.tx.hashes_at(&before).await?;
        self.stored.extend(before);
        let names: Vec<(&str, &str)> = late.iter().map(|late| late.receipt.name()).collect();
        let stored = self.tx.by_request(&names).await?;
        self.requests.extend(stored);
        for one in late {
            let fate = self.late(&one, &followers);
            self.set_fate(one.place, fate);
        }
        Ok(())
    }

    /// Whether its `prev_hash` is the receipt before it, where that is known.
    fn follows_what_is_there(&self, key: i64, link: Link) -> bool {
        let before = link.seq.saturating_sub(1);
        let in_batch = self.placed.get(&(key, before)).map(|(hash, _)| hash);
        let stored = self.stored.get(&(key, seq_column(before)));
        in_batch
            .or(stored)
            .is_none_or(|hash| *hash == link.prev_hash)
    }

    fn late(&mut self, late: &Late<'a>, followers: &HashMap<(i64, i64), Vec<u8>>) -> Fate {
        let Late {
            place,
            node,
            receipt,
            link,
        } = *late;
        let (key, seq) = (receipt.key, link.seq);
        if let Some((hash, _)) = self.placed.get(&(key, seq)).copied() {
            // Twice in one batch.
            return if hash == link.entry_hash {
                Fate::Duplicate
            } else {
                self.fork(node, receipt, link, "another receipt has its seq")
            };
        }
        let in_batch = |gap: &&Found<'_>| {
            gap.key == key && (gap.from_seq..=gap.to_seq).contains(&seq_column(seq))
        };
        let found = self.found.iter().find(in_batch).map(|gap| gap.reason);
        let Some(reason) = self.gaps.reason(key, seq_column(seq)).or(found) else {
            // In no gap and not stored: it was stored, and its row has had its time.
            return Fate::Archived;
        };
        if reason == ErrorType::ForkedChain.as_str() || reason == SEVERAL {
            let message =
                format!("the place of seq {seq} was given up for good after refused receipts");
            return refusal(ErrorType::ForkedChain, &message);
        }
        let in_batch = self.placed.get(&(key, seq + 1)).map(|(_, prev)| *prev);
        let named = in_batch.or_else(|| {
            let entry = followers.get(&(key, seq_column(seq + 1)))?;
            Receipt::parse(entry).ok()?.fields.prev_hash
        });
        match named {
            Some(hash) if hash == link.entry_hash && self.follows_what_is_there(key, link) => {
                self.insert_new(Some(place), node, receipt, Some(link))
            }
            Some(_) => self.fork(
                node,
                receipt,
                link,
                "its neighbours in the chain name another one",
            ),
            None => {
                let message = format!(
                    "the place of seq {seq} was given up, and no stored receipt names this one; send those after it first"
                );
                refusal(ErrorType::Conflict, &message)
            }
        }
    }
}
