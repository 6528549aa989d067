//! One way to build what is tested, so that no step builds the same dependencies with other features.
//!
//! cargo chooses features for the packages and targets that it is told of: with other packages, or without those whose
//! development dependencies count, it would build most of the tree anew. Every step of the gate therefore names the
//! whole workspace with the same features, and examples or tests with it. What is shipped is built alone, by `package`,
//! `bench` and `run`.

use crate::shell;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// What every step names, whatever it does with it.
pub(crate) const SAME: [&str; 3] = ["--workspace", "--features", "dgon-agent/schema"];

/// Programs under test, with the variable that tells tests where each is.
const PROGRAMS: [(&str, &str); 3] = [
    ("dgon-agent", "DGON_AGENT_BIN"),
    ("dgon-control-plane", "DGON_CONTROL_PLANE_BIN"),
    ("dgon-sim", "DGON_SIM_BIN"),
];

/// Builds the programs under test, and the examples that write files.
pub(crate) fn programs() -> Result<()> {
    shell::check(
        shell::cargo()
            .args(["build", "--quiet", "--locked"])
            .args(SAME)
            .args(["--lib", "--bins", "--examples"]),
    )
}

/// Builds the programs and all tests.
pub(crate) fn everything() -> Result<()> {
    shell::check(
        shell::cargo()
            .args(["build", "--quiet", "--locked"])
            .args(SAME)
            .arg("--all-targets"),
    )
}

/// A program or example (`examples/NAME`) that [`programs`] builds.
pub(crate) fn program(name: &str) -> PathBuf {
    shell::target_dir().join("debug").join(name)
}

/// Tells a command's tests where the programs are.
pub(crate) fn name_programs(command: &mut Command) -> &mut Command {
    command.envs(PROGRAMS.map(|(name, variable)| (variable, program(name))))
}
