//! The checklist on a terminal: groups that are done scroll up and stay; the others wait below, a row each, and are
//! updated in place. One write per change, without clearing the screen, so that nothing flickers.

use super::super::prompt;
use super::text;
use crate::doctor::{GroupSnapshot, Snapshot};

/// Begin and end of a change that the terminal shows at once, where it knows how.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
/// Erases from the cursor to the end of the screen.
const ERASE: &str = "\x1b[J";

/// What is on the screen.
pub(super) struct Live {
    colour: bool,
    columns: usize,
    rows: usize,
    /// Groups that were written for good.
    settled: usize,
    /// Rows that wait, as they were last written.
    waiting: Vec<String>,
}

impl Live {
    /// `None` where the standard output is no terminal that can move its cursor.
    pub(super) fn new(colour: bool) -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let (columns, rows) = prompt::size().filter(|_| !is_dumb)?;
        Some(Self::on(columns.into(), rows.into(), colour))
    }

    fn on(columns: usize, rows: usize, colour: bool) -> Self {
        Self {
            colour,
            columns,
            rows,
            settled: 0,
            waiting: Vec::new(),
        }
    }

    /// What to write to bring the screen up to date; empty where nothing changed.
    pub(super) fn frame(&mut self, snapshot: &Snapshot) -> String {
        let mut done = String::new();
        while let Some(group) = snapshot.groups.get(self.settled).filter(|one| one.is_done) {
            done.push_str(&text::group(group, self.colour));
            self.settled += 1;
        }
        let waiting = self.rows_of(&snapshot.groups[self.settled..]);
        if done.is_empty() && waiting == self.waiting {
            return String::new();
        }
        let back = match self.waiting.len() {
            0 => String::new(),
            rows => format!("\x1b[{rows}A\r"),
        };
        let mut frame = format!("{BEGIN}{back}{ERASE}{done}");
        for row in &waiting {
            frame.push_str(row);
            frame.push('\n');
        }
        frame.push_str(END);
        self.waiting = waiting;
        frame
    }

    /// A row for each group that waits; one for all where the screen has too few rows, for what has scrolled away
    /// cannot be updated.
    fn rows_of(&self, groups: &[GroupSnapshot]) -> Vec<String> {
        if groups.len() + 1 >= self.rows {
            return vec![self.cut(&format!("… {} groups are being looked at", groups.len()))];
        }
        groups.iter().map(|group| self.row(group)).collect()
    }

    fn row(&self, group: &GroupSnapshot) -> String {
        let mut row = format!("… {:<14}", text::title(group.name));
        for check in &group.checks {
            let sign = match check.outcome {
                crate::doctor::Outcome::Ok => '✓',
                crate::doctor::Outcome::Warn => '!',
                crate::doctor::Outcome::Fail => '✗',
                crate::doctor::Outcome::Skip => '-',
            };
            row.push_str(&format!(" {sign} {}", text::title(check.id.name())));
        }
        self.cut(&row)
    }

    /// A row that wraps would be two, and the cursor would not find back.
    fn cut(&self, row: &str) -> String {
        row.trim_end()
            .chars()
            .take(self.columns.saturating_sub(1))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Check, CheckId};

    fn snapshot(done: bool, checks: Vec<Check>) -> Snapshot {
        let group = |name, checks, is_done| GroupSnapshot {
            name,
            checks,
            is_done,
        };
        Snapshot {
            groups: vec![
                group("config", checks, done),
                group("disk", Vec::new(), false),
            ],
        }
    }

    fn well() -> Vec<Check> {
        vec![Check::new(CheckId::ConfigParse, "x").ok("the configuration is valid")]
    }

    #[test]
    fn rows_appear_are_updated_in_place_and_settle() {
        let mut live = Live::on(80, 24, false);
        let first = live.frame(&snapshot(false, Vec::new()));
        assert_eq!(first, format!("{BEGIN}{ERASE}… config\n… disk\n{END}"));
        assert_eq!(live.frame(&snapshot(false, Vec::new())), "");
        let second = live.frame(&snapshot(false, well()));
        assert!(
            second.starts_with(&format!("{BEGIN}\x1b[2A\r{ERASE}… config")),
            "{second:?}"
        );
        assert!(second.contains("✓ parse\n… disk\n"), "{second:?}");
        let third = live.frame(&snapshot(true, well()));
        let settled = "config\n  ok   parse: the configuration is valid\n";
        assert_eq!(
            third,
            format!("{BEGIN}\x1b[2A\r{ERASE}{settled}… disk\n{END}")
        );
    }

    #[test]
    fn no_row_is_wider_and_no_block_higher_than_the_screen() {
        let many: Vec<Check> = CheckId::ALL
            .iter()
            .map(|id| Check::new(*id, "x").ok("-"))
            .collect();
        let mut narrow = Live::on(20, 24, false);
        narrow.frame(&snapshot(false, many));
        assert!(narrow.waiting.iter().all(|row| row.chars().count() < 20));
        let mut low = Live::on(80, 3, false);
        low.frame(&snapshot(false, well()));
        assert_eq!(low.waiting.len(), 1);
    }
}
