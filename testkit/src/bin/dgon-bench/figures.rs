//! Figures that were recorded, which stand in the repository (`testkit/figures.json`): what a run is compared with.
//!
//! What counts is the number that a ratio begins with. Ratios are of one run, so they can be compared from machine to machine
//! of one class; each figure says on which it was taken.

use crate::report::Row;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A ratio so much worse than the recorded one is told.
const WORSE: f64 = 1.2;

#[derive(Serialize, Deserialize)]
struct Figure {
    ours: String,
    ratio: String,
    machine: String,
}

/// Figures by what was measured.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(BTreeMap<String, Figure>);

impl Figures {
    /// Those of the file; none where there is no file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let unread = || format!("{} cannot be read", path.display());
        let bytes = std::fs::read(path).with_context(unread)?;
        serde_json::from_slice(&bytes).with_context(unread)
    }

    /// Puts these in the place of what was recorded of them; what was not measured stays.
    pub(crate) fn record(&mut self, rows: &[Row], machine: &str) {
        for row in rows {
            let figure = Figure {
                ours: row.ours.clone(),
                ratio: row.ratio.clone(),
                machine: machine.to_owned(),
            };
            self.0.insert(row.what.clone(), figure);
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// For a person: what was recorded of this figure, and whether it is much worse now.
    pub(crate) fn beside(&self, row: &Row) -> String {
        let Some(recorded) = self.0.get(&row.what) else {
            return String::new();
        };
        let more_is_better = row.goal.starts_with('≥');
        let worse = match (number(&recorded.ratio), number(&row.ratio)) {
            (Some(was), Some(is)) if more_is_better => was / is,
            (Some(was), Some(is)) => is / was,
            _ => 1.0,
        };
        match worse > WORSE {
            true => format!("recorded {}, WORSE", recorded.ratio),
            false => format!("recorded {}", recorded.ratio),
        }
    }
}

/// The number above zero that a text begins with.
fn number(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let number: f64 = text[..end.unwrap_or(text.len())].parse().ok()?;
    (number > 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: &str, ratio: &str) -> Row {
        Row {
            what: "a figure".into(),
            goal: goal.into(),
            floor: String::new(),
            peer: String::new(),
            ours: "5 µs".into(),
            ratio: ratio.into(),
            reached: true,
        }
    }

    #[test]
    fn a_ratio_that_is_a_fifth_worse_is_told() {
        let mut figures = Figures::default();
        let less = |ratio| row("≤ 2×", ratio);
        assert_eq!(figures.beside(&less("1.5×")), "");
        figures.record(&[less("1.00× (1.70× with IFMA)")], "a machine");
        assert!(figures.beside(&less("1.30×")).ends_with("WORSE"));
        assert!(!figures.beside(&less("1.10×")).ends_with("WORSE"));
        let more = |ratio| row("≥ 5×", ratio);
        assert!(figures.beside(&more("0.70×")).ends_with("WORSE"));
        assert!(!figures.beside(&more("3×")).ends_with("WORSE"));
        assert!(!figures.beside(&less("none")).ends_with("WORSE"));
    }
}
