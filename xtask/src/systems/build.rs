//! The agent for another system, with little debug information: it is run some minutes and thrown away.

use super::folder;
use crate::cross::{self, Compiler};
use crate::{package, shell};
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// DLLs that wine lacks or aborts in.
const STAND_INS: [&str; 2] = ["bcryptprimitives", "pdh"];

/// The programs of this machine that the others are checked against; the same choice of packages as the tests'.
pub(super) fn native() -> Result<()> {
    shell::check(shell::cargo().args([
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
    ]))
}

/// The Windows program in a folder of its own, with what stands in for DLLs of Windows beside it.
pub(super) fn windows() -> Result<PathBuf> {
    const TARGET: &str = "x86_64-pc-windows-gnu";
    const GCC: &str = "x86_64-w64-mingw32-gcc";
    let compiler = compiler(TARGET)?;
    let mut cargo = cargo(&compiler, TARGET);
    cargo.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", GCC);
    if let Some(library) = compiler.library() {
        let objects = folder().join("objects");
        if !objects.join("rsend.o").exists() {
            package::startup_objects(library, &objects, TARGET)?;
        }
        cargo.env(
            "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS",
            format!("-Clink-self-contained=no -Lnative={}", objects.display()),
        );
    }
    shell::check(&mut cargo)?;
    let bin = folder().join("wine/bin");
    std::fs::create_dir_all(&bin)?;
    let program = bin.join("dgon-agent.exe");
    copy(&built(TARGET, "dgon-agent.exe"), &program)?;
    for name in STAND_INS {
        shell::check(
            shell::command(GCC)
                .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-o"])
                .arg(bin.join(format!("{name}.dll")))
                .args([&format!("xtask/systems/{name}.c"), "-ladvapi32"]),
        )?;
    }
    Ok(program)
}

/// The program for Linux on arm64.
pub(super) fn arm() -> Result<PathBuf> {
    const TARGET: &str = "aarch64-unknown-linux-gnu";
    let mut cargo = cargo(&compiler(TARGET)?, TARGET);
    cargo.env(
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
        "aarch64-linux-gnu-gcc",
    );
    shell::check(&mut cargo)?;
    Ok(built(TARGET, "dgon-agent"))
}

/// A compiler that has the standard library of a target, or its source.
pub(super) fn compiler(target: &str) -> Result<Compiler> {
    cross::compiler_for(target).with_context(|| {
        format!("no compiler here has the standard library of {target}, nor its source; on Debian: apt-get install rustc-web rust-web-src")
    })
}

/// Cargo as it builds the agent's program for a target.
pub(super) fn cargo(compiler: &Compiler, target: &str) -> Command {
    println!("building the agent for {target} (some minutes where it was not built before)");
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--quiet", "--locked", "--package", "dgon-agent"])
        .args(["--bin", "dgon-agent", "--target", target])
        .env("RUSTC", compiler.program())
        .env("CARGO_TARGET_DIR", folder())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        // Stripping needs a tool that not every compiler brings.
        .env("CARGO_PROFILE_DEV_STRIP", "none");
    if compiler.library().is_some() {
        cargo
            .arg("-Zbuild-std=std,panic_unwind")
            .env("RUSTC_BOOTSTRAP", "1");
    }
    cargo
}

/// Where cargo puts a program.
pub(super) fn built(target: &str, name: &str) -> PathBuf {
    folder().join(target).join("debug").join(name)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))
}
