//! How soon thousands of nodes that connect at once are active, whether one of them is judged wrongly, and what the control
//! plane takes for them afterwards, while they say nothing but their heartbeats.
//!
//! Long, so it is measured only where it is named. `DGON_JOIN_NODES` says how many, 10,000 without; each is a connection
//! of two programs, so that many open files must be allowed.

use crate::fleet::{Fleet, Moment, Told};
use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::time::Duration;

const NODES: u32 = 10_000;
/// Time to join and to be probed, s.
const JOIN_S: u64 = 90;
/// Time at rest after it, s: six heartbeats of each.
const IDLE_S: u64 = 60;
/// The goal of joining, s.
const WITHIN_S: f64 = 60.0;
/// The goals at rest: of one core, and resident.
const MOST_CORES: f64 = 0.25;
const MOST_MIB: f64 = 150.0;

/// Enrols the nodes one after the other, lets them all connect at once, waits until each has been probed, and looks at
/// the control plane from then on.
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
        warm_up: JOIN_S,
        seconds: IDLE_S,
    };
    let (mut used, mut resident_mib) = (Duration::ZERO, 0.0);
    let told = fleet.watched(&place, |moment| {
        match moment {
            Moment::Counting => used = control_plane.cpu(),
            Moment::Made => {
                used = control_plane.cpu().saturating_sub(used);
                resident_mib = control_plane.resident_mib();
            }
        }
        Ok(())
    })?;
    report.add(joined(nodes, &told));
    report.add(at_rest(nodes, used, resident_mib));
    Ok(())
}

fn joined(nodes: u32, told: &Told) -> Row {
    let soon = told.all_active_s.filter(|_| told.quarantined == 0);
    Row {
        what: format!("{nodes} nodes that connect at once are all active"),
        floor: String::new(),
        ours: match told.all_active_s {
            Some(seconds) => format!("{seconds:.1} s"),
            None => format!("not in {} s", JOIN_S + IDLE_S),
        },
        peer: String::new(),
        ratio: format!("{} in quarantine", told.quarantined),
        goal: format!("≤ {WITHIN_S:.0} s, 0"),
        reached: soon.is_some_and(|seconds| seconds <= WITHIN_S),
    }
}

fn at_rest(nodes: u32, used: Duration, resident_mib: f64) -> Row {
    let cores = used.as_secs_f64() / IDLE_S as f64;
    Row {
        what: format!("control plane with {nodes} idle sessions"),
        floor: String::new(),
        ours: format!("{:.0} % of a core, {resident_mib:.1} MiB", 100.0 * cores),
        peer: String::new(),
        ratio: format!(
            "{:.2} and {:.2} of the goal",
            cores / MOST_CORES,
            resident_mib / MOST_MIB
        ),
        goal: format!("≤ {:.0} %, ≤ {MOST_MIB:.0} MiB", 100.0 * MOST_CORES),
        reached: cores <= MOST_CORES && resident_mib <= MOST_MIB,
    }
}
