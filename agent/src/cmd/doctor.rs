//! `doctor`: a checklist that grows on a terminal, plain lines in a pipe, JSON for machines.

use super::{Context, print, small_runtime};
use crate::cli::Doctor;
use crate::doctor::{Check, Outcome, Patient, Report, examine};
use anyhow::Result;
use std::process::ExitCode;
use std::time::Duration;

pub(super) fn run(context: &Context, arguments: &Doctor) -> Result<ExitCode> {
    context.quiet_log();
    let patient = Patient::new(
        context.paths.clone(),
        context.load_config(Vec::new()),
        context.place_flags(),
    );
    let colour = print::colour();
    let runtime = small_runtime()?;
    let mut shown = Ok(());
    let report = runtime.block_on(examine(patient, |checks| {
        if !arguments.json && shown.is_ok() {
            shown = print::out(&group(checks, colour));
        }
    }));
    // A call into a driver or a disk that hangs must not keep the doctor from ending.
    runtime.shutdown_background();
    shown?;
    if arguments.json {
        print::json(&report)?;
    } else {
        print::out(&summary(&report, colour))?;
    }
    Ok(ExitCode::from(report.exit_code(arguments.strict)))
}

/// Mark and colour of an outcome; the word stands alone where there is no colour.
fn mark(outcome: Outcome, colour: bool) -> String {
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

fn group(checks: &[Check], colour: bool) -> String {
    let mut text = String::new();
    let mut group = "";
    for check in checks {
        if check.group != group {
            group = check.group;
            let head = group.replace('_', " ");
            text.push_str(&if colour {
                format!("\x1b[1m{head}\x1b[0m\n")
            } else {
                format!("{head}\n")
            });
        }
        let name = check.id.strip_prefix(check.group).unwrap_or(&check.id);
        let finding = print::safe_lines(&check.finding).replace('\n', "\n         ");
        text.push_str(&format!(
            "  {} {}: {finding}\n",
            mark(check.outcome, colour),
            name.trim_start_matches('.').replace('_', " "),
        ));
        if matches!(check.outcome, Outcome::Warn | Outcome::Fail) {
            if !check.looked_at.is_empty() {
                text.push_str(&format!(
                    "         looked at  {}\n",
                    print::safe(&check.looked_at)
                ));
            }
            if let Some(fix) = &check.fix {
                text.push_str(&format!("         try        {}\n", print::safe(fix)));
            }
        }
    }
    text
}

fn summary(report: &Report, colour: bool) -> String {
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
