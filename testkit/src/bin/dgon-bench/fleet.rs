//! A fleet of simulated agents that works for a while, and what it says of it.

use crate::programs::Place;
use anyhow::{Context as _, Result};

/// What a fleet does.
pub(crate) struct Fleet {
    /// Agents.
    pub(crate) nodes: u32,
    /// Receipts per second of all of them.
    pub(crate) rate: u32,
    /// For how long, s.
    pub(crate) seconds: u64,
}

/// What came of it.
#[derive(serde::Deserialize)]
pub(crate) struct Told {
    /// Receipts acknowledged.
    pub(crate) acked: f64,
    /// Receipts acknowledged per second.
    pub(crate) acked_per_s: f64,
    /// Median time to an acknowledgement, ms.
    pub(crate) ack_p50_ms: Option<f64>,
    /// 99th percentile of it, ms.
    pub(crate) ack_p99_ms: Option<f64>,
    /// Receipts refused.
    pub(crate) refused: u64,
    /// Receipts neither acknowledged nor refused.
    pub(crate) unacked: u64,
    /// When the last node was active for the first time, s; absent where one never was.
    pub(crate) all_active_s: Option<f64>,
    /// Times that a node was told it is in quarantine.
    pub(crate) quarantined: u64,
}

impl Fleet {
    /// Enrols new agents and lets them work to the end.
    pub(crate) fn run(&self, place: &Place) -> Result<Told> {
        let tokens = place.tokens(self.nodes)?.join(",");
        let api = format!("http://{}", place.api);
        let [nodes, rate, seconds] = [
            self.nodes.to_string(),
            self.rate.to_string(),
            self.seconds.to_string(),
        ];
        let arguments = [
            "fleet",
            "--api",
            &api,
            "--nodes",
            &nodes,
            "--rate",
            &rate,
            "--linger-ms",
            "20",
            "--duration",
            &seconds,
            "--json",
        ];
        let printed = place.output("dgon-sim", &arguments, &[("DGON_ENROL_TOKEN", &tokens)])?;
        serde_json::from_str(&printed).context("the fleet did not say what came of it")
    }
}
