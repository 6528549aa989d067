//! What agents that break rules cost those that keep them: a fleet's acknowledgements without and with them.
//!
//! The hostile agents have a process of their own, and a low priority: the machines of real ones are not ours.

use crate::fleet::Fleet;
use crate::programs::{Place, Program};
use crate::report::{Report, Row};
use anyhow::{Context as _, Result, ensure};
use std::path::Path;

const NODES: u32 = 16;
/// Two of each habit.
const HOSTILE: u32 = 18;
/// How long a fleet works, s.
const SECONDS: u64 = 15;
/// What a run takes beside that, at most: the hostile agents must outlast it.
const AROUND_S: u64 = 105;
/// Receipts per second of the fleet.
const RATE: u32 = 200;
/// Runs of each kind, in turns.
const ROUNDS: usize = 3;

/// Starts the hostile agents and waits until they are enrolled.
pub(crate) fn hostile(place: &Place, seconds: u64) -> Result<Program> {
    let token = place.token(HOSTILE)?;
    let (api, nodes) = (format!("http://{}", place.api), HOSTILE.to_string());
    let seconds = (seconds + AROUND_S).to_string();
    let mut command = place.at_low_priority("dgon-sim");
    command
        .args([
            "hostile",
            "--api",
            &api,
            "--nodes",
            &nodes,
            "--duration",
            &seconds,
        ])
        .env("DGON_ENROL_TOKEN", token);
    let log = place.dir.path().join("hostile.log");
    let program = Program::spawn(&mut command, &log)?;
    while !std::fs::read_to_string(&log)?.contains("are enrolled") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Ok(program)
}

/// Lets the fleet work for so long; 99th percentile of the time to an acknowledgement, ms.
pub(crate) fn run_for(place: &Place, seconds: u64) -> Result<f64> {
    let fleet = Fleet {
        nodes: NODES,
        rate: RATE,
        warm_up: 0,
        seconds,
    };
    let told = fleet.run(place)?;
    ensure!(
        told.refused == 0 && told.unacked == 0,
        "honest agents came to harm: {} receipts refused, {} not acknowledged",
        told.refused,
        told.unacked
    );
    told.ack_p99_ms.context("the fleet says how soon")
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
        alone.push(run_for(&place, SECONDS)?);
        let hostile = hostile(&place, SECONDS)?;
        beside.push(run_for(&place, SECONDS)?);
        drop(hostile);
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
