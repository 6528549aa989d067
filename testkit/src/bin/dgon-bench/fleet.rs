//! A fleet of simulated agents that works for a while, and what it says of it.

use crate::programs::{Place, Program};
use anyhow::{Context as _, Result};
use std::io::{BufRead as _, BufReader};

/// What a fleet does.
pub(crate) struct Fleet {
    /// Agents.
    pub(crate) nodes: u32,
    /// Receipts per second of all of them.
    pub(crate) rate: u32,
    /// For how long before anything counts, s.
    pub(crate) warm_up: u64,
    /// For how long, s.
    pub(crate) seconds: u64,
}

/// What a fleet that has warmed up says while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Counting begins.
    Counting,
    /// The last receipt is made.
    Made,
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
        self.watched(place, |_| Ok(()))
    }

    /// The same, and does something at each moment of it.
    pub(crate) fn watched(
        &self,
        place: &Place,
        mut at: impl FnMut(Moment) -> Result<()>,
    ) -> Result<Told> {
        let log = place.dir.path().join("fleet.log");
        let mut command = place.own_program("dgon-sim");
        command
            .args(["fleet", "--linger-ms", "20", "--json"])
            .args(["--api", &format!("http://{}", place.api)])
            .args(["--nodes", &self.nodes.to_string()])
            .args(["--rate", &self.rate.to_string()])
            .args(["--warm-up", &self.warm_up.to_string()])
            .args(["--duration", &self.seconds.to_string()])
            .env("DGON_ENROL_TOKEN", place.tokens(self.nodes)?.join(","));
        let (fleet, output) = Program::piped(&mut command, &log)?;
        let mut printed = String::new();
        for line in BufReader::new(output).lines() {
            match line?.as_str() {
                "counting" => at(Moment::Counting)?,
                "made" => at(Moment::Made)?,
                line => printed.push_str(line),
            }
        }
        fleet.ended(&log).context("the fleet ended badly")?;
        serde_json::from_str(&printed).context("the fleet did not say what came of it")
    }
}
