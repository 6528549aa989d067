//! What a receipt costs the server, from the socket to durable and acknowledged, and whether that grows with what is stored.
//!
//! Simulated agents send at a steady rate over their links. Their joining is cut off. Bare verifications are measured
//! meanwhile, a second apart, so that what slows the one slows the other. On PostgreSQL the CPU is the server's own.

use crate::bare::Bare;
use crate::fleet::{Fleet, Moment};
use crate::process::Split;
use crate::programs::Place;
use crate::report::{Report, Row};
use crate::volumes::{FEW, Kind, Volumes, many};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::Duration;

/// Receipts a second of the whole fleet.
const RATE: u32 = 2_000;
const NODES: [u32; 3] = [2, 50, 900];
/// How long nodes join, are probed, and everything gets warm, s; those of the volume are late meanwhile.
const WARM_UP: u64 = 35;
const SECONDS: u64 = 30;
/// Samples of bare verifications end so long before that, s.
const SPARE: u64 = 3;
/// The goal: cost at the large volume ÷ cost at the small one.
const GROWTH: f64 = 1.2;

/// The goal, in bare verifications.
fn goal(kind: Kind, nodes: u32, has_ifma: bool) -> f64 {
    match (nodes > 50, has_ifma, kind) {
        (true, true, Kind::Sqlite) => 1.5,
        (true, true, Kind::Postgres) => 1.4,
        (true, false, _) => 1.9,
        (false, true, _) => 1.3,
        (false, false, _) => 1.7,
    }
}

/// What was measured with one fleet.
struct Cost {
    /// CPU of the server for each receipt, µs.
    us: f64,
    /// Of which on the threads of SQLite.
    sqlite_us: f64,
    /// Of which in the system, for all other threads.
    system_us: f64,
    per_s: f64,
    bare: Bare,
}

impl Cost {
    fn of(bin: &Path, place: &Place, nodes: u32) -> Result<Self> {
        let control_plane = place.control_plane()?;
        let fleet = Fleet {
            nodes,
            rate: RATE,
            warm_up: WARM_UP,
            seconds: SECONDS,
        };
        let (mut used, mut bare) = (Duration::ZERO, Bare::default());
        let mut split = Split::default();
        let told = fleet.watched(place, |moment| {
            match moment {
                Moment::Counting => {
                    (used, split) = (control_plane.cpu(), control_plane.split());
                    bare.take_for(bin, Duration::from_secs(SECONDS - SPARE))?;
                }
                Moment::Made => {
                    used = control_plane.cpu().saturating_sub(used);
                    split = control_plane.split().since(split);
                }
            }
            Ok(())
        })?;
        ensure!(
            told.refused == 0 && told.unacked == 0,
            "{} receipts refused, {} not acknowledged",
            told.refused,
            told.unacked
        );
        let of_each = |used: Duration| used.as_secs_f64() * 1e6 / told.acked;
        Ok(Self {
            us: of_each(used),
            sqlite_us: of_each(split.sqlite),
            system_us: of_each(split.system),
            per_s: told.acked_per_s,
            bare,
        })
    }

    fn told(&self) -> String {
        let sqlite = match self.sqlite_us > 0.0 {
            true => format!("SQLite {:.1}, ", self.sqlite_us),
            false => String::new(),
        };
        format!(
            "{:.1} µs CPU ({sqlite}system {:.1}), {:.0}/s",
            self.us, self.system_us, self.per_s
        )
    }

    fn tell(&self, what: String, goal: f64, report: &mut Report) {
        report.add(Row {
            what,
            floor: self.bare.told(),
            ours: self.told(),
            peer: String::new(),
            ratio: self.bare.ratio(self.us),
            goal: format!("≤ {goal}×"),
            reached: self.us / self.bare.us() <= goal,
        });
    }
}

/// Measures each kind of database with each fleet; with `grown` at the large volume, too.
pub(crate) async fn measure(
    bin: &Path,
    volumes: &mut Volumes,
    grown: bool,
    report: &mut Report,
) -> Result<()> {
    let sizes = if grown { vec![FEW, many()?] } else { vec![FEW] };
    for kind in Kind::ALL {
        for nodes in NODES {
            let mut costs = Vec::new();
            for receipts in &sizes {
                let Some(place) = volumes.copy(kind, *receipts, report).await? else {
                    break;
                };
                let what = format!("receipt, {kind}, {nodes} nodes, at {receipts} rows");
                let cost = match tokio::task::block_in_place(|| Cost::of(bin, &place, nodes)) {
                    Ok(cost) => cost,
                    // A machine that is too busy for one row may have time for the next.
                    Err(fault) => {
                        report.note(format!("{what}: not measured: {fault:#}"));
                        break;
                    }
                };
                cost.tell(what, goal(kind, nodes, cost.bare.has_ifma()), report);
                costs.push(cost.us / cost.bare.us());
            }
            if let [few, many] = costs.as_slice() {
                tell_growth(kind, nodes, many / few, report);
            }
        }
    }
    Ok(())
}

fn tell_growth(kind: Kind, nodes: u32, ratio: f64, report: &mut Report) {
    report.add(Row {
        what: format!("receipt, {kind}, {nodes} nodes, growth"),
        floor: String::new(),
        ours: String::new(),
        peer: String::new(),
        ratio: format!("{ratio:.2}×"),
        goal: format!("≤ {GROWTH}×"),
        reached: ratio <= GROWTH,
    });
}
