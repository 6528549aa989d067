//! Where a receipt stands in its chain, and how the chain goes on with it.

use super::late::Late;
use super::{Place, Plan, UNKNOWN, Waiting, refusal, seq_column};
use crate::app::NodeSession;
use crate::ingest::Fate;
use crate::ingest::verify::Verified;
use dgon_protocol::chain::{Head, Judgement, Link, judge};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Need;
use dgon_protocol::receipt::Sha256Hash;

/// How far a receipt outside of a chain may end in the future, s: a clock that is set badly, not a trick.
const FUTURE_S: i64 = 86_400;

impl<'a> Plan<'a> {
    pub(super) fn verified(
        &mut self,
        place: Place,
        node: &'a NodeSession,
        receipt: &'a Verified,
    ) -> Fate {
        let Some(link) = receipt.link() else {
            if receipt.fields.ts_end < self.expired_before_s {
                // A chain says whether a receipt was here before; for this one only its row did, which is gone.
                let message = "the receipt is older than the time that receipts are kept for";
                return refusal(ErrorType::ReceiptExpired, message);
            }
            if receipt.fields.ts_end > self.now_ms / 1000 + FUTURE_S {
                // Else it would outlive its row, and be new again when that is gone.
                let message = "the receipt ends in the future; set the node's clock";
                return refusal(ErrorType::InvalidReceipt, message);
            }
            return self.insert_new(Some(place), node, receipt, None);
        };
        let key = receipt.key;
        let mut judgement = judge(self.head(key), link);
        if let Judgement::Ahead { from, to } = judgement {
            let refused = self.unplaced.get(&key).copied().unwrap_or(0);
            if refused > to - from {
                // What is missing was here and was no receipt: waiting for it would wait for ever.
                self.pass_over_unplaced(node, key, (from, to), link.prev_hash);
                judgement = judge(self.head(key), link);
            }
        }
        match judgement {
            Judgement::Append | Judgement::Fork => {
                let fate = self.step(Some(place), node, receipt, link);
                self.drain(key);
                fate
            }
            Judgement::Seen => self.seen(place, node, receipt, link),
            Judgement::Ahead { from, to } => {
                let chain = self.waiting.entry(key).or_default();
                let first = chain.entry(link.seq).or_insert(Waiting {
                    place,
                    node,
                    receipt,
                });
                let held = self
                    .held
                    .chain(key)
                    .and_then(|chain| chain.receipts.get(&link.seq));
                let others = [first.receipt.entry_hash].into_iter();
                if others
                    .chain(held.map(|held| held.entry_hash))
                    .any(|other| other != link.entry_hash)
                {
                    if first.place == place {
                        chain.remove(&link.seq);
                    }
                    return self.fork(node, receipt, link, "another receipt with its seq waits");
                }
                // The first gap is the one to fill; later ones show when it is. `need` speaks of the chain in use.
                if key == node.node_key_id {
                    self.needs[place.0].get_or_insert(Need { from, to });
                }
                Fate::Held
            }
        }
    }

    /// Gives up places whose bytes were no receipts, up to the first receipt that waits among them.
    pub(super) fn pass_over_unplaced(
        &mut self,
        node: &'a NodeSession,
        key: i64,
        (from, to): (u64, u64),
        prev_hash: Sha256Hash,
    ) {
        let held = self.held;
        let waits = self.waiting.get(&key);
        let waiting = waits.and_then(|chain| chain.range(from..=to).next());
        let waiting = waiting.and_then(|(_, waiting)| waiting.receipt.link());
        let held = held
            .chain(key)
            .and_then(|chain| chain.receipts.range(from..=to).next());
        let held = held.and_then(|(_, receipt)| receipt.link());
        let first = [waiting, held]
            .into_iter()
            .flatten()
            .min_by_key(|link| link.seq);
        let (last, entry_hash) = match first {
            Some(link) => (link.seq - 1, link.prev_hash),
            None => (to, prev_hash),
        };
        if last >= from {
            self.gap(node, key, from, last, ErrorType::InvalidReceipt.as_str());
        }
        let head = Head {
            seq: last,
            entry_hash,
        };
        self.move_head(key, head);
        self.drain(key);
    }

    /// A receipt that is next by `seq`: appended, or refused and passed over.
    pub(super) fn step(
        &mut self,
        place: Option<Place>,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Link,
    ) -> Fate {
        let after = Head {
            seq: link.seq,
            entry_hash: link.entry_hash,
        };
        let key = receipt.key;
        let head = self.head(key);
        let follows =
            link.prev_hash == head.entry_hash || (head.seq > 0 && head.entry_hash == UNKNOWN);
        let fate = if follows {
            self.append(place, node, receipt, link)
        } else {
            self.fork(
                node,
                receipt,
                link,
                "its prev_hash is not the end of the chain",
            )
        };
        if let Fate::Refused { kind, .. } = &fate {
            self.gap(node, key, link.seq, link.seq, kind.as_str());
            if place.is_none() {
                self.refuse_held(node, receipt, fate.clone());
            }
        } else if place.is_none() {
            self.held_stored.insert((key, link.seq));
        }
        self.move_head(key, after);
        fate
    }

    /// A receipt for a place at or below the head.
    pub(super) fn seen(
        &mut self,
        place: Place,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Link,
    ) -> Fate {
        let in_batch = self
            .placed
            .get(&(receipt.key, link.seq))
            .map(|(hash, _)| hash);
        let stored = self.stored.get(&(receipt.key, seq_column(link.seq)));
        match in_batch.or(stored) {
            Some(hash) if *hash == receipt.entry_hash => Fate::Duplicate,
            Some(_) => self.fork(node, receipt, link, "another receipt has its seq"),
            None => {
                self.late.push(Late {
                    place,
                    node,
                    receipt,
                    link,
                });
                // Until `settle_late`.
                Fate::Held
            }
        }
    }

    /// Goes on along a chain with receipts that waited for what came now.
    pub(super) fn drain(&mut self, key: i64) {
        let held = self.held;
        loop {
            let next = self.heads.get(&key).map_or(1, |head| head.seq + 1);
            let waiting = self
                .waiting
                .get_mut(&key)
                .and_then(|chain| chain.remove(&next));
            if let Some(Waiting {
                place,
                node,
                receipt,
            }) = waiting
            {
                let Some(link) = receipt.link() else { continue };
                let fate = self.step(Some(place), node, receipt, link);
                self.set_fate(place, fate);
                continue;
            }
            let Some(chain) = held.chain(key) else { return };
            let Some(receipt) = chain.receipts.get(&next) else {
                return;
            };
            let Some(link) = receipt.link() else { return };
            self.step(None, &chain.node, receipt, link);
        }
    }

    /// What is missing before the first held receipt has had its time: a gap.
    pub(super) fn give_up_waiting(&mut self, key: i64) {
        let held = self.held;
        let Some(chain) = held.chain(key) else { return };
        let Some((first, receipt)) = chain.receipts.first_key_value() else {
            return;
        };
        let Some(link) = receipt.link() else { return };
        let head = self.head(key);
        if *first > head.seq + 1 {
            self.gap(&chain.node, key, head.seq + 1, first - 1, "missing");
            self.move_head(
                key,
                Head {
                    seq: first - 1,
                    entry_hash: link.prev_hash,
                },
            );
        }
        self.drain(key);
    }
}
