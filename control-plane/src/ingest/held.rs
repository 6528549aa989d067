//! Receipts ahead of a gap, kept for a while so that they need not be sent again.
//!
//! At most 256 and 1 MiB per chain, twice that per node however many keys it has had, and 64 MiB in all, so that one node
//! cannot take the room of all; what does not fit is dropped, which is safe: it was never acknowledged, so the agent
//! still has it.

use super::verify::Verified;
use crate::app::NodeSession;
use dgon_protocol::frame::Need;
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::RECEIPTS_HELD;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const BYTES_HELD: usize = 64 * 1024 * 1024;
const BYTES_PER_CHAIN: usize = 1024 * 1024;
/// Chains of one node that may hold all they can: that of its key, and that of the one before.
const FULL_CHAINS: usize = 2;

/// The held receipts of one chain.
#[derive(Debug)]
pub(super) struct HeldChain {
    pub(super) node: Arc<NodeSession>,
    pub(super) since_ms: i64,
    pub(super) receipts: BTreeMap<u64, Box<Verified>>,
    bytes: usize,
}

/// Held receipts of all chains, by key row.
#[derive(Debug, Default)]
pub(super) struct Held {
    chains: HashMap<i64, HeldChain>,
    bytes: usize,
    /// Receipts and bytes of each node that has any.
    nodes: HashMap<NodeId, (usize, usize)>,
    /// Highest `seq` per chain for which there was no room.
    dropped: HashMap<i64, u64>,
}

impl Held {
    pub(super) fn chain(&self, key: i64) -> Option<&HeldChain> {
        self.chains.get(&key)
    }

    /// Keeps a receipt, or remembers that there was no room for it.
    pub(super) fn keep(
        &mut self,
        node: &Arc<NodeSession>,
        seq: u64,
        receipt: Box<Verified>,
        now_ms: i64,
    ) {
        let key = receipt.key;
        let size = receipt.entry.len();
        let chain = self.chains.entry(key).or_insert_with(|| HeldChain {
            node: Arc::clone(node),
            since_ms: now_ms,
            receipts: BTreeMap::new(),
            bytes: 0,
        });
        if chain.receipts.contains_key(&seq) {
            return;
        }
        let (of_node, bytes_of_node) = self.nodes.get(&node.node_id).copied().unwrap_or_default();
        let has_room = chain.receipts.len() < RECEIPTS_HELD
            && chain.bytes + size <= BYTES_PER_CHAIN
            && of_node < FULL_CHAINS * RECEIPTS_HELD
            && bytes_of_node + size <= FULL_CHAINS * BYTES_PER_CHAIN
            && self.bytes + size <= BYTES_HELD;
        if has_room {
            chain.receipts.insert(seq, receipt);
            chain.bytes += size;
            self.bytes += size;
            let used = (of_node + 1, bytes_of_node + size);
            self.nodes.insert(node.node_id.clone(), used);
        } else {
            let highest = self.dropped.entry(key).or_default();
            *highest = seq.max(*highest);
            self.forget_if_empty(key);
        }
    }

    /// What a chain at `head_seq` must be sent again, because there was no room for it.
    pub(super) fn dropped(&mut self, key: i64, head_seq: u64) -> Option<Need> {
        let to = *self.dropped.get(&key)?;
        if to <= head_seq {
            self.dropped.remove(&key);
            return None;
        }
        // While something is held the gap before that is what is missing.
        let waits = self.chains.contains_key(&key);
        (!waits).then_some(Need {
            from: head_seq + 1,
            to,
        })
    }

    /// Forgets what the chain has reached; what stays starts a new wait.
    pub(super) fn reached(
        &mut self,
        key: i64,
        head_seq: u64,
        now_ms: i64,
    ) -> Vec<(u64, Box<Verified>)> {
        let Some(chain) = self.chains.get_mut(&key) else {
            return Vec::new();
        };
        let later = chain.receipts.split_off(&(head_seq + 1));
        let reached = std::mem::replace(&mut chain.receipts, later);
        if !reached.is_empty() {
            chain.since_ms = now_ms;
        }
        let freed: usize = reached.values().map(|receipt| receipt.entry.len()).sum();
        chain.bytes -= freed;
        let node_id = chain.node.node_id.clone();
        self.free(&node_id, reached.len(), freed);
        self.forget_if_empty(key);
        reached.into_iter().collect()
    }

    /// Gives up what is held of a chain.
    pub(super) fn forget(&mut self, key: i64) -> Option<HeldChain> {
        let chain = self.chains.remove(&key)?;
        self.free(&chain.node.node_id, chain.receipts.len(), chain.bytes);
        Some(chain)
    }

    fn free(&mut self, node_id: &NodeId, receipts: usize, bytes: usize) {
        self.bytes -= bytes;
        if let Some((of_node, bytes_of_node)) = self.nodes.get_mut(node_id) {
            *of_node -= receipts;
            *bytes_of_node -= bytes;
            if *of_node == 0 {
                self.nodes.remove(node_id);
            }
        }
    }

    fn forget_if_empty(&mut self, key: i64) {
        if self
            .chains
            .get(&key)
            .is_some_and(|chain| chain.receipts.is_empty())
        {
            self.chains.remove(&key);
        }
    }

    /// Chains that have waited since before `since_ms`.
    pub(super) fn overdue(&self, since_ms: i64) -> Vec<i64> {
        let waited = self
            .chains
            .iter()
            .filter(|(_, chain)| chain.since_ms < since_ms);
        waited.map(|(key, _)| *key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_protocol::id::RequestId;
    use dgon_protocol::key::NodeKey;
    use dgon_protocol::receipt::{Draft, Receipt, Sha256Hash, Source, Status};

    fn node(name: &str) -> Arc<NodeSession> {
        Arc::new(NodeSession {
            node_id: NodeId::parse(name).expect("id"),
            region: String::new(),
            org_id: None,
            key_org_id: None,
            node_key_id: 1,
            public_key: NodeKey::from_seed(&[1; 32]).public(),
            former: Vec::new(),
            head_seq: 0,
            session_id: None,
        })
    }

    fn receipt(key: i64, seq: u64) -> Box<Verified> {
        let draft = Draft {
            request_id: RequestId::parse(format!("r{seq}")).expect("id"),
            node_id: NodeId::parse("n").expect("id"),
            region: None,
            ts_start: 1,
            ts_end: 2,
            model_id: "m".to_owned(),
            model_hash: None,
            prompt_hash: None,
            tokens_input: 1,
            tokens_output: 1,
            p95_ms: None,
            s3_checkpoints: Vec::new(),
            hedged: false,
            cache_hit: None,
            seq,
            prev_hash: Sha256Hash::ZERO,
            status: Status::Ok,
            ttft_ms: None,
            latency_ms: 1,
            runtime: None,
            source: Source::Local,
            tokens_cached: None,
            output_hash: None,
            energy_mwh: None,
            order_hash: None,
            tokens_source: None,
            error: None,
        };
        let signed = draft.sign(&NodeKey::from_seed(&[1; 32]));
        let parsed = Receipt::parse(&signed.entry_bytes).expect("receipt");
        Box::new(Verified {
            is_signed: true,
            key,
            entry_hash: parsed.entry_hash(),
            fields: parsed.fields,
            entry: signed.entry_bytes.clone(),
        })
    }

    fn receipts(held: &Held) -> usize {
        held.chains.values().map(|chain| chain.receipts.len()).sum()
    }

    #[test]
    fn a_node_with_many_keys_holds_no_more_than_one_with_two() {
        let mut held = Held::default();
        let node = node("n");
        for key in 1..=8 {
            for seq in 2..300 {
                held.keep(&node, seq, receipt(key, seq), 0);
            }
        }
        assert_eq!(receipts(&held), 2 * RECEIPTS_HELD);
        for key in 1..=8 {
            held.forget(key);
        }
        held.keep(&node, 2, receipt(9, 2), 0);
        assert_eq!(receipts(&held), 1, "what was given up makes room");
        assert_eq!(held.reached(9, 2, 0).len(), 1);
        assert!(held.nodes.is_empty() && held.bytes == 0);
    }
}
