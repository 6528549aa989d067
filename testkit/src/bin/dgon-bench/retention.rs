//! For how long old rows that go hold up receipts that come.

use crate::fleet::Fleet;
use crate::programs::Place;
use crate::report::{Report, Row};
use anyhow::{Context as _, Result, ensure};
use dgon_control_plane_store::Store;
use dgon_testkit::fleet::unix_now;
use dgon_testkit::programs::http_client;
use dgon_testkit::seed::{Seed, seed};
use std::path::Path;

/// Receipts that have had their time, and those that come meanwhile.
const OLD_NODES: u32 = 50;
const OLD_RECEIPTS: u32 = 2_000;
const OLD_DAYS: i64 = 200;
const NODES: u32 = 16;
const RATE: u32 = 1_000;
const SECONDS: u64 = 60;
/// No step holds the writer for longer, s: a border of the metric's buckets.
const WITHIN_S: &str = "0.05";
const METRIC: &str = "retention_held_seconds";

/// Fills a database with what is too old, and lets a fleet work while the control plane lets it go.
pub(crate) async fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    let place = Place::new(bin)?;
    // Makes the database, and its key.
    place.token(1)?;
    let data = place.dir.path().join("control-plane");
    let store = Store::open(&format!("sqlite:{}", data.join("dgon.db").display())).await?;
    let now_ms = i64::try_from(unix_now().as_millis())?;
    let old = Seed::day(OLD_NODES, OLD_RECEIPTS, now_ms - OLD_DAYS * 86_400_000);
    seed(&store, &old, |_| ()).await?;
    store.close().await;
    let _control_plane = place.control_plane()?;
    let fleet = Fleet {
        nodes: NODES,
        rate: RATE,
        warm_up: 0,
        seconds: SECONDS,
    };
    let told = tokio::task::block_in_place(|| fleet.run(&place))?;
    let metrics = http_client()?.get(format!("http://{}/metrics", place.api));
    let metrics = metrics.send().await?.text().await?;
    let steps = sum(&metrics, &format!("{METRIC}_count"), "");
    let within = sum(
        &metrics,
        &format!("{METRIC}_bucket"),
        &format!("le=\"{WITHIN_S}\""),
    );
    let held_s = sum(&metrics, &format!("{METRIC}_sum"), "");
    ensure!(steps > 0.0, "nothing was deleted");
    report.add(Row {
        what: format!(
            "steps of retention that held up ingest for over 50 ms, at {RATE} receipts/s, SQLite"
        ),
        floor: format!("{steps:.0} steps, mean {:.1} ms", held_s / steps * 1e3),
        ours: format!("{:.0}", steps - within),
        peer: String::new(),
        ratio: format!("{:.2} %", (1.0 - within / steps) * 100.0),
        goal: "0".into(),
        reached: steps - within < 0.5,
    });
    let p99 = told.ack_p99_ms.context("the fleet says how soon")?;
    report.note(format!("ack p99 while old rows went: {p99:.1} ms"));
    Ok(())
}

/// The sum over all tables of a metric whose labels have this text.
fn sum(metrics: &str, name: &str, label: &str) -> f64 {
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(name) && line.contains(label));
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
