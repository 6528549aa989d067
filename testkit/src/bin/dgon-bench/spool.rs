//! The spool on this disk: durable receipts a second beside the disk's own sync, and recovery of 100,000 receipts.

use crate::report::{Report, Row};
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// What the agent's example `spool_load --json` prints.
#[derive(Deserialize)]
struct Load {
    /// One sync of 4 KiB, median, µs.
    sync_us: f64,
    /// By requests at a time.
    rates: Vec<Rate>,
    recovered: f64,
    recovery_ms: f64,
    /// The bare reading of the same files, ms.
    read_ms: f64,
}

#[derive(Deserialize)]
struct Rate {
    at_a_time: u64,
    per_second: f64,
}

/// Requests at a time that the goal is about.
const AT_A_TIME: u64 = 64;

/// Measures the spool where temporary files are.
pub(crate) fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let program = bin.join("examples").join("spool_load");
    let program = program.with_extension(std::env::consts::EXE_EXTENSION);
    let dir = tempfile::tempdir()?;
    let output = Command::new(&program)
        .arg(dir.path())
        .args(["2", "--json"])
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    if !output.status.success() {
        bail!("spool_load: {}", String::from_utf8_lossy(&output.stderr));
    }
    let load: Load = serde_json::from_slice(&output.stdout)?;
    let rate = |at| load.rates.iter().find(|rate| rate.at_a_time == at);
    let (Some(one), Some(many)) = (rate(1), rate(AT_A_TIME)) else {
        bail!("spool_load measured neither one nor {AT_A_TIME} requests at a time");
    };
    let syncs = 1e6 / load.sync_us;
    report.add(Row {
        what: format!("spool, durable receipts, {AT_A_TIME} at a time"),
        goal: "≥ 5000/s".to_owned(),
        floor: format!("{syncs:.0} syncs/s of this disk"),
        peer: format!("one at a time {:.0}/s", one.per_second),
        ours: format!("{:.0}/s", many.per_second),
        ratio: format!("{:.1}× the syncs", many.per_second / syncs),
        reached: many.per_second >= 5000.0,
    });
    report.add(Row {
        what: format!("spool, recovery of {:.0} receipts", load.recovered),
        goal: "< 1000 ms".to_owned(),
        floor: format!("reading the files {:.0} ms", load.read_ms),
        peer: String::new(),
        ours: format!("{:.0} ms", load.recovery_ms),
        ratio: format!("{:.1}×", load.recovery_ms / load.read_ms),
        reached: load.recovered >= 100_000.0 && load.recovery_ms < 1000.0,
    });
    Ok(())
}
