//! Sizes of the programs as they are shipped: built with the release profile, which strips them.

use crate::report::{Report, Row};
use anyhow::{Context as _, Result};
use std::path::Path;

/// Program, and the most that it may take, MB.
const GOALS: [(&str, f64); 2] = [("dgon-agent", 8.0), ("dgon-control-plane", 25.0)];

/// Measures the programs that are there.
pub(crate) fn measure(bin: &Path, report: &mut Report) -> Result<()> {
    for (program, goal) in GOALS {
        let file = bin.join(program);
        let file = file.with_extension(std::env::consts::EXE_EXTENSION);
        let bytes = std::fs::metadata(&file)
            .with_context(|| format!("{} is not built", file.display()))?
            .len();
        let megabytes = bytes as f64 / 1e6;
        report.add(Row {
            what: format!("{program}, stripped size"),
            goal: format!("≤ {goal} MB"),
            floor: String::new(),
            peer: String::new(),
            ours: format!("{megabytes:.2} MB"),
            ratio: format!("{:.2}", megabytes / goal),
            reached: megabytes <= goal,
        });
    }
    Ok(())
}
