//! What agents that break rules cost those that keep them: a fleet's acknowledgements without and with them.
//!
//! The load generator runs on the same cores, so what its hostile agents use themselves is in the figure.

use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;

const NODES: u32 = 16;
/// Two of each habit.
const HOSTILE: u32 = 18;
const SECONDS: &str = "15";
/// Receipts per second of the fleet.
const RATE: &str = "200";
/// Runs of each kind, in turns.
const ROUNDS: usize = 3;

/// One run of the fleet; 99th percentile of the time to an acknowledgement, ms.
fn run(place: &Place, hostile: u32) -> Result<f64> {
    let token = place.token(NODES + hostile)?;
    let api = format!("http://{}", place.api);
    let (nodes, hostile) = (NODES.to_string(), hostile.to_string());
    let fleet = [
        "fleet",
        "--api",
        &api,
        "--nodes",
        &nodes,
        "--hostile",
        &hostile,
        "--rate",
        RATE,
        "--linger-ms",
        "20",
        "--duration",
        SECONDS,
        "--json",
    ];
    let printed = tokio::task::block_in_place(|| {
        place.output("dgon-sim", &fleet, &[("DGON_ENROL_TOKEN", &token)])
    })?;
    let result: serde_json::Value =
        serde_json::from_str(&printed).context("the fleet printed no JSON")?;
    ensure!(
        result["refused"] == 0 && result["unacked"] == 0,
        "honest agents came to harm: {result}"
    );
    result["ack_p99_ms"]
        .as_f64()
        .context("the fleet says how soon")
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs the fleet alone and beside hostile agents, in turns, against one control plane on SQLite.
pub(crate) fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let place = Place::new(bin)?;
    let control_plane = place.control_plane()?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(run(&place, 0)?);
        beside.push(run(&place, HOSTILE)?);
    }
    let (alone, beside) = (middle(alone), middle(beside));
    report.add(Row {
        what: format!("ack p99 of {NODES} honest agents beside {HOSTILE} hostile ones, SQLite"),
        floor: format!("alone {alone:.1} ms"),
        ours: format!("{beside:.1} ms"),
        peer: String::new(),
        ratio: format!("{:.2}×", beside / alone),
        goal: "≤ 2×".into(),
        reached: beside / alone <= 2.0,
    });
    report.note(format!(
        "control plane resident after {ROUNDS} hostile runs: {:.1} MiB",
        control_plane.resident_mib()
    ));
    Ok(())
}
