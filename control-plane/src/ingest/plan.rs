//! What a batch of checked receipts means for chains and rows, decided inside its transaction.
//!
//! The chain rule is `protocol::chain`. A refused receipt never blocks those after it: its place is recorded
//! as a gap and the head moves past it. The first run of a batch trusts that request ids are new, because
//! almost all are; when the insert shows otherwise the batch is planned once more, carefully, with a look-up
//! per receipt.

use super::held::Held;
use super::verify::{Checked, Refused, Verified};
use super::{Fate, Submission};
use crate::app::NodeSession;
use dgon_control_plane_model::lifecycle::Violation;
use dgon_control_plane_store::{Evidence, Gap, IngestTx, NewReceipt, StoreError};
use dgon_protocol::chain::{Head, Judgement, Link, judge};
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::Need;
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::Sha256Hash;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Hash of a chain's end where the last place holds bytes that were refused: any receipt may follow. No
/// receipt hashes to it, and an empty chain has `seq` 0.
const UNKNOWN: Sha256Hash = Sha256Hash::ZERO;

/// Where an item stands: submission, position in it.
pub(super) type Place = (usize, usize);

/// Why a plan did not come to its end.
#[derive(Debug)]
pub(super) enum PlanError {
    /// The database refused.
    Store(StoreError),
    /// Request ids or places were taken: plan again, carefully.
    Taken,
}

impl From<StoreError> for PlanError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a written plan leaves to do in memory after the commit.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) fates: Vec<Vec<Fate>>,
    pub(super) needs: Vec<Option<Need>>,
    pub(super) heads: HashMap<i64, Head>,
    pub(super) hold: Vec<(Place, u64)>,
    pub(super) unplaced: HashMap<i64, u64>,
    pub(super) violations: Vec<(NodeId, Violation, String)>,
}

struct Waiting<'a> {
    place: Place,
    node: &'a NodeSession,
    receipt: &'a Verified,
}

struct Insert<'a> {
    receipt: &'a Verified,
    seq: Option<i64>,
}

/// One batch on its way through one transaction.
pub(super) struct Plan<'a> {
    tx: &'a mut IngestTx,
    submissions: &'a [Submission],
    held: &'a Held,
    now_ms: i64,
    careful: bool,
    heads: HashMap<i64, Head>,
    moved: HashSet<i64>,
    inserts: Vec<Insert<'a>>,
    taken: HashMap<&'a RequestId, Sha256Hash>,
    waiting: HashMap<i64, BTreeMap<u64, Waiting<'a>>>,
    /// Refused receipts without a readable place since the chain last moved.
    unplaced: HashMap<i64, u64>,
    evidence: Vec<Evidence>,
    gaps: Vec<Gap>,
    violations: Vec<(NodeId, Violation, String)>,
    fates: Vec<Vec<Fate>>,
    needs: Vec<Option<Need>>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        tx: &'a mut IngestTx,
        submissions: &'a [Submission],
        held: &'a Held,
        unplaced: HashMap<i64, u64>,
        now_ms: i64,
        careful: bool,
    ) -> Self {
        let room = submissions
            .iter()
            .map(|submission| submission.items.len())
            .sum();
        Self {
            tx,
            submissions,
            held,
            now_ms,
            careful,
            heads: HashMap::new(),
            moved: HashSet::new(),
            inserts: Vec::with_capacity(room),
            taken: HashMap::new(),
            waiting: HashMap::new(),
            unplaced,
            evidence: Vec::new(),
            gaps: Vec::new(),
            violations: Vec::new(),
            fates: Vec::with_capacity(submissions.len()),
            needs: vec![None; submissions.len()],
        }
    }

    /// Decides on everything and writes it. Chains in `overdue` stop waiting for what is missing.
    pub(super) async fn write(mut self, overdue: &[i64]) -> Result<Written, PlanError> {
        let mut keys: Vec<i64> = self
            .submissions
            .iter()
            .flat_map(|s| {
                let items = s.items.iter().map(Checked::key);
                items.chain([s.node.node_key_id])
            })
            .collect();
        keys.extend_from_slice(overdue);
        keys.sort_unstable();
        keys.dedup();
        self.heads = self.tx.heads(&keys).await?;
        for key in overdue {
            self.give_up_waiting(*key).await?;
        }
        let submissions = self.submissions;
        for (index, submission) in submissions.iter().enumerate() {
            self.fates.push(Vec::with_capacity(submission.items.len()));
            for (position, item) in submission.items.iter().enumerate() {
                let fate = match item {
                    Checked::Verified(receipt) => {
                        self.verified((index, position), &submission.node, receipt)
                            .await?
                    }
                    Checked::Refused(refused) => self.refused(&submission.node, refused).await?,
                };
                self.fates[index].push(fate);
            }
        }
        self.flush().await?;
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
            violations: self.violations,
        })
    }

    fn head(&self, key: i64) -> Head {
        self.heads.get(&key).copied().unwrap_or(Head::EMPTY)
    }

    fn move_head(&mut self, key: i64, head: Head) {
        self.heads.insert(key, head);
        self.moved.insert(key);
        self.unplaced.remove(&key);
    }

    async fn verified(
        &mut self,
        place: Place,
        node: &'a NodeSession,
        receipt: &'a Verified,
    ) -> Result<Fate, PlanError> {
        let Some(link) = receipt.link() else {
            return self.insert(node, receipt, None).await;
        };
        let key = receipt.key;
        let mut judgement = judge(self.head(key), link);
        if let Judgement::Ahead { from, to } = judgement {
            let refused = self.unplaced.get(&key).copied().unwrap_or(0);
            if refused > to - from {
                // What is missing was here and was no receipt: waiting for it would wait for ever.
                self.gap(node, key, from, to, ErrorType::InvalidReceipt.as_str());
                self.move_head(
                    key,
                    Head {
                        seq: to,
                        entry_hash: link.prev_hash,
                    },
                );
                judgement = judge(self.head(key), link);
            }
        }
        match judgement {
            Judgement::Append | Judgement::Fork => {
                let fate = self.step(node, receipt, link).await?;
                self.drain(key).await?;
                Ok(fate)
            }
            Judgement::Seen => self.seen(node, receipt, link).await,
            Judgement::Ahead { from, to } => {
                let chain = self.waiting.entry(key).or_default();
                chain.entry(link.seq).or_insert(Waiting {
                    place,
                    node,
                    receipt,
                });
                // The first gap is the one to fill; later ones show when it is. `need` speaks of the chain in use.
                if key == node.node_key_id {
                    self.needs[place.0].get_or_insert(Need { from, to });
                }
                Ok(Fate::Held)
            }
        }
    }

    /// A receipt that is next by `seq`: appended, or refused and passed over.
    async fn step(
        &mut self,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Link,
    ) -> Result<Fate, PlanError> {
        let after = Head {
            seq: link.seq,
            entry_hash: link.entry_hash,
        };
        let key = receipt.key;
        let head = self.head(key);
        let follows =
            link.prev_hash == head.entry_hash || (head.seq > 0 && head.entry_hash == UNKNOWN);
        let fate = if follows {
            self.insert(node, receipt, Some(seq_column(link.seq)))
                .await?
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
        }
        self.move_head(key, after);
        Ok(fate)
    }

    /// A receipt for a place at or below the head.
    async fn seen(
        &mut self,
        node: &'a NodeSession,
        receipt: &'a Verified,
        link: Link,
    ) -> Result<Fate, PlanError> {
        let seq = seq_column(link.seq);
        let in_batch =
            |insert: &&Insert<'_>| insert.receipt.key == receipt.key && insert.seq == Some(seq);
        let stored = match self.inserts.iter().find(in_batch) {
            Some(insert) => Some(insert.receipt.entry_hash),
            None => self.tx.at_seq(receipt.key, seq).await?,
        };
        match stored {
            Some(hash) if hash == receipt.entry_hash => Ok(Fate::Duplicate),
            Some(_) => Ok(self.fork(node, receipt, link, "another receipt has its seq")),
            None => self.late(node, receipt, seq).await,
        }
    }

    /// A receipt for a place that was given up: as good as ever where it was missing, and as bad as before where it
    /// was refused as a fork.
    async fn late(
        &mut self,
        node: &'a NodeSession,
        receipt: &'a Verified,
        seq: i64,
    ) -> Result<Fate, PlanError> {
        let place = (&node.node_id, receipt.key);
        let reason = self.tx.gap_reason(place, seq).await?;
        if reason.as_deref() == Some(ErrorType::ForkedChain.as_str()) {
            let message =
                format!("the receipt of seq {seq} was refused before: it forks the chain");
            return Ok(refusal(ErrorType::ForkedChain, &message));
        }
        self.insert_checked(node, receipt, Some(seq)).await
    }

    /// Goes on along a chain with receipts that waited for what came now.
    async fn drain(&mut self, key: i64) -> Result<(), PlanError> {
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
                let fate = self.step(node, receipt, link).await?;
                if let Some(slot) = self
                    .fates
                    .get_mut(place.0)
                    .and_then(|fates| fates.get_mut(place.1))
                {
                    *slot = fate;
                }
                continue;
            }
            let held = self.held;
            let Some(chain) = held.chain(key) else {
                return Ok(());
            };
            let Some(receipt) = chain.receipts.get(&next) else {
                return Ok(());
            };
            let Some(link) = receipt.link() else {
                return Ok(());
            };
            self.step(&chain.node, receipt, link).await?;
        }
    }

    /// What is missing before the first held receipt has had its time: a gap.
    async fn give_up_waiting(&mut self, key: i64) -> Result<(), PlanError> {
        let held = self.held;
        let Some(chain) = held.chain(key) else {
            return Ok(());
        };
        let Some((first, receipt)) = chain.receipts.first_key_value() else {
            return Ok(());
        };
        let Some(link) = receipt.link() else {
            return Ok(());
        };
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
        self.drain(key).await
    }

    async fn insert(
        &mut self,
        node: &'a NodeSession,
        receipt: &'a Verified,
        seq: Option<i64>,
    ) -> Result<Fate, PlanError> {
        if self.careful {
            return self.insert_checked(node, receipt, seq).await;
        }
        self.inserts.push(Insert { receipt, seq });
        Ok(Fate::Accepted)
    }

    /// Inserts after a look at who has the request id.
    async fn insert_checked(
        &mut self,
        node: &'a NodeSession,
        receipt: &'a Verified,
        seq: Option<i64>,
    ) -> Result<Fate, PlanError> {
        let request_id = &receipt.fields.request_id;
        let stored = match self.taken.get(request_id) {
            Some(hash) => Some(*hash),
            None => self.tx.by_request(request_id).await?,
        };
        match stored {
            Some(hash) if hash == receipt.entry_hash => Ok(Fate::Duplicate),
            Some(_) => {
                let message = "a receipt with this request_id and other bytes is stored";
                self.keep_evidence(node, ErrorType::ConflictingReceipt, receipt);
                self.violated(node, Violation::ConflictingReceipt, request_id);
                Ok(refusal(ErrorType::ConflictingReceipt, message))
            }
            None => {
                self.taken.insert(request_id, receipt.entry_hash);
                self.inserts.push(Insert { receipt, seq });
                Ok(Fate::Accepted)
            }
        }
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
    async fn refused(
        &mut self,
        node: &'a NodeSession,
        refused: &Refused,
    ) -> Result<Fate, PlanError> {
        let keeps = matches!(
            refused.kind,
            ErrorType::InvalidSignature | ErrorType::InvalidKey
        );
        if keeps {
            self.evidence.push(Evidence {
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
                .push((node.node_id.clone(), Violation::InvalidSignature, detail));
        }
        // A chain that was given up has its end; what is refused there leaves no gap in it.
        if refused.kind != ErrorType::InvalidKey {
            self.pass_over(node, refused).await?;
        }
        Ok(refusal(refused.kind, &refused.message))
    }

    /// Refused bytes never block those after them.
    async fn pass_over(
        &mut self,
        node: &'a NodeSession,
        refused: &Refused,
    ) -> Result<(), PlanError> {
        let key = refused.key;
        let Some(link) = refused.link else {
            *self.unplaced.entry(key).or_default() += 1;
            return Ok(());
        };
        if link.seq == self.head(key).seq + 1 {
            self.gap(node, key, link.seq, link.seq, refused.kind.as_str());
            // Nobody vouches for these bytes, so nobody knows what the next receipt will refer to.
            let unknown = Head {
                seq: link.seq,
                entry_hash: UNKNOWN,
            };
            self.move_head(key, unknown);
            self.drain(key).await?;
        }
        Ok(())
    }

    fn gap(&mut self, node: &NodeSession, key: i64, from: u64, to: u64, reason: &'static str) {
        self.gaps.push(Gap {
            node_id: node.node_id.clone(),
            node_key_id: key,
            from_seq: seq_column(from),
            to_seq: seq_column(to),
            reason,
            at_ms: self.now_ms,
        });
    }

    fn keep_evidence(&mut self, node: &NodeSession, kind: ErrorType, receipt: &Verified) {
        self.evidence.push(Evidence {
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
        self.violations.push((
            node.node_id.clone(),
            violation,
            format!("receipt {request_id}"),
        ));
    }

    async fn flush(&mut self) -> Result<(), PlanError> {
        let rows: Vec<NewReceipt<'_>> = self
            .inserts
            .iter()
            .map(|insert| NewReceipt {
                node_key_id: insert.receipt.key,
                seq: insert.seq,
                fields: &insert.receipt.fields,
                entry_hash: insert.receipt.entry_hash,
                entry: &insert.receipt.entry,
                received_at_ms: self.now_ms,
                verified: insert.receipt.is_signed,
            })
            .collect();
        if self.tx.insert(&rows).await? != rows.len() as u64 {
            return Err(PlanError::Taken);
        }
        let heads: Vec<(i64, Head)> = self
            .moved
            .iter()
            .filter_map(|key| self.heads.get(key).map(|head| (*key, *head)))
            .collect();
        if !heads.is_empty() {
            self.tx.set_heads(&heads).await?;
        }
        for evidence in &self.evidence {
            self.tx.evidence(evidence).await?;
        }
        for gap in &self.gaps {
            self.tx.gap(gap).await?;
        }
        self.tx.rollups(&rows).await?;
        Ok(())
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
