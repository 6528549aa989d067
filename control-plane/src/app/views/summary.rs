//! The network in numbers.

use serde::Serialize;
use utoipa::ToSchema;

/// `GET /summary`: the last 24 hours and now.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Summary {
    /// Nodes that serve.
    pub active_nodes: i64,
    /// Nodes per status.
    pub nodes: NodeCounts,
    /// 95th percentile of the time to first token over all regions, ms.
    pub p95_global: Option<u64>,
    /// The same per region, the busiest first.
    pub p95_by_region: Vec<RegionLatency>,
    /// Different models on active nodes.
    pub models_cached: i64,
    /// Receipts.
    pub requests_24h: i64,
    /// Tokens.
    pub tokens_24h: TokenCounts,
    /// Share of failed requests, 0 to 1.
    pub error_rate: Option<f64>,
    /// When this was computed.
    pub as_of: String,
}

/// Nodes per status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeCounts {
    /// Enrolled, not proven yet.
    pub pending: i64,
    /// Serve.
    pub active: i64,
    /// Stopped by a rule or an admin.
    pub quarantine: i64,
    /// Silent.
    pub offline: i64,
}

/// Latency of one region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RegionLatency {
    /// The region; empty where receipts name none.
    pub region: String,
    /// 95th percentile of the time to first token, ms.
    pub p95_ms: Option<u64>,
    /// Receipts.
    pub requests: i64,
}

/// `GET /regions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Regions {
    /// The regions that a node can be put in.
    pub items: Vec<RegionNodes>,
    /// Nodes in none of them: no region was given, or they were enrolled when there were others. Without retired nodes.
    pub elsewhere: i64,
}

/// One region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RegionNodes {
    /// Its name.
    pub region: String,
    /// Its nodes, without retired ones.
    pub nodes: i64,
}

/// Tokens in and out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenCounts {
    /// Prompt tokens.
    pub input: i64,
    /// Generated tokens.
    pub output: i64,
    /// Receipts of which a token count is not known: the sums are without it.
    pub not_counted: i64,
}

/// `GET /summary/trends`: 24 hours, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trends {
    /// Start of the first step.
    pub start: String,
    /// Length of a step, s.
    pub step_s: i64,
    /// One value per step. 0 is no request; `null` is no measurement.
    pub series: TrendSeries,
}

/// The series of [`Trends`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrendSeries {
    /// Receipts.
    pub requests: Vec<Option<i64>>,
    /// Tokens, in and out.
    pub tokens: Vec<Option<i64>>,
    /// Median of the time to first token, ms.
    pub p50_ms: Vec<Option<u64>>,
    /// 95th percentile of the time to first token, ms.
    pub p95_ms: Vec<Option<u64>>,
    /// Failed requests.
    pub errors: Vec<Option<i64>>,
}
