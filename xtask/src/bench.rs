//! The figures: release programs, the peers that are asked for by name, then `dgon-bench` over all of them.
//!
//! Peers that are packages of a system (nginx, netdata and others) are a person's to install, for they bring daemons.
//! Those of `testkit/peers` are ours: what they need is brought here, and one that cannot be had is left out.

use crate::gate::steps::POSTGRESQL;
use crate::needs::{self, Need};
use crate::shell;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// The figure that `testkit/peers` are for.
const STACKS: &str = "stacks";

/// Builds release programs and measures the figures with them. The agent is built alone, as it is shipped: beside
/// others it would get the features that those ask of its dependencies.
pub(crate) fn run(only: Option<&str>, record: bool) -> Result<()> {
    let shipped = ["--package", "dgon-agent", "--bin", "dgon-agent"];
    let beside = [
        "--package=dgon-agent",
        "--package=dgon-control-plane",
        "--package=dgon-protocol",
        "--package=dgon-testkit",
        "--package=dgon-fake-nvml",
        "--features=dgon-testkit/seed",
        "--example=spool_load",
        "--example=bare_verify",
        "--bin=dgon-control-plane",
        "--bin=dgon-sim",
        "--bin=dgon-bench",
        "--bin=dgon-bare-proxy",
        "--lib",
    ];
    for arguments in [&shipped[..], &beside[..]] {
        let mut cargo = shell::cargo();
        cargo.args(["build", "--release", "--locked"]);
        shell::check(cargo.args(arguments))?;
    }
    let release = shell::target_dir().join("release");
    bare_avx2(&release)?;
    let mut bench = shell::command(release.join("dgon-bench"));
    bench
        .arg("--bin")
        .arg(&release)
        .arg("--json")
        .arg(shell::target_dir().join("bench.json"));
    if only.is_none_or(|only| only.split(',').any(|one| STACKS.contains(one))) {
        or_without("PostgreSQL", needs::have(&[&POSTGRESQL]));
        or_without("Express", express());
        if let Some(python) = or_without("FastAPI", fastapi()) {
            bench.arg("--peers-python").arg(python);
        }
    }
    if record {
        bench.arg("--record");
    }
    shell::check(bench.args(only.map(|name| format!("--only={name}"))))
}

/// The bare verification without AVX-512, beside the one that is built as the server is: goals are about it.
fn bare_avx2(release: &Path) -> Result<()> {
    const NAME: &str = "bare_verify";
    if !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    let target = shell::target_dir().join("avx2");
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--release", "--locked", "--package=dgon-protocol"])
        .args(["--example", NAME])
        // What the environment says counts in place of .cargo/config.toml.
        .env("RUSTFLAGS", "")
        .env("CARGO_TARGET_DIR", &target);
    shell::check(&mut cargo)?;
    let examples = release.join("examples");
    std::fs::copy(
        target.join("release/examples").join(NAME),
        examples.join(format!("{NAME}_avx2")),
    )?;
    Ok(())
}

/// What was brought; where it was not, a person is told why, and the bench what it can do without.
fn or_without<T>(name: &str, brought: Result<T>) -> Option<T> {
    brought
        .inspect_err(|fault| println!("{name} cannot be had here, so it is left out: {fault:#}"))
        .ok()
}

/// The packages of the peer on Express.
fn express() -> Result<()> {
    needs::have(&[&Need::Node])?;
    let folder = "testkit/peers/express";
    shell::check(shell::command("npm").args(["--prefix", folder, "ci", "--no-audit", "--no-fund"]))
}

/// The Python of the peer on FastAPI.
fn fastapi() -> Result<PathBuf> {
    let _alone = needs::one_at_a_time("pip")?;
    needs::have(needs::PYTHON)?;
    let listed = Path::new("testkit/peers/fastapi/requirements.txt");
    let listed = std::fs::read_to_string(shell::root().join(listed))?;
    let python = shell::output(
        shell::command("sh")
            .arg("testkit/clients/venv.sh")
            .arg(shell::target_dir().join("peers-venv"))
            .args(listed.lines()),
    )?;
    Ok(python.trim().into())
}
