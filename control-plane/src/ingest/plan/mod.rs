//! What a batch of checked receipts means for chains and rows, decided inside its transaction.
//!
//! The chain rule is `protocol::chain`. A refused receipt never blocks those after it: its place is recorded
//! as a gap and the head moves past it. What is stored already is read with a few queries per batch, however many
//! receipts of it were sent before.
//!
//! | module | owns |
//! |---|---|
//! | `chain` | where a receipt stands in its chain |
//! | `insert` | which receipts become rows |
//! | `blame` | what is refused, and what that means for its node |
//! | `gaps` | missing places, merged and bounded |
//! | `late` | receipts for places that were given up |
//! | `flush` | writing it all |
//! | `steps` | places that every transaction passes, in this order |

mod blame;
mod chain;
mod flush;
mod gaps;
mod insert;
mod late;
mod steps;

use super::held::Held;
use super::verify::{Checked, Verified};
use super::{Fate, ReceiptVerdict, Submission};
use crate::app::NodeSession;
use dgon_control_plane_model::lifecycle::{Reason, State, Transition, Violation};
use dgon_control_plane_model::rollup::ReceiptFacts;
use dgon_control_plane_store::{Evidence, IngestTx, StoreError};
use dgon_protocol::chain::{Head, Link};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Need;
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::Sha256Hash;
use gaps::{Found, Gaps};
use late::{Late, Placed};
use std::collections::{BTreeMap, HashMap, HashSet};
pub(super) use steps::Step;

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
    /// What the receipts add to the sums of open minutes.
    pub(super) facts: Vec<ReceiptFacts>,
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
    /// Whether the minute of now is counted in rows.
    pub(super) is_sealed: bool,
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
    is_sealed: bool,
    /// Heads that need not be read.
    known: &'a HashMap<i64, Head>,
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
        known: &'a HashMap<i64, Head>,
        unplaced: HashMap<i64, u64>,
        time: Time,
    ) -> Self {
        Step::Begun.passed();
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
            is_sealed: time.is_sealed,
            known,
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
        let (transitions, facts) = self.flush().await?;
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
            facts,
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
        let known = keys.iter();
        let known = known.filter_map(|key| Some((*key, *self.known.get(key)?)));
        self.heads = known.collect();
        keys.retain(|key| !self.heads.contains_key(key));
        self.heads.extend(self.tx.heads(&keys).await?);
        self.check_epoch();
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

    fn gap(&mut self, node: &'a NodeSession, key: i64, from: u64, to: u64, reason: &'static str) {
        self.found.push(Found {
            node,
            key,
            from_seq: seq_column(from),
            to_seq: seq_column(to),
            reason,
        });
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
