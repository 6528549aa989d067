//! After the commit: memory, changes of state, answers, events, in this order.

use super::commit::Committer;
use super::plan::{Changed, Written};
use super::verify::{Checked, Verified};
use super::{Fate, Outcome, ReceiptVerdict, Submission};
use crate::app::{DayFact, NodeSession};
use crate::bus::{CommittedReceipt, Event};
use dgon_protocol::frame::{Ack, ToAgent};
use dgon_protocol::id::NodeId;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is told when all answers are out.
struct News {
    /// Whether anybody reads of receipts.
    wanted: bool,
    /// Receipts that are new.
    committed: Vec<CommittedReceipt>,
    now_ms: i64,
    facts: Vec<DayFact>,
    /// Verdicts on receipts that were held, whose sender waits for no answer.
    late: HashMap<NodeId, Vec<ReceiptVerdict>>,
    /// How many receipts have each verdict.
    verdicts: BTreeMap<&'static str, u64>,
}

impl News {
    fn count(&mut self, fate: &Fate) {
        let verdict = match fate {
            Fate::Accepted => "accepted",
            Fate::Duplicate => "duplicate",
            Fate::Archived => "archived",
            Fate::Held => "held",
            Fate::Refused { kind, .. } => kind.as_str(),
        };
        *self.verdicts.entry(verdict).or_default() += 1;
    }

    fn accepted(&mut self, receipt: Verified, node: &NodeSession) {
        let (org_id, fields) = (node.org_of(receipt.key), receipt.fields);
        self.facts.push(DayFact::of(&fields));
        if self.wanted {
            self.committed.push(CommittedReceipt {
                fields,
                region: node.region.clone(),
                org_id: org_id.map(str::to_owned),
                received_at_ms: self.now_ms,
            });
        }
    }
}

impl Committer {
    /// A batch is durable: memory follows, and everybody is told.
    pub(super) fn settle(&mut self, batch: Vec<Submission>, mut written: Written, now_ms: i64) {
        self.unplaced = std::mem::take(&mut written.unplaced);
        self.follow_states(std::mem::take(&mut written.transitions));
        let mut news = News {
            wanted: self.app.bus.has_readers(),
            committed: Vec::new(),
            now_ms,
            facts: Vec::new(),
            late: HashMap::new(),
            verdicts: BTreeMap::new(),
        };
        self.settle_held(&mut written, &mut news, now_ms);
        let hold: HashMap<(usize, usize), u64> = written.hold.drain(..).collect();
        for (index, submission) in batch.into_iter().enumerate() {
            let of_batch = (index, &hold);
            self.answer(submission, &mut written, of_batch, &mut news, now_ms);
        }
        self.tell_all(news, now_ms);
    }

    fn follow_states(&self, changes: Vec<Changed>) {
        for changed in changes {
            match changed.next {
                Some(next) => self.app.node_changed(&changed.node_id, changed.old, next),
                None => self.app.attention.unsure_of(&changed.node_id),
            }
        }
    }

    /// Receipts that were held and whose turn came.
    fn settle_held(&mut self, written: &mut Written, news: &mut News, now_ms: i64) {
        for (key, head) in &written.heads {
            let Some(node) = self.held.chain(*key).map(|chain| Arc::clone(&chain.node)) else {
                continue;
            };
            for (seq, receipt) in self.held.reached(*key, head.seq, now_ms) {
                if written.held_stored.contains(&(*key, seq)) {
                    self.stored(&receipt);
                    news.accepted(*receipt, &node);
                }
            }
        }
        for refused in std::mem::take(&mut written.held_refused) {
            news.count(&refused.verdict.fate);
            self.app.guard.conduct.refused(&refused.node_id, 1);
            let of_node = news.late.entry(refused.node_id).or_default();
            of_node.push(refused.verdict);
        }
    }

    /// Answers for one submission, which is `index` in its batch.
    fn answer(
        &mut self,
        submission: Submission,
        written: &mut Written,
        (index, hold): (usize, &HashMap<(usize, usize), u64>),
        news: &mut News,
        now_ms: i64,
    ) {
        let Submission {
            node,
            items,
            reply,
            _reserved,
        } = submission;
        let mut verdicts = Vec::with_capacity(items.len());
        let mut refused = 0;
        for (position, (item, fate)) in items.into_iter().zip(&mut written.fates[index]).enumerate()
        {
            let fate = std::mem::replace(fate, Fate::Held);
            let (request_id, receipt) = match item {
                Checked::Verified(receipt) => {
                    (Some(receipt.fields.request_id.clone()), Some(receipt))
                }
                Checked::Refused(refused) => (refused.request_id, None),
            };
            news.count(&fate);
            refused += usize::from(matches!(fate, Fate::Refused { .. }));
            if let Some(receipt) = receipt {
                if matches!(fate, Fate::Accepted | Fate::Duplicate) {
                    self.stored(&receipt);
                }
                if fate == Fate::Accepted {
                    news.accepted(*receipt, &node);
                } else if let Some(seq) = hold.get(&(index, position)) {
                    self.held.keep(&node, *seq, receipt, now_ms);
                }
            }
            verdicts.push(ReceiptVerdict { request_id, fate });
        }
        // Whether anybody waits for the answer or not.
        self.app.guard.conduct.refused(&node.node_id, refused);
        // An answer over HTTP has one verdict for each receipt of its request.
        if node.session_id.is_some() {
            verdicts.extend(news.late.remove(&node.node_id).unwrap_or_default());
        }
        let head = written.heads.get(&node.node_key_id);
        let head_seq = head.map_or(0, |head| head.seq);
        let need = written.needs[index]
            .take()
            .filter(|need| need.to > head_seq)
            .or_else(|| self.held.dropped(node.node_key_id, head_seq));
        // A session that is gone needs no answer.
        let _ = reply.send(Ok(Outcome {
            head_seq,
            verdicts,
            need,
        }));
    }

    /// A receipt is durable. One that nobody has signed proves nothing, not even to a probe.
    fn stored(&self, receipt: &Verified) {
        if receipt.is_signed {
            self.app.receipt_stored(&receipt.fields);
        }
    }

    fn tell_all(&self, news: News, now_ms: i64) {
        for (verdict, count) in news.verdicts {
            metrics::counter!("ingest_receipts_total", "verdict" => verdict).increment(count);
        }
        self.app.windows.count(&news.facts, now_ms);
        for (node_id, verdicts) in news.late {
            let ack = ToAgent::Ack(refusals(verdicts));
            self.app.sessions.tell(&node_id, ack);
        }
        if news.committed.is_empty() {
            return;
        }
        self.app.bus.send(Event::Receipts(news.committed.into()));
    }
}

/// Refusals that go out without an answer to carry them.
fn refusals(verdicts: Vec<ReceiptVerdict>) -> Ack {
    Ack {
        acked_seq: 0,
        refused: verdicts
            .into_iter()
            .filter_map(ReceiptVerdict::refused)
            .collect(),
    }
}
