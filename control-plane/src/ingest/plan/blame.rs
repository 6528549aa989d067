//! What is refused: its evidence, and what it means for its node and for the chain.

use super::{HeldRefused, Plan, UNKNOWN, refusal, seq_column};
use crate::app::NodeSession;
use crate::ingest::verify::{Refused, Verified};
use crate::ingest::{Fate, ReceiptVerdict};
use dgon_control_plane_model::lifecycle::Violation;
use dgon_control_plane_store::Evidence;
use dgon_protocol::chain::{Head, Link};
use dgon_protocol::error::ErrorType;
use dgon_protocol::id::RequestId;

/// Evidence of one node that one batch keeps: the first is what a person looks at.
const EVIDENCE_PER_BATCH: usize = 8;

impl<'a> Plan<'a> {
    pub(super) fn conflict(&mut self, node: &NodeSession, receipt: &Verified) -> Fate {
        self.keep_evidence(node, ErrorType::ConflictingReceipt, receipt);
        let request_id = &receipt.fields.request_id;
        self.violated(node, Violation::ConflictingReceipt, request_id);
        let message = "the node has a stored receipt with this request_id and other bytes";
        refusal(ErrorType::ConflictingReceipt, message)
    }

    pub(super) fn refuse_held(&mut self, node: &NodeSession, receipt: &Verified, fate: Fate) {
        self.held_refused.push(HeldRefused {
            node_id: node.node_id.clone(),
            verdict: ReceiptVerdict {
                request_id: Some(receipt.fields.request_id.clone()),
                fate,
            },
        });
    }

    pub(super) fn fork(
        &mut self,
        node: &NodeSession,
        receipt: &Verified,
        link: Link,
        why: &str,
    ) -> Fate {
        self.keep_evidence(node, ErrorType::ForkedChain, receipt);
        self.violated(node, Violation::ForkedChain, &receipt.fields.request_id);
        refusal(
            ErrorType::ForkedChain,
            &format!("the receipt of seq {} forks the chain: {why}", link.seq),
        )
    }

    /// Bytes that were refused before the chain was looked at.
    pub(super) fn refused(&mut self, node: &'a NodeSession, refused: &Refused) -> Fate {
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
    pub(super) fn pass_over(&mut self, node: &'a NodeSession, refused: &Refused) {
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

    pub(super) fn keep(&mut self, evidence: Evidence) {
        let same = |kept: &&Evidence| kept.node_id == evidence.node_id;
        if self.evidence.iter().filter(same).count() < EVIDENCE_PER_BATCH {
            self.evidence.push(evidence);
        }
    }

    pub(super) fn keep_evidence(
        &mut self,
        node: &NodeSession,
        kind: ErrorType,
        receipt: &Verified,
    ) {
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

    pub(super) fn violated(
        &mut self,
        node: &NodeSession,
        violation: Violation,
        request_id: &RequestId,
    ) {
        self.violations
            .entry(node.node_id.clone())
            .or_insert_with(|| (violation, format!("receipt {request_id}")));
    }
}
