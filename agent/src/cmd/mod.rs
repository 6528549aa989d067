//! The commands, one file each. Only this layer prints, exits and uses `anyhow`.

mod completions;
mod config;
mod context;
mod doctor;
mod enroll;
mod gpus;
mod key;
mod owner;
mod print;
mod prompt;
mod receipt;
mod run;
mod runtimes;
mod service;
mod status;
mod stop;

pub use context::{Context, UsageError};

use crate::cli::{Cli, Command};
use crate::config::EXIT_CONFIG;
use std::process::ExitCode;

/// Runs one command; what goes wrong is printed with its causes.
pub fn execute(cli: Cli) -> ExitCode {
    dispatch(cli).unwrap_or_else(|error| {
        print::error(&error);
        ExitCode::from(context::exit_code(&error))
    })
}

/// Commands that need no place on this machine work without one: a verifier may have no home directory.
fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let context = || Context::new(cli.global);
    match cli.command {
        Command::Completions { shell } => completions::run(shell),
        Command::Config(command) => config::run(&context()?, command),
        Command::Drain(arguments) => owner::drain(&context()?, arguments),
        Command::Doctor(arguments) => doctor::run(&context()?, &arguments),
        Command::Enroll(arguments) => enroll::run(&context()?, &arguments),
        Command::Gpus(arguments) => gpus::run(context, arguments),
        Command::Key(command) => key::run(&context()?, command),
        Command::Models(output) => runtimes::models(&context()?, output),
        Command::Pause(output) => owner::pause(&context()?, output),
        Command::Receipt(command) => receipt::run(context, command),
        Command::Resume(output) => owner::resume(&context()?, output),
        Command::Run(arguments) => run::run(&context()?, &arguments),
        Command::Runtimes(output) => runtimes::runtimes(&context()?, output),
        Command::Service(command) => service::run(&context()?, &command),
        Command::Status(output) => status::run(&context()?, output),
        Command::Stop(output) => stop::run(&context()?, output),
    }
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
