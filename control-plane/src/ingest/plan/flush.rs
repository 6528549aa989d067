//! Writing a plan: receipts, heads, evidence, gaps, what violations lead to, the event, and, where they are rows at once, sums,
//! in this order.

use super::{Changed, Insert, Plan, Step, seq_column};
use crate::app::Cause;
use dgon_control_plane_model::lifecycle::{Event, transition};
use dgon_control_plane_model::rollup::ReceiptFacts;
use dgon_control_plane_store::{LifecycleChange, NewReceipt, StoreError};
use dgon_protocol::chain::Head;
use dgon_protocol::error::ErrorType;

/// Times that a node's state is read again because somebody else changed it.
const TRIES: usize = 4;

impl<'a> Plan<'a> {
    /// Writes everything; the changes of state that came of it, and what the receipts add to sums.
    pub(super) async fn flush(&mut self) -> Result<(Vec<Changed>, Vec<ReceiptFacts>), StoreError> {
        let rows = self.write_leaves().await?;
        for evidence in &self.evidence {
            self.tx.evidence(evidence).await?;
        }
        self.write_gaps().await?;
        let transitions = self.write_violations().await?;
        self.write_event();
        if self.is_sealed {
            self.tx.rollups(&rows).await?;
            return Ok((transitions, Vec::new()));
        }
        Ok((transitions, rows.iter().map(NewReceipt::facts).collect()))
    }

    /// Writes the receipts and moves the heads of their chains; what was written.
    ///
    /// A receipt's row is its leaf of the log that is still to come, with all that one needs: hash, key and `seq`. So an
    /// acknowledgement, which waits for the commit of this transaction, says that receipt and leaf are durable.
    async fn write_leaves(&mut self) -> Result<Vec<NewReceipt<'a>>, StoreError> {
        let inserts = std::mem::take(&mut self.inserts);
        let mut rows: Vec<NewReceipt<'a>> = inserts
            .iter()
            .map(|insert| row(insert, self.now_ms))
            .collect();
        let conflicts = self.tx.insert(&rows).await?;
        for position in conflicts.iter().rev() {
            self.not_inserted(&inserts[*position]);
            rows.remove(*position);
        }
        let heads: Vec<(i64, Head)> = self
            .moved
            .iter()
            .filter_map(|key| self.heads.get(key).map(|head| (*key, *head)))
            .collect();
        self.tx.set_heads(&heads, &rows).await?;
        Step::Leaves.passed();
        Ok(rows)
    }

    /// A receipt whose request id its node had used before: the chain goes on without it.
    fn not_inserted(&mut self, insert: &Insert<'a>) {
        let Insert {
            place,
            node,
            receipt,
            link,
        } = *insert;
        let fate = self.conflict(node, receipt);
        if let Some(link) = link {
            // A late one leaves the gap that it was to fill.
            if self
                .gaps
                .reason(receipt.key, seq_column(link.seq))
                .is_none()
            {
                let reason = ErrorType::ConflictingReceipt.as_str();
                self.gap(node, receipt.key, link.seq, link.seq, reason);
            }
            if place.is_none() {
                self.held_stored.remove(&(receipt.key, link.seq));
                self.refuse_held(node, receipt, fate.clone());
            }
        }
        if let Some(place) = place {
            self.set_fate(place, fate);
        }
    }

    /// Reads the gaps of chains that are not loaded yet.
    pub(super) async fn load_gaps(
        &mut self,
        keys: impl IntoIterator<Item = i64>,
    ) -> Result<(), StoreError> {
        let missing = self.gaps.missing(keys);
        let stored = self.tx.gaps(&missing).await?;
        self.gaps.loaded(&missing, stored);
        Ok(())
    }

    async fn write_gaps(&mut self) -> Result<(), StoreError> {
        let mut found = std::mem::take(&mut self.found);
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by_key(|gap| (gap.key, gap.from_seq));
        self.load_gaps(found.iter().map(|gap| gap.key)).await?;
        let mut nodes: Vec<&str> = found.iter().map(|gap| gap.node.node_id.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        self.gaps.counted(self.tx.gap_counts(&nodes).await?);
        for gap in &found {
            self.gaps.add(gap);
        }
        for (key, gap) in self.gaps.changed() {
            if let Ok(at) = found.binary_search_by_key(&key, |gap| gap.key) {
                let node_id = &found[at].node.node_id;
                self.tx.gap_write((node_id, key), gap, self.now_ms).await?;
            }
        }
        Ok(())
    }

    /// Stops the nodes that broke a rule, beside the evidence.
    async fn write_violations(&mut self) -> Result<Vec<Changed>, StoreError> {
        let mut changes = Vec::new();
        // By node id: the order of locks that the store keeps.
        for (node_id, (violation, detail)) in &self.violations {
            for _ in 0..TRIES {
                let Some(old) = self.tx.lifecycle(node_id).await? else {
                    break;
                };
                let next = transition(old.0, old.1, Event::Violation(*violation));
                let written = match next {
                    Some(next) => {
                        let cause = Cause::system(Some(detail));
                        let change = LifecycleChange {
                            node_id,
                            old,
                            new: (next.to, next.reason),
                            at_ms: self.now_ms,
                            actor: cause.actor,
                            detail: cause.detail,
                            audit: &cause.audit(node_id, old.0, next, self.now_ms),
                        };
                        self.tx.transition(&change).await?
                    }
                    None => true,
                };
                if written {
                    changes.push(Changed {
                        node_id: node_id.clone(),
                        old,
                        next,
                    });
                    break;
                }
                // Somebody changed it since it was read.
            }
        }
        Ok(changes)
    }
}

fn row<'a>(insert: &Insert<'a>, now_ms: i64) -> NewReceipt<'a> {
    NewReceipt {
        node_key_id: insert.receipt.key,
        seq: insert.link.map(|link| seq_column(link.seq)),
        region: &insert.node.region,
        org_id: insert.node.org_of(insert.receipt.key),
        fields: &insert.receipt.fields,
        entry_hash: insert.receipt.entry_hash,
        entry: &insert.receipt.entry,
        received_at_ms: now_ms,
        verified: insert.receipt.is_signed,
    }
}
