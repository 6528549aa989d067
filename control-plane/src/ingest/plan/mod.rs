//! What a batch of checked receipts means for chains and rows, decided inside its transaction.
//!
//! The chain rule is `protocol::chain`. A refused receipt never blocks those after it: its place is recorded
//! as a gap and the head moves past it. What is stored already is read with a few queries per batch, however many
//! receipts of it were sent before.
//!
//! | module | owns |
//! |---|---|
//! | `gaps` | missing places, merged and bounded |
//! | `late` | receipts for places that were given up |
//! | `flush` | writing it all |

mod flush;
mod gaps;
mod late;

use super::held::Held;
use super::verify::{Checked, Refused, Verified};
use super::{Fate, ReceiptVerdict, Submission};
use crate::app::NodeSession;
use dgon_control_plane_model::lifecycle::{Reason, State, Transition, Violation};
use dgon_control_plane_store::{Evidence, IngestTx, StoreError};
use dgon_protocol::chain::{Head, Judgement, Link, judge};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Need;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::Sha256Hash;
use gaps::{Found, Gaps};
use late::{Late, Placed};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How far a receipt outside of a chain may end in the future, s: a clock that is set badly, not a trick.
const FUTURE_S: i64 = 86_400;
/// Evidence of one node that one batch keeps: the first is what a person looks at.
const EVIDENCE_PER_BATCH: usize = 8;

/// Hash of a chain's end where the last place holds bytes that were refused: any receipt may follow. No
/// receipt hashes to it, and an empty chain has `seq` 0.
const UNKNOWN: Sha256Hash = Sha256Hash::ZERO;

/// Where an item stands: submission, position in it.
pub(super) type Place = (usize, usize);

/// What a written plan leaves to do in memory after the commit.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) fates: Vec<Vec<Fate>>,
    pub(super) needs: Vec<Option<Need>>,
    pub(super) heads: HashMap<i64, Head>,
    pub(super) hold: Vec<(Place, u64)>,
    pub(super) unplaced: HashMap<i64, u64>,
    /// Changes of state that violations made, durable with the rest.
    pub(super) transitions: Vec<Changed>,
    /// Receipts that were held and are stored now, by key row and `seq`.
    pub(super) held_stored: HashSet<(i64, u64)>,
    /// Receipts that were held and are refused now that their turn came.
    pub(super) held_refused: Vec<HeldRefused>,
}

/// A change of state.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) node_id: NodeId,
    pub(super) old: (State, Reason),
    /// `None` where it was stopped already: an earlier try of this batch may have done it.
    pub(super) next: Option<Transition>,
}

/// A held receipt that is refused: its sender was told nothing yet.
#[derive(Debug)]
pub(super) struct HeldRefused {
    pub(super) node_id: NodeId,
    pub(super) verdict: ReceiptVerdict,
}

struct Waiting<'a> {
    place: Place,
    node: &'a NodeSession,
    receipt: &'a Verified,
}

struct Insert<'a> {
    /// Where its answer goes; `None` for one that was held.
    place: Option<Place>,
    node: &'a NodeSession,
    receipt: &'a Verified,
    link: Option<Link>,
}

/// When a batch is decided on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    /// Now, unix ms.
    pub(super) now_ms: i64,
    /// Receipts that ended before this, unix s, are not kept any more.
    pub(super) expired_before_s: i64,
}

/// One batch on its way through one transaction.
pub(super) struct Plan<'a> {
    tx: &'a mut IngestTx,
    submissions: &'a [Submission],
    /// Items of each submission that are looked at.
    items: usize,
    held: &'a Held,
    now_ms: i64,
    expired_before_s: i64,
    heads: HashMap<i64, Head>,
    moved: HashSet<i64>,
    /// Hashes of stored receipts at places that this batch names again.
    stored: HashMap<(i64, i64), Sha256Hash>,
    /// Hashes of stored receipts by node and request id, for receipts outside of chains and late ones.
    requests: HashMap<(String, String), Sha256Hash>,
    inserts: Vec<Insert<'a>>,
    /// Request ids of this batch.
    taken: HashMap<(&'a str, &'a str), Sha256Hash>,
    /// Hash and `prev_hash` of the receipts of this batch at places of chains.
    placed: Placed,
    waiting: HashMap<i64, BTreeMap<u64, Waiting<'a>>>,
    late: Vec<Late<'a>>,
    /// Refused receipts without a readable place since the chain last moved.
    unplaced: HashMap<i64, u64>,
    evidence: Vec<Evidence>,
    found: Vec<Found<'a>>,
    gaps: Gaps,
    violations: BTreeMap<NodeId, (Violation, String)>,
    fates: Vec<Vec<Fate>>,
    held_refused: Vec<HeldRefused>,
    held_stored: HashSet<(i64, u64)>,
    needs: Vec<Option<Need>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        tx: &'a mut IngestTx,
        submissions: &'a [Submission],
        held: &'a Held,
        unplaced: HashMap<i64, u64>,
        time: Time,
    ) -> Self {
        let room = submissions
            .iter()
            .map(|submission| submission.items.len())
            .sum();
        Self {
            tx,
            submissions,
            items: usize::MAX,
            held,
            now_ms: time.now_ms,
            expired_before_s: time.expired_before_s,
            heads: HashMap::new(),
            moved: HashSet::new(),
            stored: HashMap::new(),
            requests: HashMap::new(),
            inserts: Vec::with_capacity(room),
            taken: HashMap::with_capacity(room),
            placed: HashMap::with_capacity(room),
            waiting: HashMap::new(),
            late: Vec::new(),
            unplaced,
            evidence: Vec::new(),
            found: Vec::new(),
            gaps: Gaps::default(),
            violations: BTreeMap::new(),
            fates: Vec::with_capacity(submissions.len()),
            held_refused: Vec::new(),
            held_stored: HashSet::new(),
            needs: vec![None; submissions.len()],
        }
    }

    /// Looks at the first items of each submission alone, to find which of them the database refuses.
    pub(super) fn first(mut self, items: usize) -> Self {
        self.items = items;
        self
    }

    /// Decides on everything and writes it. Chains in `overdue` stop waiting for what is missing.
    pub(super) async fn write(mut self, overdue: &[i64]) -> Result<Written, StoreError> {
        self.load(overdue).await?;
        for key in overdue {
            self.give_up_waiting(*key);
        }
        let submissions = self.submissions;
        for (index, submission) in submissions.iter().enumerate() {
            let items = submission.items.len().min(self.items);
            self.fates.push(Vec::with_capacity(items));
            for (position, item) in submission.items.iter().take(items).enumerate() {
                let fate = match item {
                    Checked::Verified(receipt) => {
                        self.verified((index, position), &submission.node, receipt)
                    }
                    Checked::Refused(refused) => self.refused(&submission.node, refused),
                };
                self.fates[index].push(fate);
            }
        }
        self.settle_late().await?;
        let transitions = self.flush().await?;
        let hold = self
            .waiting
            .values()
            .flat_map(|chain| chain.iter().map(|(seq, waiting)| (waiting.place, *seq)))
            .collect();
        Ok(Written {
            fates: self.fates,
            needs: self.needs,
            heads: self.heads,
            hold,
            unplaced: self.unplaced,
            transitions,
            held_stored: self.held_stored,
            held_refused: self.held_refused,
        })
    }

    /// Reads what the decisions need: heads, and what is stored of that which comes again.
    async fn load(&mut self, overdue: &[i64]) -> Result<(), StoreError> {
        let submissions = self.submissions;
        let items = || {
            submissions
                .iter()
                .flat_map(|s| s.items.iter().take(self.items))
        };
        let mut keys: Vec<i64> = items().map(Checked::key).collect();
        keys.extend(submissions.iter().map(|s| s.node.node_key_id));
        keys.extend_from_slice(overdue);
        keys.sort_unstable();
        keys.dedup();
        let (mut places, mut names) = (Vec::new(), Vec::new());
        self.heads = self.tx.heads(&keys).await?;
        for item in items() {
            let Checked::Verified(receipt) = item else {
                continue;
            };
            match receipt.link() {
                Some(link) if link.seq <= self.head(receipt.key).seq => {
                    places.push((receipt.key, seq_column(link.seq)));
                }
                Some(_) => {}
                None => names.push(receipt.name()),
            }
        }
        self.stored = self.tx.hashes_at(&places).await?;
        self.requests = self.tx.by_request(&names).await?;
        Ok(())
    }

    fn set_fate(&mut self, place: Place, fate: Fate) {
        let fates = self.fates.get_mut(place.0);
        if let Some(slot) = fates.and_then(|fates| fates.get_mut(place.1)) {
            *slot = fate;
        }
    }

    fn head(&self, key: i64) -> Head {
        self.heads.get(&key).copied().unwrap_or(Head::EMPTY)
    }

    fn move_head(&mut self, key: i64, head: Head) {
        self.heads.insert(key, head);
        self.moved.insert(key);
        self.unplaced.remove(&key);
    }

    fn verified(&mut self, place: Place, node: &'a NodeSession, receipt: &'a Verified) -> Fate {
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
    fn pass_over_unplaced(
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
    fn step(
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
    fn seen(
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
    fn drain(&mut self, key: i64) {
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
    fn give_up_waiting(&mut self, key: i64) {
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

    /// Appends to a chain. Its request id is new, as almost all are: what is stored shows at the insert.
    fn append(
        &mut self,
        place: Option<Place>,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Link,
    ) -> Fate {
        if self.taken.contains_key(&receipt.name()) {
            return self.conflict(node, receipt);
        }
        self.push(place, node, receipt, Some(link))
    }

    /// Inserts a receipt outside of the order of a chain, whose request id was looked up.
    fn insert_new(
        &mut self,
        place: Option<Place>,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Option<Link>,
    ) -> Fate {
        let (node_id, request_id) = receipt.name();
        let stored = self
            .requests
            .get(&(node_id.to_owned(), request_id.to_owned()));
        match self.taken.get(&receipt.name()).or(stored) {
            Some(hash) if *hash == receipt.entry_hash => Fate::Duplicate,
            Some(_) => self.conflict(node, receipt),
            None => self.push(place, node, receipt, link),
        }
    }

    fn push(
        &mut self,
        place: Option<Place>,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Option<Link>,
    ) -> Fate {
        self.taken.insert(receipt.name(), receipt.entry_hash);
        if let Some(link) = link {
            let hashes = (link.entry_hash, link.prev_hash);
            self.placed.insert((receipt.key, link.seq), hashes);
        }
        self.inserts.push(Insert {
            place,
            node,
            receipt,
            link,
        });
        Fate::Accepted
    }

    fn conflict(&mut self, node: &NodeSession, receipt: &Verified) -> Fate {
        self.keep_evidence(node, ErrorType::ConflictingReceipt, receipt);
        let request_id = &receipt.fields.request_id;
        self.violated(node, Violation::ConflictingReceipt, request_id);
        let message = "the node has a stored receipt with this request_id and other bytes";
        refusal(ErrorType::ConflictingReceipt, message)
    }

    fn refuse_held(&mut self, node: &NodeSession, receipt: &Verified, fate: Fate) {
        self.held_refused.push(HeldRefused {
            node_id: node.node_id.clone(),
            verdict: ReceiptVerdict {
                request_id: Some(receipt.fields.request_id.clone()),
                fate,
            },
        });
    }

    fn fork(&mut self, node: &NodeSession, receipt: &Verified, link: Link, why: &str) -> Fate {
        self.keep_evidence(node, ErrorType::ForkedChain, receipt);
        self.violated(node, Violation::ForkedChain, &receipt.fields.request_id);
        refusal(
            ErrorType::ForkedChain,
            &format!("the receipt of seq {} forks the chain: {why}", link.seq),
        )
    }

    /// Bytes that were refused before the chain was looked at.
    fn refused(&mut self, node: &'a NodeSession, refused: &Refused) -> Fate {
        let keeps = matches!(
            refused.kind,
            ErrorType::InvalidSignature | ErrorType::InvalidKey
        );
        if keeps {
            self.keep(Evidence {
                node_id: node.node_id.clone(),
                kind: refused.kind.as_str(),
                request_id: refused.request_id.clone(),
                seq: refused.link.map(|link| seq_column(link.seq)),
                at_ms: self.now_ms,
                session_id: node.session_id.clone(),
                bytes: refused.bytes.clone(),
            });
        }
        if refused.kind == ErrorType::InvalidSignature {
            let named = refused.request_id.as_ref().map_or("", RequestId::as_str);
            let detail = format!("bad signature on receipt {named}");
            self.violations
                .entry(node.node_id.clone())
                .or_insert((Violation::InvalidSignature, detail));
        }
        // A chain that was given up has its end; what is refused there leaves no gap in it.
        if refused.kind != ErrorType::InvalidKey {
            self.pass_over(node, refused);
        }
        refusal(refused.kind, &refused.message)
    }

    /// Refused bytes never block those after them.
    fn pass_over(&mut self, node: &'a NodeSession, refused: &Refused) {
        let key = refused.key;
        let Some(link) = refused.link else {
            *self.unplaced.entry(key).or_default() += 1;
            return;
        };
        if link.seq == self.head(key).seq + 1 {
            self.gap(node, key, link.seq, link.seq, refused.kind.as_str());
            // Nobody vouches for these bytes, so nobody knows what the next receipt will refer to.
            let unknown = Head {
                seq: link.seq,
                entry_hash: UNKNOWN,
            };
            self.move_head(key, unknown);
            self.drain(key);
        }
    }

    fn gap(&mut self, node: &'a NodeSession, key: i64, from: u64, to: u64, reason: &'static str) {
        self.found.push(Found {
            node,
            key,
            from_seq: seq_column(from),
            to_seq: seq_column(to),
            reason,
        });
    }

    fn keep(&mut self, evidence: Evidence) {
        let same = |kept: &&Evidence| kept.node_id == evidence.node_id;
        if self.evidence.iter().filter(same).count() < EVIDENCE_PER_BATCH {
            self.evidence.push(evidence);
        }
    }

    fn keep_evidence(&mut self, node: &NodeSession, kind: ErrorType, receipt: &Verified) {
        self.keep(Evidence {
            node_id: node.node_id.clone(),
            kind: kind.as_str(),
            request_id: Some(receipt.fields.request_id.clone()),
            seq: receipt.fields.seq,
            at_ms: self.now_ms,
            session_id: node.session_id.clone(),
            bytes: receipt.entry.clone(),
        });
    }

    fn violated(&mut self, node: &NodeSession, violation: Violation, request_id: &RequestId) {
        self.violations
            .entry(node.node_id.clone())
            .or_insert_with(|| (violation, format!("receipt {request_id}")));
    }
}

fn refusal(kind: ErrorType, message: &str) -> Fate {
    Fate::Refused {
        kind,
        message: message.to_owned(),
    }
}

/// A `seq` of a receipt was read from an `i64`, so it goes back into one.
fn seq_column(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
