//! The gate: every check and test, in the order that fails soonest, with the time of each step.

use crate::{cross, fuzz, generated, prerequisites, shell};
use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the steps whose name contains this text.
    #[arg(long)]
    only: Option<String>,
}

/// A step that cannot run on this machine, and why. It is told by name and does not fail the gate.
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) String);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

type Step = (&'static str, fn() -> Result<()>);

const STEPS: &[Step] = &[
    ("web install and build", web_build),
    ("format", || {
        shell::check(shell::cargo().args(["fmt", "--all", "--check"]))
    }),
    ("dependency rules", deny),
    ("clippy", clippy),
    ("rust tests", rust_tests),
    ("other systems", cross::gate),
    ("documentation", documentation),
    ("generated files", generated::check),
    ("web checks and unit tests", || {
        shell::check(shell::command("npm").args(["--prefix", "web", "run", "ci"]))
    }),
    ("browser tests", browser_tests),
    ("real clients", || shell::script("testkit/clients/run.sh")),
    ("clean machines", || machine(&[])),
    ("fuzzing", || fuzz::run(4)),
];

/// Runs the gate.
pub(crate) fn run(options: &Options) -> Result<()> {
    prerequisites::for_tests()?;
    prerequisites::for_web()?;
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut skipped: Vec<(&str, Skipped)> = Vec::new();
    for &(name, step) in STEPS {
        if options
            .only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
        {
            continue;
        }
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = step().or_else(|error: anyhow::Error| -> Result<()> {
            let why = error.downcast::<Skipped>()?;
            println!("SKIPPED {name}: {why}");
            skipped.push((name, why));
            Ok(())
        });
        outcome.with_context(|| {
            format!(
                "the step \"{name}\" failed; run it alone with: cargo xtask ci --only \"{name}\""
            )
        })?;
        times.push((name, start.elapsed()));
    }
    println!("\n=== all steps passed");
    for (name, time) in &times {
        println!("{:>6.1} s  {name}", time.as_secs_f64());
    }
    for (name, why) in &skipped {
        println!(" SKIPPED  {name}: {why}");
    }
    println!(
        "\n{} passed, {} skipped, 0 failed",
        times.len() - skipped.len(),
        skipped.len()
    );
    Ok(())
}

fn web_build() -> Result<()> {
    shell::check(shell::command("npm").args(["--prefix", "web", "ci", "--no-audit", "--no-fund"]))?;
    shell::check(shell::command("npm").args(["--prefix", "web", "run", "build"]))
}

fn clippy() -> Result<()> {
    shell::check(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ]))
}

fn documentation() -> Result<()> {
    shell::check(
        shell::cargo()
            .args(["doc", "--workspace", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// nextest where it is installed, else cargo's own runner; both end with their summary.
fn rust_tests() -> Result<()> {
    let binaries = [
        "build",
        "--quiet",
        "--package",
        "dgon-agent",
        "--package",
        "dgon-control-plane",
        "--package",
        "dgon-testkit",
        "--package",
        "dgon-fake-nvml",
    ];
    shell::check(shell::cargo().args(binaries))?;
    if shell::exists("cargo-nextest") {
        shell::check(shell::cargo().args(["nextest", "run", "--workspace", "--profile", "ci"]))?;
        return shell::check(shell::cargo().args(["test", "--workspace", "--doc", "--quiet"]));
    }
    shell::check(shell::cargo().args(["test", "--workspace", "--no-fail-fast"]))
}

fn browser_tests() -> Result<()> {
    let debug = shell::target_dir().join("debug");
    shell::check(
        shell::command("npm")
            .args(["--prefix", "web", "run", "e2e"])
            .env("DGON_CONTROL_PLANE_BIN", debug.join("dgon-control-plane"))
            .env("DGON_AGENT_BIN", debug.join("dgon-agent"))
            .env("DGON_SIM_BIN", debug.join("dgon-sim")),
    )
}

/// Tests on clean machines; where they cannot be made, the step says that it was skipped and why.
pub(crate) fn machine(arguments: &[String]) -> Result<()> {
    prerequisites::for_machines()?;
    let mut run = shell::command("sh");
    shell::forget_package(&mut run);
    shell::check(run.arg("testkit/machine/run.sh").args(arguments))
}

/// Checks `deny.toml`; cargo-deny is built once into the target folder where it is not installed.
pub(crate) fn deny() -> Result<()> {
    let own = shell::target_dir().join("tools");
    let program = if shell::exists("cargo-deny") {
        PathBuf::from("cargo-deny")
    } else {
        own.join("bin/cargo-deny")
    };
    if !shell::exists("cargo-deny") && !program.exists() {
        println!("installing cargo-deny (once)");
        shell::check(
            shell::cargo()
                .args([
                    "install",
                    "--quiet",
                    "--locked",
                    "--debug",
                    "--no-default-features",
                    "--version",
                    "0.20.2",
                    "cargo-deny",
                    "--root",
                ])
                .arg(&own),
        )?;
    }
    shell::check(shell::command(program).args([
        "--offline",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
}
