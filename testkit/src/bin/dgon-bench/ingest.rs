//! Receipts from the socket to durable and acknowledged, with the control plane's CPU for each.

use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::{Context as _, Result};
use std::path::Path;

const NODES: u32 = 16;
const SECONDS: u32 = 15;
/// Receipts per second asked for: about half of what two cores can do, so that latency means something.
const RATE: &str = "4000";

/// Bare strict verification of one receipt on this machine now, µs.
fn bare_verify_us() -> f64 {
    use dgon_protocol::key::NodeKey;
    let key = NodeKey::from_seed(&[7; 32]);
    let message = vec![b'x'; 900];
    let (signature, public) = (key.sign(&message), key.public());
    let rounds = 2000;
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(public.verify(std::hint::black_box(&message), &signature));
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
}

/// Runs a simulated fleet against a control plane on SQLite.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let place = Place::new(bin)?;
    let control_plane = place.control_plane()?;
    let token = place.token(NODES)?;
    let before = control_plane.cpu();
    let api = format!("http://{}", place.api);
    let (nodes, seconds) = (NODES.to_string(), SECONDS.to_string());
    let fleet = [
        "fleet",
        "--api",
        &api,
        "--nodes",
        &nodes,
        "--rate",
        RATE,
        "--linger-ms",
        "20",
        "--duration",
        &seconds,
        "--json",
    ];
    let printed = tokio::task::block_in_place(|| {
        place.output("dgon-sim", &fleet, &[("DGON_ENROL_TOKEN", &token)])
    })?;
    let result: serde_json::Value =
        serde_json::from_str(&printed).context("the fleet printed no JSON")?;
    let acked = result["acked"]
        .as_f64()
        .context("the fleet says how many were acknowledged")?;
    let used = control_plane.cpu().saturating_sub(before);
    let (each, bare) = (used.as_secs_f64() * 1e6 / acked, bare_verify_us());
    report.add(Row {
        what: "receipt, socket to durable and acked, SQLite".into(),
        floor: format!("bare strict verify {bare:.1} µs"),
        ours: format!(
            "{each:.1} µs CPU, {:.0}/s",
            result["acked_per_s"]
                .as_f64()
                .unwrap_or(acked / f64::from(SECONDS))
        ),
        peer: String::new(),
        ratio: format!("{:.2}×", each / bare),
        goal: "≤ 1.5×".into(),
        reached: each / bare <= 1.5,
    });
    report.note(format!(
        "ack latency at {RATE} receipts/s asked for: p50 {} ms, p99 {} ms",
        result["ack_p50_ms"], result["ack_p99_ms"]
    ));
    report.note(format!(
        "control plane resident after {acked:.0} receipts: {:.1} MiB",
        control_plane.resident_mib()
    ));
    Ok(())
}
