//! What the agent tells on this machine about its work: counts of finished requests, and the metrics endpoint.
//!
//! | module | owns |
//! |---|---|
//! | [`counters`] | counters of finished requests, between the proxy and the receipts |
//! | [`histogram`] | durations in fixed buckets |
//! | [`today`] | receipts and tokens of the UTC day |
//! | [`exposition`] | the text format of Prometheus |
//! | [`metrics`] | what is exposed, and under which names |
//! | [`server`] | the endpoint |
//!
//! Invariants: a request costs a few atomic additions here and nothing waits for another; nothing of a prompt or an
//! output is counted but its length; the number of time series does not grow with the number of requests or models.

pub mod counters;
pub mod exposition;
pub mod histogram;
pub mod metrics;
pub mod server;
pub mod today;

pub use counters::Counters;
pub use metrics::Metrics;
pub use today::{Today, Tokens};
