//! `cargo xtask`: the one door for scripts. The Makefile only forwards to it.
//!
//! | command | what |
//! |---|---|
//! | `run` | builds everything and runs a whole DGON on this machine |
//! | `ci` | the gate, step by step; `make test`, and with `--all` `make test-all` |
//! | `step` | one step of the gate in this process |
//! | `cross` | type-checks the agent for macOS, Windows and other processors |
//! | `systems` | runs the agent for Windows and arm64 Linux here, links it for macOS |
//! | `fuzz` | coverage-guided fuzzing of every parser of remote bytes |
//! | `openapi` | writes `control-plane/openapi.json` and the web client's types |
//! | `clients` | real HTTP clients against the proxy |
//! | `machine` | tests on clean machines with a real systemd |
//! | `package` | the packages that operators install, into `target/packages/` |
//! | `real` | the whole path on a real llama-server |
//! | `bench` | the figures, side by side |
//! | `deny` | licences, bans and sources of all dependencies |

mod bench;
mod build;
mod cross;
mod fuzz;
mod gate;
mod generated;
mod needs;
mod package;
mod run;
mod shell;
mod systems;

use clap::{Parser, Subcommand};
use gate::steps;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "xtask", about = "Builds, checks and runs DGON")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the console and both programs, then run them on this machine.
    Run(run::Options),
    /// Every test there is.
    Ci(gate::Options),
    /// One step of the gate, in this process.
    Step {
        /// Its whole name.
        name: String,
    },
    /// Type-check the agent for macOS, Windows and other processors.
    Cross(cross::Options),
    /// Run the agent for Windows (wine) and arm64 Linux (qemu) here, and link it for macOS.
    Systems {
        /// Only systems whose name contains this: `Windows`, `arm64`, `macOS`.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Fuzz every parser of remote bytes.
    Fuzz {
        /// Seconds for each target.
        #[arg(default_value_t = 5)]
        seconds: u32,
    },
    /// Regenerate the OpenAPI document and the web client's types.
    Openapi,
    /// Regenerate the JSON schemas of agent.yaml and the doctor's report.
    Schemas,
    /// Run real HTTP clients (`openai`, `ollama`, curl) against the proxy.
    Clients,
    /// Run the tests on clean machines: a fresh Debian with a real systemd for each (needs root).
    Machine {
        /// What the runner takes: `--only TEXT`, `--list`, `--shell`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Make the packages that operators install.
    Package(package::Options),
    /// Run the whole path on a real llama-server, built once and cached.
    Real,
    /// Measure the figures.
    Bench {
        /// Measure only what has one of these in its name: `first_byte,size`.
        #[arg(long)]
        only: Option<String>,
        /// Write the figures into testkit/figures.json, which later runs are compared with.
        #[arg(long)]
        record: bool,
    },
    /// Check licences, bans and sources of all dependencies.
    Deny,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Ci(options) => gate::run(&options),
        Command::Step { name } => return ended(gate::step(&name)),
        Command::Cross(options) => cross::run(&options),
        Command::Systems { only } => systems::run_only(&only),
        Command::Fuzz { seconds } => fuzz::run(seconds),
        Command::Openapi => generated::write(),
        Command::Schemas => generated::write_schemas(),
        Command::Clients => steps::REAL_CLIENTS.perform(),
        Command::Machine { arguments } => machine(&arguments),
        Command::Package(options) => package::run(&options),
        Command::Real => steps::REAL_RUNTIME.perform(),
        Command::Bench { only, record } => bench::run(only.as_deref(), record),
        Command::Deny => steps::DEPENDENCY_RULES.perform(),
    };
    ended(result.map(|()| ExitCode::SUCCESS))
}

/// What the shell is told, and a person where it failed.
fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The clean machines with arguments for their runner; brings what they need first.
fn machine(arguments: &[String]) -> anyhow::Result<()> {
    needs::have(steps::CLEAN_MACHINES.needs)?;
    steps::machines(arguments)
}
