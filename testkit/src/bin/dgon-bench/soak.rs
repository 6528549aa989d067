//! Whether a control plane grows under a steady load with hostile agents beside it.
//!
//! Long, so it is measured only where it is named. `DGON_SOAK_S` says for how many seconds, 1,800 without.

use crate::hostile::{hostile, run_for};
use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::time::{Duration, Instant};

const SECONDS: u64 = 1_800;
/// Time from one look at the memory to the next.
const LOOK: Duration = Duration::from_secs(5);

/// The largest of some values.
fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Lets a fleet work beside hostile agents and compares the memory of the second quarter with that of the last.
pub(crate) fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let seconds = match std::env::var("DGON_SOAK_S") {
        Ok(text) => text.parse().context("DGON_SOAK_S is a number of seconds")?,
        Err(_) => SECONDS,
    };
    let place = Place::new(bin)?;
    let control_plane = place.control_plane()?;
    let hostile = hostile(&place, seconds)?;
    let began = Instant::now();
    let mut resident = Vec::new();
    let outcome = std::thread::scope(|scope| {
        let fleet = scope.spawn(|| run_for(&place, seconds));
        while !fleet.is_finished() {
            std::thread::sleep(LOOK);
            resident.push(control_plane.resident_mib());
        }
        fleet.join()
    });
    let p99 = outcome.ok().context("the fleet ended badly")??;
    drop(hostile);
    let quarter = resident.len() / 4;
    let (early, late) = (
        most(&resident[quarter..2 * quarter]),
        most(&resident[3 * quarter..]),
    );
    report.add(Row {
        what: format!(
            "control plane's memory over {:.0} min beside hostile agents",
            began.elapsed().as_secs_f64() / 60.0
        ),
        floor: format!("second quarter {early:.1} MiB"),
        ours: format!("last quarter {late:.1} MiB"),
        peer: String::new(),
        ratio: format!("{:.2}×", late / early),
        goal: "≤ 1.1×".into(),
        reached: late <= 1.1 * early,
    });
    report.note(format!("honest ack p99 over that time: {p99:.1} ms"));
    Ok(())
}
