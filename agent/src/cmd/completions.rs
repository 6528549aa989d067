//! `completions SHELL`.

use super::print;
use crate::cli::Cli;
use clap::CommandFactory as _;
use std::process::ExitCode;

pub(super) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dgon-agent", &mut script);
    print::out(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
