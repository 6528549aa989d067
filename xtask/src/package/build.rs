//! The programs that are packed: for this system's C library, and static on musl.

use super::{Job, elf, fresh};
use crate::{build, shell};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

/// Debian's compiler and its library's source, which can build the library for a target that rustup has not installed.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LIBRARY: &str = "/usr/lib/rustlib/src/rust/library";

/// The debug program, as the gate builds it.
pub(super) fn debug_program() -> PathBuf {
    build::program("dgon-agent")
}

/// Builds the agent for this system; a stripped copy of the program.
pub(super) fn native(job: &Job) -> Result<PathBuf> {
    let built = if job.profile == "dev" {
        debug_program()
    } else {
        shell::check(
            shell::cargo()
                .args(["build", "--locked", "--package", "dgon-agent"])
                .args(["--bin", "dgon-agent", "--profile", &job.profile]),
        )?;
        shell::target_dir().join(&job.profile).join("dgon-agent")
    };
    let program = stripped(job, &built, "dgon-agent")?;
    if let Some(floor) = elf::floors(&program)?.glibc {
        println!("dgon-agent needs glibc {floor} or newer");
    }
    Ok(program)
}

/// Builds the agent static on musl.
pub(super) fn musl(job: &Job) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--locked", "--release", "--package", "dgon-agent"])
        .args(["--bin", "dgon-agent", "--target", &target]);
    if !rustup_has(&target) {
        build_std(job, &mut cargo, &target)?;
    }
    shell::check(&mut cargo)?;
    let built = shell::target_dir().join(&target).join("release/dgon-agent");
    let program = stripped(job, &built, "dgon-agent-musl")?;
    elf::check_static(&program)?;
    Ok(program)
}

/// Builds the agent for Windows.
pub(super) fn windows(job: &Job) -> Result<PathBuf> {
    const TARGET: &str = "x86_64-pc-windows-gnu";
    const GCC: &str = "x86_64-w64-mingw32-gcc";
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--locked", "--release", "--package", "dgon-agent"])
        .args(["--bin", "dgon-agent", "--target", TARGET])
        .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER", GCC);
    if !rustup_has(TARGET) {
        let library = debian_library(TARGET)?;
        let objects = job.work.join("windows-lib");
        startup_objects(&library, &objects, TARGET)?;
        cargo
            .arg("-Zbuild-std=std,panic_unwind")
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .env(
                "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS",
                format!("-Clink-self-contained=no -Lnative={}", objects.display()),
            );
    }
    shell::check(&mut cargo)?;
    let built = shell::target_dir()
        .join(TARGET)
        .join("release/dgon-agent.exe");
    let program = job.work.join("programs/dgon-agent.exe");
    super::install(&built, &program, "755")?;
    Ok(program)
}

/// The two objects that begin and end every program of this target; rustup brings them compiled.
pub(crate) fn startup_objects(library: &Path, folder: &Path, target: &str) -> Result<()> {
    fresh(folder)?;
    for name in ["rsbegin", "rsend"] {
        shell::check(
            shell::command(DEBIAN_RUSTC)
                .args(["--crate-type", "lib", "--emit", "obj", "--target", target])
                .arg("-o")
                .arg(folder.join(format!("{name}.o")))
                .arg(library.join("rtstartup").join(format!("{name}.rs")))
                .env("RUSTC_BOOTSTRAP", "1"),
        )?;
    }
    Ok(())
}

/// Whether the toolchain in use has a target's library.
fn rustup_has(target: &str) -> bool {
    shell::output(shell::command("rustc").args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|folder| Path::new(folder.trim()).exists())
}

/// The source of Debian's Rust library.
fn debian_library(target: &str) -> Result<PathBuf> {
    let library = PathBuf::from(DEBIAN_LIBRARY);
    if !Path::new(DEBIAN_RUSTC).exists() || !library.join("Cargo.lock").exists() {
        bail!(
            "the target {target} is not installed; run `rustup target add {target}`, or on Debian \
             `sudo apt-get install rustc-web rust-web-src`"
        );
    }
    Ok(library)
}

/// Builds the standard library too, with Debian's compiler, its source, and musl's C library.
fn build_std(job: &Job, cargo: &mut std::process::Command, target: &str) -> Result<()> {
    debian_library(target)?;
    let libraries = job.work.join("musl-lib");
    unwinder(&libraries)?;
    let variable = target.to_uppercase().replace('-', "_");
    let lower = target.replace('-', "_");
    cargo
        .arg("-Zbuild-std=std,panic_unwind")
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(format!("CC_{lower}"), "musl-gcc")
        .env(format!("AR_{lower}"), "ar")
        .env(format!("CARGO_TARGET_{variable}_LINKER"), "musl-gcc")
        .env(
            format!("CARGO_TARGET_{variable}_RUSTFLAGS"),
            format!(
                "-Clink-self-contained=no -Ctarget-feature=+crt-static -Crelocation-model=static -Lnative={}",
                libraries.display()
            ),
        );
    Ok(())
}

/// `libunwind.a` as Rust's library wants it: GCC's unwinder, and the one call of glibc that it makes.
fn unwinder(folder: &Path) -> Result<()> {
    fresh(folder)?;
    let object = folder.join("unwinder.o");
    shell::check(
        shell::command("musl-gcc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-c"])
            .arg(shell::root().join("packaging/musl/unwinder.c"))
            .arg("-o")
            .arg(&object),
    )?;
    let gcc = shell::output(shell::command("gcc").arg("-print-file-name=libgcc_eh.a"))?;
    let library = folder.join("libunwind.a");
    std::fs::copy(gcc.trim(), &library)
        .with_context(|| format!("GCC's unwinder {} cannot be copied", gcc.trim()))?;
    shell::check(
        shell::command("ar")
            .arg("rD")
            .arg(&library)
            .arg(&object)
            .stderr(std::process::Stdio::null()),
    )
}

fn stripped(job: &Job, built: &Path, name: &str) -> Result<PathBuf> {
    let folder = job.work.join("programs").join(&job.profile);
    std::fs::create_dir_all(&folder)?;
    let program = folder.join(name);
    shell::check(shell::command("strip").arg("-o").arg(&program).arg(built))?;
    Ok(program)
}
