//! The commands, one file each. Only this layer prints, exits and uses `anyhow`.

mod completions;
mod config;
mod context;
mod doctor;
mod enroll;
mod gpus;
mod key;
mod print;
mod prompt;
mod receipt;
mod run;
pub(crate) mod runtimes;
mod status;

pub use context::{Context, UsageError};

use crate::cli::{Cli, Command};
use crate::config::EXIT_CONFIG;
use std::process::ExitCode;

/// Runs one command; what goes wrong is printed with its causes.
pub fn execute(cli: Cli) -> ExitCode {
    let context = match Context::new(cli.global) {
        Ok(context) => context,
        Err(error) => return fail(&error),
    };
    let done = match cli.command {
        Command::Enroll(arguments) => enroll::run(&context, &arguments),
        Command::Gpus(output) => gpus::run(output),
        Command::Completions { shell } => completions::run(shell),
        Command::Config(command) => config::run(&context, command),
        Command::Key(command) => key::run(&context, command),
        Command::Receipt(command) => receipt::run(&context, command),
        Command::Run(arguments) => run::run(&context, &arguments),
        Command::Status(output) => status::run(&context, output),
        Command::Runtimes(output) => runtimes::runtimes(&context, output),
        Command::Models(output) => runtimes::models(&context, output),
        Command::Doctor(arguments) => doctor::run(&context, &arguments),
    };
    done.unwrap_or_else(|error| fail(&error))
}

/// A runtime for commands that ask one question and end.
fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// Prints what clap says: help and version are answers, everything else is exit 64.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // Nothing can be told to anyone when the terminal is gone.
    drop(error.print());
    if error.use_stderr() {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::SUCCESS
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    print::error(error);
    ExitCode::from(context::exit_code(error))
}
