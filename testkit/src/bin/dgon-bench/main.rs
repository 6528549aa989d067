//! `dgon-bench`: the figures, each as a ratio or difference measured side by side in one run.
//!
//! `cargo xtask bench` builds release programs and runs this. It prints one table (goal, floor, peer, ours, ratio)
//! and writes the same as JSON to `target/bench.json`. Nothing here is a test: tests never assert times.
//!
//! | module | measures |
//! |---|---|
//! | `size` | the programs' sizes |
//! | `verify` | a receipt: parse, verify, hash |
//! | `spool` | durable receipts a second, recovery |
//! | `first_byte` | what the proxy adds to the first byte, beside nginx and haproxy |
//! | `stream` | CPU per streamed token, beside nginx and haproxy; every byte is checked |
//! | `wear` | memory after 100,000 requests |
//! | `ingest` | the server's CPU for a receipt, from the socket to durable and acknowledged |
//! | `growth` | the same with 5 million receipts in the database |
//! | `latency` | how soon receipts are acknowledged at half of the highest rate |
//! | `start` | how soon the control plane is ready with 5 million receipts |
//! | `pages` | how soon pages are answered with 10,000 nodes and 5 million receipts |
//! | `stacks` | durable receipts a second beside Express with pg and FastAPI with asyncpg |
//! | `browsers` | how soon a thousand browsers are told what was committed |
//! | `sessions` | the memory of an idle agent's session |
//! | `hostile` | what agents that break rules cost those that keep them |
//! | `retention` | for how long old rows that go hold up receipts |
//! | `attack` | how soon people and nodes are answered while strangers guess, read and try |
//! | `idle` | an idle agent beside node-exporter, collectd and netdata |
//! | `join` | thousands of nodes that connect at once, and what they cost at rest; only where it is named |
//! | `soak` | the control plane's memory over half an hour; only where it is named |

mod attack;
mod bare;
mod browsers;
mod client;
mod figures;
mod first_byte;
mod fleet;
mod guests;
mod hostile;
mod idle;
mod ingest;
mod join;
mod latency;
mod pages;
mod peers;
mod people;
mod process;
mod programs;
mod report;
mod retention;
mod sessions;
mod size;
mod soak;
mod spool;
mod stacks;
mod start;
mod stream;
mod system;
mod verify;
mod volumes;
mod wear;

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;

/// Measures DGON's figures.
#[derive(Parser)]
struct Options {
    /// Folder with the release programs.
    #[arg(long)]
    bin: PathBuf,
    /// Where to write the JSON.
    #[arg(long)]
    json: PathBuf,
    /// The recorded figures that this run is compared with.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/figures.json"))]
    figures: PathBuf,
    /// Write this run's figures there.
    #[arg(long)]
    record: bool,
    /// Measure only what has one of these in its name: `stream` or `first_byte,size`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A Python that has `testkit/peers/fastapi/requirements.txt`; without it that peer is left out.
    #[arg(long)]
    peers_python: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = Options::parse();
    let mut report = report::Report::default();
    report.note(machine());
    // What was measured is told, though the rest fails: it took an hour.
    let measured = measure(&options, &mut report).await;
    let mut figures = figures::Figures::read(&options.figures)?;
    report.print(&figures);
    if options.record {
        figures.record(report.rows(), &machine());
        figures.write(&options.figures)?;
    }
    report.write(&options.json)?;
    measured
}

/// Measures what is wanted.
async fn measure(options: &Options, report: &mut report::Report) -> Result<()> {
    let wanted = |name: &str| {
        let only = &options.only;
        only.is_empty() || only.iter().any(|one| name.contains(one.as_str()))
    };
    let bin = options.bin.as_path();
    if wanted("size") {
        size::measure(bin, report)?;
    }
    if wanted("verify") {
        verify::measure(report);
    }
    if wanted("spool") {
        spool::measure(bin, report)?;
    }
    if wanted("first_byte") {
        first_byte::measure(bin, report).await?;
    }
    if wanted("stream") {
        stream::measure(bin, report).await?;
    }
    if wanted("wear") {
        wear::measure(bin, report).await?;
    }
    let mut volumes = volumes::Volumes::new(bin);
    if wanted("ingest") || wanted("growth") {
        ingest::measure(bin, &mut volumes, wanted("growth"), report).await?;
    }
    if wanted("latency") {
        tokio::task::block_in_place(|| latency::measure(bin, report))?;
    }
    if wanted("start") {
        start::measure(&mut volumes, report).await?;
    }
    if wanted("pages") {
        pages::measure(&mut volumes, report).await?;
    }
    drop(volumes);
    if wanted("stacks") {
        stacks::measure(bin, options.peers_python.as_deref(), report).await?;
    }
    if wanted("browsers") {
        browsers::measure(bin, report).await?;
    }
    if wanted("sessions") {
        sessions::measure(bin, report).await?;
    }
    if wanted("hostile") {
        tokio::task::block_in_place(|| hostile::measure(bin, report))?;
    }
    if wanted("attack") {
        attack::measure(bin, report).await?;
    }
    if wanted("retention") {
        retention::measure(bin, report).await?;
    }
    if options.only.iter().any(|one| one == "soak") {
        tokio::task::block_in_place(|| soak::measure(bin, report))?;
    }
    if options.only.iter().any(|one| one == "join") {
        tokio::task::block_in_place(|| join::measure(bin, report))?;
    }
    if wanted("idle") {
        idle::measure(bin, report).await?;
    }
    Ok(())
}

/// The class of this machine.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(':').nth(1))
        .unwrap_or("an unknown CPU");
    format!("{cores} cores of {}", model.trim())
}
