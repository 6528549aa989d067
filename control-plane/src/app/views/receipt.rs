//! Receipts as people see them.

use super::{time, time_of_seconds};
use crate::bus::CommittedReceipt;
use dgon_control_plane_store::receipt_queries::ReceiptListRow;
use dgon_protocol::receipt::{Source, Status, TokensSource, Version};
use serde::Serialize;
use utoipa::ToSchema;

/// A receipt in a list. The signed bytes are at `/receipts/{request_id}/raw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiptRow {
    /// Unique among the receipts of its node.
    pub request_id: String,
    /// Who served it.
    pub node_id: String,
    /// The region that the network has its node in.
    pub region: Option<String>,
    /// As the consumer asked for it.
    pub model_id: String,
    /// The LLM server.
    pub runtime: Option<String>,
    /// `local`, `gateway`, `probe` or `job`.
    pub source: Option<String>,
    /// `ok`, `error` or `cancelled`.
    pub status: Option<String>,
    /// When the request began, by the node's clock.
    pub ts_start: String,
    /// When it ended.
    pub ts_end: String,
    /// Prompt tokens.
    pub tokens_input: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// Prompt tokens from a cache.
    pub tokens_cached: Option<i64>,
    /// What the counts are worth: `usage`, `partial_usage`, `chunks`, `unknown`, `unpaid`, `none`, or `other` for one
    /// that this version does not know. `null`: the receipt does not say. With `unknown` both counts are 0 and mean
    /// nothing; with `chunks` a prompt of 0 means nothing.
    pub tokens_source: Option<String>,
    /// Time to first token, ms.
    pub ttft_ms: Option<i64>,
    /// Total time, ms.
    pub latency_ms: Option<i64>,
    /// 95th percentile of the gaps between output chunks, ms.
    pub p95_ms: Option<i64>,
    /// Helped by a cache.
    pub cache_hit: Option<bool>,
    /// Sent to more than one node.
    pub hedged: Option<bool>,
    /// Position in the node's chain.
    pub seq: Option<i64>,
    /// When the control plane stored it.
    pub received_at: String,
    /// Form of the receipt.
    pub version: String,
}

impl ReceiptRow {
    /// From the store.
    pub fn of_row(row: ReceiptListRow) -> Self {
        Self {
            request_id: row.request_id,
            node_id: row.node_id,
            region: row.region,
            model_id: row.model_id,
            runtime: row.runtime,
            source: row.source,
            status: row.status,
            ts_start: time_of_seconds(row.ts_start),
            ts_end: time_of_seconds(row.ts_end),
            tokens_input: row.tokens_input,
            tokens_output: row.tokens_output,
            tokens_cached: row.tokens_cached,
            tokens_source: row.tokens_source,
            ttft_ms: row.ttft_ms,
            latency_ms: row.latency_ms,
            p95_ms: row.p95_ms,
            cache_hit: row.cache_hit,
            hedged: row.hedged,
            seq: row.seq,
            received_at: time(row.received_at_ms),
            version: row.version,
        }
    }

    /// From a commit: what the store would answer for it.
    pub fn of_committed(committed: &CommittedReceipt) -> Self {
        let CommittedReceipt {
            fields,
            region,
            org_id: _,
            received_at_ms,
        } = committed;
        let version = match fields.version {
            Version::V1_0 => "1.0",
            Version::V1_1 => "1.1",
        };
        Self {
            request_id: fields.request_id.to_string(),
            node_id: fields.node_id.to_string(),
            region: Some(region.clone()),
            model_id: fields.model_id.clone(),
            runtime: fields.runtime.clone(),
            source: fields
                .source
                .map(|source| Source::as_str(source).to_owned()),
            status: fields
                .status
                .map(|status| Status::as_str(status).to_owned()),
            ts_start: time_of_seconds(fields.ts_start),
            ts_end: time_of_seconds(fields.ts_end),
            tokens_input: fields.tokens_input,
            tokens_output: fields.tokens_output,
            tokens_cached: fields.tokens_cached,
            tokens_source: fields
                .tokens_source
                .map(|source| TokensSource::as_str(source).to_owned()),
            ttft_ms: fields.ttft_ms,
            latency_ms: fields.latency_ms,
            p95_ms: fields.p95_ms,
            cache_hit: fields.cache_hit,
            hedged: fields.hedged,
            seq: fields.seq,
            received_at: time(*received_at_ms),
            version: version.to_owned(),
        }
    }
}

/// `GET /receipts/{request_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiptDetail {
    /// The row of the list.
    pub receipt: ReceiptRow,
    /// The entry bytes, exactly, as a string.
    pub raw: String,
    /// SHA-256 of the entry bytes, hex.
    pub entry_sha256: String,
    /// The key that signed: `ed25519:` and base64.
    pub public_key: String,
    /// Its short name.
    pub key_id: String,
    /// Since when the key is valid.
    pub key_valid_from: String,
    /// What the control plane found when it verified.
    pub verification: VerificationView,
    /// Its place in the node's chain.
    pub chain: ReceiptChainView,
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerificationView {
    /// `valid`, or `invalid_signature` for a receipt that was kept while the flag `enable_signature_verify` was off:
    /// it is not verified and is never paid.
    pub verdict: String,
    /// When.
    pub verified_at: String,
}

/// A place in a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiptChainView {
    /// Position from 1; `null` for a receipt outside of a chain.
    pub seq: Option<i64>,
    /// The receipt before it, if it is stored.
    pub prev_request_id: Option<String>,
    /// The receipt after it.
    pub next_request_id: Option<String>,
}

/// `GET /receipts/aggregate`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ReceiptAggregate {
    /// Receipts.
    pub count: i64,
    /// Prompt tokens.
    pub tokens_input: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// Receipts of which a token count is not known: the sums of tokens are without it.
    pub tokens_not_counted: i64,
    /// Share that a cache helped, 0 to 1.
    pub cache_hit_share: Option<f64>,
    /// Failed requests.
    pub failures: i64,
    /// Median of the time to first token of answers that came whole, ms.
    pub p50_ms: Option<u64>,
    /// 95th percentile of the same, ms.
    pub p95_ms: Option<u64>,
    /// Receipts received up to here are counted.
    pub indexed_to: String,
    /// False when the filter matches more than is read at once: then these are the newest of them.
    pub complete: bool,
}
