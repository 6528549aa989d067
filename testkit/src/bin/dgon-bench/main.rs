//! `dgon-bench`: the figures, each as a ratio or difference measured side by side in one run.
//!
//! `cargo xtask bench` builds release programs and runs this. It prints one table (goal, floor, ours, ratio) and
//! writes the same as JSON to `target/bench.json`. Nothing here is a test: tests never assert times.

mod first_byte;
mod ingest;
mod programs;
mod report;
mod verify;

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
    /// Measure only what has this in its name.
    #[arg(long)]
    only: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let wanted = |name: &str| {
        options
            .only
            .as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    let mut report = report::Report::default();
    if wanted("verify") {
        verify::measure(&mut report);
    }
    if wanted("first_byte") {
        first_byte::measure(&options.bin, &mut report).await?;
    }
    if wanted("ingest") {
        ingest::measure(&options.bin, &mut report).await?;
    }
    report.print();
    report.write(&options.json)
}
