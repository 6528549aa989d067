//! The gate: every check and test, what each needs, the time each took, and that no process outlives any.
//!
//! `stages.rs` says which steps there are and which run beside each other. Each step is a process of its own
//! (`xtask step NAME`), so that its output, its processor time and the processes that it leaves behind are its own.
//! What a step prints goes to `target/gate/NAME.log` too.

mod leftovers;
mod runner;
mod secrets;
pub(crate) mod stages;
pub(crate) mod steps;

use crate::needs::{self, Need};
use anyhow::{Context as _, Result};
use std::process::ExitCode;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the steps whose name contains this text.
    #[arg(long)]
    only: Option<String>,
    /// Run what is slow and seldom breaks, too.
    #[arg(long)]
    all: bool,
    /// Only name the steps, those of `make test` first.
    #[arg(long)]
    list: bool,
}

/// One check: what it needs beyond the README's list, and what it does.
pub(crate) struct Step {
    /// What a person calls it.
    pub(crate) name: &'static str,
    /// Why it cannot run on this machine, whatever is installed; nothing where it can.
    pub(crate) cannot: fn() -> Option<String>,
    /// Brought right before it runs.
    pub(crate) needs: &'static [&'static Need],
    /// The check.
    pub(crate) run: fn() -> Result<()>,
}

/// A step or a part of one that cannot run on this machine, and why. It is told by name and does not fail the gate.
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// How a line begins that says what was not checked. The gate repeats every such line at its end.
pub(crate) const SKIPPED: &str = "SKIPPED ";
/// Exit code of a step, and of a script of one, that was skipped as a whole.
pub(crate) const SKIPPED_CODE: u8 = 77;

impl Step {
    /// Brings what the step needs and runs it.
    pub(crate) fn perform(&self) -> Result<()> {
        if let Some(why) = (self.cannot)() {
            return Err(Skipped(why).into());
        }
        needs::have(self.needs)?;
        (self.run)()
    }
}

/// Runs the gate, or the part of it that the options name.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.list {
        for step in stages::all() {
            let is_slow = stages::slow().any(|slow| slow.name == step.name);
            println!("{}{}", step.name, if is_slow { " (--all)" } else { "" });
        }
        return Ok(());
    }
    runner::run(options.only.as_deref(), options.all)
}

/// Runs one step in this process; its exit code.
pub(crate) fn step(name: &str) -> Result<ExitCode> {
    let step = stages::all()
        .find(|step| step.name == name)
        .with_context(|| format!("no step is called \"{name}\""))?;
    let watch = leftovers::Watch::begin();
    let outcome = step.perform();
    let left = watch.end();
    runner::tell_processor_time();
    match outcome {
        Err(fault) => match fault.downcast::<Skipped>() {
            Ok(why) => {
                println!("{SKIPPED}{name}: {why}");
                left?;
                Ok(ExitCode::from(SKIPPED_CODE))
            }
            Err(fault) => {
                if let Err(left) = left {
                    eprintln!("{left:#}");
                }
                Err(fault)
            }
        },
        Ok(()) => left.map(|()| ExitCode::SUCCESS),
    }
}
