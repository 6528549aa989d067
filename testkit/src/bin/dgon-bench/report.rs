//! One row per figure; printed as a table and written as JSON.

use crate::figures::Figures;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::path::Path;

/// One figure.
#[derive(Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The goal.
    pub(crate) goal: String,
    /// What nothing can be better than, in this run.
    pub(crate) floor: String,
    /// What others reach in this run; empty where there is no peer.
    pub(crate) peer: String,
    /// Our value in this run.
    pub(crate) ours: String,
    /// Ratio or difference, which the goal is about.
    pub(crate) ratio: String,
    /// Whether the goal was reached in this run.
    pub(crate) reached: bool,
}

/// All figures of a run.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

const HEAD: [&str; 8] = [
    "figure", "goal", "floor", "peer", "ours", "ratio", "reached", "recorded",
];

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("measured: {}", row.what);
        self.rows.push(row);
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What was measured.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Prints all, beside what was recorded.
    pub(crate) fn print(&self, recorded: &Figures) {
        let cells = |row: &Row| {
            let reached = if row.reached { "yes" } else { "NO" };
            let beside = recorded.beside(row);
            [
                &row.what, &row.goal, &row.floor, &row.peer, &row.ours, &row.ratio, reached,
                &beside,
            ]
            .map(str::to_owned)
        };
        let mut table = vec![HEAD.map(str::to_owned)];
        table.extend(self.rows.iter().map(cells));
        let width = |column: usize| {
            let lengths = table.iter().map(|row| row[column].chars().count());
            lengths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        for row in &table {
            let line: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            println!("{}", line.join("  ").trim_end());
        }
        for note in &self.notes {
            println!("note: {note}");
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// The value at `share` (0 to 1) of sorted samples.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The middle of samples in any order.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}
