//! Receipts from the socket to durable and acknowledged, with the control plane's CPU for each.

use crate::fleet::Fleet;
use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::Result;
use std::path::Path;

const NODES: u32 = 16;
const SECONDS: u64 = 15;
/// Receipts per second asked for: about half of what two cores can do, so that latency means something.
const RATE: u32 = 4_000;

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
    let before = control_plane.cpu();
    let fleet = Fleet {
        nodes: NODES,
        rate: RATE,
        seconds: SECONDS,
    };
    let told = tokio::task::block_in_place(|| fleet.run(&place))?;
    let acked = told.acked;
    let used = control_plane.cpu().saturating_sub(before);
    let (each, bare) = (used.as_secs_f64() * 1e6 / acked, bare_verify_us());
    report.add(Row {
        what: "receipt, socket to durable and acked, SQLite".into(),
        floor: format!("bare strict verify {bare:.1} µs"),
        ours: format!("{each:.1} µs CPU, {:.0}/s", told.acked_per_s),
        peer: String::new(),
        ratio: format!("{:.2}×", each / bare),
        goal: "≤ 1.5×".into(),
        reached: each / bare <= 1.5,
    });
    report.note(format!(
        "ack latency at {RATE} receipts/s asked for: p50 {:.1} ms, p99 {:.1} ms",
        told.ack_p50_ms.unwrap_or_default(),
        told.ack_p99_ms.unwrap_or_default()
    ));
    report.note(format!(
        "control plane resident after {acked:.0} receipts: {:.1} MiB",
        control_plane.resident_mib()
    ));
    Ok(())
}
