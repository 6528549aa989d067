//! What the API and the live socket say, as JSON: one shape per thing, in both.
//!
//! Times are RFC 3339 UTC with milliseconds; unknown is `null`; field names are the vocabulary's.

mod audit;
mod keys;
mod node;
mod receipt;
mod summary;

pub use audit::{AuditEntryView, AuditHead, AuditPage};
pub use keys::{NodeKeyView, NodeKeys, OrderKeyView};
pub use node::{
    AssigneeView, ChainView, GapView, GpuLoadView, GpuView, HeartbeatEvent, HeartbeatView,
    HistoryView, HostView, ModelView, NodeDetail, NodeRow, NodeStatus, Now, PoolRef, ProbeView,
    RuntimeView,
};
pub use receipt::{
    ReceiptAggregate, ReceiptChainView, ReceiptDetail, ReceiptRow, VerificationView,
};
pub use summary::{
    NodeCounts, RegionLatency, RegionNodes, Regions, Summary, TokenCounts, TrendSeries, Trends,
};

use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Continues after the last row; `null` at the end.
    pub next_cursor: Option<String>,
    /// Rows of all pages; `null` where counting would cost more than it tells.
    pub total: Option<i64>,
}

/// RFC 3339 UTC with milliseconds.
pub fn time(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map(|time| format!("{time:.3}"))
        .unwrap_or_default()
}

/// The same of unix seconds; empty for seconds outside of the calendar.
pub fn time_of_seconds(unix_s: i64) -> String {
    unix_s.checked_mul(1000).map(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_z() {
        assert_eq!(time(1_795_230_000_000), "2026-11-21T03:00:00.000Z");
        assert_eq!(time(1_795_230_000_007), "2026-11-21T03:00:00.007Z");
        assert_eq!(time_of_seconds(1_795_230_000), "2026-11-21T03:00:00.000Z");
        assert_eq!(time_of_seconds(i64::MAX), "");
    }
}
