//! How soon thousands of nodes that connect at once are active, and whether one of them is judged wrongly.
//!
//! Long, so it is measured only where it is named. `DGON_JOIN_NODES` says how many, 10,000 without; each is a connection
//! of two programs, so that many open files must be allowed.

use crate::fleet::Fleet;
use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::{Context as _, Result};
use std::path::Path;

const NODES: u32 = 10_000;
/// How long the fleet stays, s.
const SECONDS: u64 = 90;
/// The goal, s.
const WITHIN: f64 = 60.0;

/// Enrols the nodes one after the other, lets them all connect at once, and waits until each has been probed.
pub(crate) fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let nodes = match std::env::var("DGON_JOIN_NODES") {
        Ok(text) => text.parse().context("DGON_JOIN_NODES is a number")?,
        Err(_) => NODES,
    };
    let place = Place::new(bin)?;
    let control_plane = place.control_plane()?;
    let fleet = Fleet {
        nodes,
        rate: 0,
        warm_up: 0,
        seconds: SECONDS,
    };
    let told = fleet.run(&place)?;
    let soon = told.all_active_s.filter(|_| told.quarantined == 0);
    report.add(Row {
        what: format!("{nodes} nodes that connect at once are all active"),
        floor: String::new(),
        ours: match told.all_active_s {
            Some(seconds) => format!("{seconds:.1} s"),
            None => format!("not in {SECONDS} s"),
        },
        peer: String::new(),
        ratio: format!("{} in quarantine", told.quarantined),
        goal: format!("≤ {WITHIN:.0} s, 0"),
        reached: soon.is_some_and(|seconds| seconds <= WITHIN),
    });
    report.note(format!(
        "control plane resident with {nodes} nodes: {:.1} MiB",
        control_plane.resident_mib()
    ));
    Ok(())
}
