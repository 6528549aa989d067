//! The commands. Each is a thin layer over the library; this is the only place that knows exit codes.

mod audit;
mod check_config;
mod failure;
mod log;
mod master_key;
mod migrate;
mod open;
mod openapi;
mod serve;
mod token;
mod user;

use crate::config::{Config, ConfigError, Layers};
use clap::{Parser, Subcommand};
use failure::Failure;
use std::path::PathBuf;
use std::process::ExitCode;

/// The control plane of a DGON network: enrols nodes, verifies and keeps receipts, serves the console.
#[derive(Debug, Parser)]
#[command(name = "dgon-control-plane", version, after_help = failure::EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags of all commands. Everything else is set in a file or in the environment: see .env.example.
#[derive(Debug, clap::Args)]
struct Common {
    /// Configuration file (YAML); also $DGON_CONTROL_PLANE_CONFIG.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the database and the master key; also $DGON_DATA_DIR.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// error, warn, info, debug or trace; also $DGON_LOG.
    #[arg(long, global = true, value_name = "LEVEL")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the control plane.
    Serve(serve::Options),
    /// Brings the database's schema up to date.
    Migrate,
    /// Checks the configuration and shows every setting with where it came from.
    CheckConfig,
    /// Makes users and one-time sign-in links. Works while `serve` runs.
    #[command(subcommand)]
    User(user::Command),
    /// Makes enrolment tokens for nodes. Works while `serve` runs.
    #[command(subcommand)]
    Token(token::Command),
    /// Checks the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Prints the OpenAPI document.
    Openapi,
}

impl Common {
    fn layers(&self, more: &[(&'static str, Option<String>)]) -> Result<Layers, ConfigError> {
        let mut flags = vec![
            ("data_dir", self.data_dir.clone()),
            ("log.level", self.log.clone()),
        ];
        flags.extend_from_slice(more);
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Layers::read(self.config.as_deref(), environment, &flags)
    }

    /// The checked configuration; the log starts.
    fn load(&self, more: &[(&'static str, Option<String>)]) -> Result<Config, Failure> {
        let config = self.layers(more)?.check()?;
        log::init(&config);
        Ok(config)
    }
}

/// Runs the command of the command line and tells the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                failure::USAGE
            } else {
                0
            };
            // A closed terminal is no reason to fail.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Failure::other(error).report(),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(options) => serve::run(&cli.common, &options).await,
        Command::Migrate => migrate::run(&cli.common).await,
        Command::CheckConfig => check_config::run(&cli.common),
        Command::User(command) => user::run(&cli.common, command).await,
        Command::Token(command) => token::run(&cli.common, command).await,
        Command::Audit(command) => audit::run(&cli.common, command).await,
        Command::Openapi => openapi::run(),
    }
}
