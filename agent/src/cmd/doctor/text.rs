//! How checks are written.

use super::super::print;
use crate::doctor::{Check, GroupSnapshot, Outcome, Report};
use std::time::Duration;

/// Mark and colour of an outcome; the word stands alone where there is no colour.
pub(super) fn mark(outcome: Outcome, colour: bool) -> String {
    let (word, sign, code) = match outcome {
        Outcome::Ok => ("ok", "✓", "32"),
        Outcome::Warn => ("warn", "!", "33"),
        Outcome::Fail => ("fail", "✗", "31"),
        Outcome::Skip => ("skip", "-", "2"),
    };
    if colour {
        format!("\x1b[{code}m{sign}\x1b[0m")
    } else {
        format!("{word:4}")
    }
}

/// The name of a group for a person.
pub(super) fn title(name: &str) -> String {
    name.replace('_', " ")
}

/// All checks of a group with its head.
pub(super) fn group(group: &GroupSnapshot, colour: bool) -> String {
    let head = title(group.name);
    let mut text = if colour {
        format!("\x1b[1m{head}\x1b[0m\n")
    } else {
        format!("{head}\n")
    };
    for check in &group.checks {
        text.push_str(&line(check, colour));
    }
    text
}

fn line(check: &Check, colour: bool) -> String {
    let finding = print::safe_lines(&check.finding).replace('\n', "\n         ");
    let subject = check.subject.as_deref().map_or(String::new(), |subject| {
        format!(" of {}", print::safe(subject))
    });
    let mut text = format!(
        "  {} {}{subject}: {finding}\n",
        mark(check.outcome, colour),
        title(check.id.name()),
    );
    if matches!(check.outcome, Outcome::Warn | Outcome::Fail) {
        if !check.looked_at.is_empty() {
            let looked_at = print::safe(&check.looked_at);
            text.push_str(&format!("         looked at  {looked_at}\n"));
        }
        if let Some(fix) = &check.fix {
            text.push_str(&format!("         try        {}\n", print::safe(fix)));
        }
    }
    text
}

/// The last line.
pub(super) fn summary(report: &Report, colour: bool) -> String {
    let counts = report.counts;
    format!(
        "{} {} ok, {} warnings, {} failures, {} skipped, in {:.1} s\n",
        mark(report.result, colour),
        counts.ok,
        counts.warn,
        counts.fail,
        counts.skip,
        Duration::from_millis(report.took_ms).as_secs_f64(),
    )
}
