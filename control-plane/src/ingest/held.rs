//! Receipts ahead of a gap, kept for a while so that they need not be sent again.
//!
//! At most 256 and 1 MiB per chain and 64 MiB in all, so that one node cannot take the room of all; what does not fit
//! is dropped, which is safe: it was never acknowledged, so the agent still has it.

use super::verify::Verified;
use crate::app::NodeSession;
use dgon_protocol::frame::Need;
use dgon_protocol::limits::RECEIPTS_HELD;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const BYTES_HELD: usize = 64 * 1024 * 1024;
const BYTES_PER_CHAIN: usize = 1024 * 1024;

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
        let has_room = chain.receipts.len() < RECEIPTS_HELD
            && chain.bytes + size <= BYTES_PER_CHAIN
            && self.bytes + size <= BYTES_HELD;
        if has_room {
            chain.receipts.insert(seq, receipt);
            chain.bytes += size;
            self.bytes += size;
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
        self.bytes -= freed;
        self.forget_if_empty(key);
        reached.into_iter().collect()
    }

    /// Gives up what is held of a chain.
    pub(super) fn forget(&mut self, key: i64) -> Option<HeldChain> {
        let chain = self.chains.remove(&key)?;
        self.bytes -= chain.bytes;
        Some(chain)
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
