//! `dgon-agent`: reads the command line, starts the log, runs one command.

use clap::Parser as _;
use dgon_agent::cli::Cli;
use dgon_agent::cmd;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cmd::execute(cli),
        Err(error) => cmd::refuse(&error),
    }
}
