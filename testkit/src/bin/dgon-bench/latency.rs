//! The highest rate of receipts that the server keeps up with, and how soon it acknowledges at half of it.
//!
//! Server, database and simulated agents, which sign, share the cores of this machine.

use crate::fleet::{Fleet, Told};
use crate::programs::Place;
use crate::report::{Report, Row};
use crate::volumes::Kind;
use anyhow::{Context as _, Result, bail};
use std::path::Path;

const NODES: u32 = 50;
/// More receipts a second than any machine takes.
const TOO_MANY: u32 = 100_000;
const WARM_UP: u64 = 5;
const SECONDS: u64 = 10;
/// A rate is kept up with where so much of it is acknowledged in its time.
const KEPT: f64 = 0.98;
/// What is tried after a rate that is not.
const LESS: f64 = 0.85;
const TRIES: usize = 6;
/// The goals, ms.
const P50_MS: f64 = 40.0;
const P99_MS: f64 = 150.0;

fn at(place: &Place, rate: u32) -> Result<Told> {
    let fleet = Fleet {
        nodes: NODES,
        rate,
        warm_up: WARM_UP,
        seconds: SECONDS,
    };
    fleet.run(place)
}

/// Begins with what is acknowledged where too many are offered.
fn highest(place: &Place) -> Result<u32> {
    let mut rate = at(place, TOO_MANY)?.acked_per_s;
    for _ in 0..TRIES {
        if at(place, rate as u32)?.acked_per_s >= KEPT * rate {
            return Ok(rate as u32);
        }
        rate *= LESS;
    }
    bail!("no rate down to {rate:.0} receipts/s is kept up with")
}

/// Measures both kinds of database.
pub(crate) fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    for kind in Kind::ALL {
        let Some(place) = kind.place(bin, report)? else {
            continue;
        };
        let _control_plane = place.control_plane()?;
        let most = highest(&place)?;
        let told = at(&place, most / 2)?;
        let p50 = told.ack_p50_ms.context("the fleet says how soon")?;
        let p99 = told.ack_p99_ms.context("the fleet says how soon")?;
        report.add(Row {
            what: format!("ack latency at half of the highest rate, {kind}"),
            floor: format!("{most}/s is kept up with"),
            ours: format!("p50 {p50:.1} ms, p99 {p99:.1} ms"),
            peer: String::new(),
            ratio: format!("{:.2} of the goal", (p50 / P50_MS).max(p99 / P99_MS)),
            goal: format!("≤ {P50_MS:.0} / ≤ {P99_MS:.0} ms"),
            reached: p50 <= P50_MS && p99 <= P99_MS,
        });
    }
    Ok(())
}
