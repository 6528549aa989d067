//! From the facts of a request to a signed receipt.

use dgon_agent_core::facts::RequestFacts;
use dgon_protocol::id::NodeId;
use dgon_protocol::key::NodeKey;
use dgon_protocol::receipt::{Draft, Sha256Hash, Signed};

/// Who signs, and for which node.
#[derive(Debug, Clone)]
pub struct Signer {
    key: NodeKey,
    node_id: NodeId,
    region: Option<String>,
}

impl Signer {
    /// A signer for this node.
    pub fn new(key: NodeKey, node_id: NodeId, region: Option<String>) -> Self {
        Self {
            key,
            node_id,
            region,
        }
    }

    /// Signs the receipt of `facts` at `seq`, after the receipt with the hash `prev_hash`.
    pub fn sign(&self, facts: &RequestFacts, seq: u64, prev_hash: Sha256Hash) -> Signed {
        Draft {
            request_id: facts.request_id.clone(),
            node_id: self.node_id.clone(),
            region: self.region.clone(),
            ts_start: facts.started_ms / 1000,
            ts_end: facts.ended_ms / 1000,
            model_id: facts.model_id.clone(),
            model_hash: facts.model_hash.clone(),
            prompt_hash: facts.prompt_hash.clone(),
            tokens_input: facts.tokens_input,
            tokens_output: facts.tokens_output,
            p95_ms: facts.gap_p95_ms,
            s3_checkpoints: facts.checkpoints.clone(),
            hedged: false,
            cache_hit: facts.tokens_cached.map(|cached| cached > 0),
            seq,
            prev_hash,
            status: facts.status,
            ttft_ms: facts.ttft_ms,
            latency_ms: facts.latency_ms,
            runtime: facts.runtime.clone(),
            source: facts.source,
            tokens_cached: facts.tokens_cached,
            output_hash: facts.output_hash.clone(),
            energy_mwh: facts.energy_mwh,
            order_hash: facts.order_hash,
            // Always: a receipt that says nothing of its counts would pass them off as facts.
            tokens_source: Some(facts.tokens_source),
            error: facts.failure.map(|failure| failure.as_str()),
        }
        .sign(&self.key)
    }
}
