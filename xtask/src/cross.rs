//! Type-checks the agent for the systems that this machine is not: nothing is linked, no SDK is needed.
//!
//! The standard library of another system is either there (`rustup target add`) or checked from its sources with
//! `-Zbuild-std`. A stable toolchain without sources cannot do that; Debian's `rustc-web` and `rust-web-src` can, so
//! that one is looked for second. C code of dependencies is not compiled: the stand-ins in `xtask/cross` make empty
//! objects. Everything lies in `target/cross`, apart from the build of this machine.

use crate::gate::Skipped;
use crate::needs::{self, Need, debian};
use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the gate checks: one target for each family of per-OS files.
const GATE: [&str; 2] = ["aarch64-apple-darwin", "x86_64-pc-windows-gnu"];
/// What else an operator may run.
const REST: [&str; 3] = [
    "x86_64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
];
/// Debian's compiler with sources beside it.
const DEBIAN_COMPILER: &str = "/usr/bin/rustc";

/// What to check.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Check every target, not only those of the gate.
    #[arg(long)]
    all: bool,
    /// Check this target alone, such as `x86_64-apple-darwin`.
    #[arg(long, conflicts_with = "all")]
    target: Option<String>,
}

/// A compiler and how it comes by the standard library of a target.
pub(crate) struct Compiler {
    program: PathBuf,
    from_source: Option<PathBuf>,
}

impl Compiler {
    /// The compiler itself.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The source of the standard library, where that must be built as well.
    pub(crate) fn library(&self) -> Option<&Path> {
        self.from_source.as_deref()
    }
}

/// Windows' import libraries are made on the way, by this program even where nothing is linked.
const DLLTOOL: Need = debian(
    &["x86_64-w64-mingw32-dlltool"],
    "binutils-mingw-w64-x86-64",
    "type-checking for Windows",
);
const DEBIAN_RUSTC: Need = debian(
    &["/usr/lib/rustlib/src/rust/library/std/Cargo.toml"],
    "rust-web-src",
    "the standard library of other systems",
);
const RUSTC_WEB: Need = debian(
    &["/usr/bin/rustc"],
    "rustc-web",
    "a compiler that builds the standard library of other systems",
);
/// What any of these checks needs where packages can be installed; where not, what is missing shows by itself.
#[cfg(target_os = "linux")]
pub(crate) const NEEDS: &[&Need] = &[&DLLTOOL];
#[cfg(not(target_os = "linux"))]
pub(crate) const NEEDS: &[&Need] = &[];

/// What is brought only where no compiler here will do.
#[cfg(test)]
pub(crate) fn brought() -> impl Iterator<Item = &'static Need> {
    [&RUSTC_WEB, &DEBIAN_RUSTC].into_iter()
}

/// The gate's step.
pub(crate) fn gate() -> Result<()> {
    check(&GATE)
}

/// The gate's step for everything that an operator may run.
pub(crate) fn everything() -> Result<()> {
    check(&REST)
}

/// Brings Debian's compiler with its sources where none here checks other systems. What cannot be brought is told as
/// skipped.
fn bring_compiler(targets: &[&str]) {
    if !needs::can_install() || targets.iter().all(|target| compiler_for(target).is_some()) {
        return;
    }
    if let Err(error) = needs::have(&[&RUSTC_WEB, &DEBIAN_RUSTC]) {
        println!("no compiler for other systems could be installed: {error:#}");
    }
}

/// Checks what the options name.
pub(crate) fn run(options: &Options) -> Result<()> {
    let all: Vec<&str> = GATE.into_iter().chain(REST).collect();
    match &options.target {
        Some(target) if !all.contains(&target.as_str()) => {
            bail!("this is none of the targets: {}", all.join(", "))
        }
        Some(target) => check(&[target]),
        None if options.all => check(&all),
        None => check(&GATE),
    }
}

fn check(targets: &[&str]) -> Result<()> {
    bring_compiler(targets);
    let mut unchecked = Vec::new();
    for target in targets {
        match compiler_for(target) {
            Some(compiler) => {
                println!("checking the agent for {target}");
                check_one(&compiler, target).with_context(|| {
                    format!("the agent does not compile for {target}; run it alone with: cargo xtask cross --target {target}")
                })?;
            }
            None => unchecked.push(*target),
        }
    }
    if unchecked.is_empty() {
        return Ok(());
    }
    Err(Skipped(format!(
        "the agent was not checked for {}: no compiler here has their standard library. Install it with \
         `rustup target add {}`, or Debian's rustc-web and rust-web-src",
        unchecked.join(", "),
        unchecked.join(" ")
    ))
    .into())
}

/// The compiler that runs this first, since it also builds the agent; then Debian's.
pub(crate) fn compiler_for(target: &str) -> Option<Compiler> {
    let own = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    [PathBuf::from(own), PathBuf::from(DEBIAN_COMPILER)]
        .into_iter()
        .find_map(|program| {
            let sysroot =
                shell::output(Command::new(&program).args(["--print", "sysroot"])).ok()?;
            let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
            let built = rustlib.join(target).join("lib").is_dir();
            let library = rustlib.join("src/rust/library");
            let from_source = (!built && library.join("std").is_dir()).then_some(library);
            let fits = built || (from_source.is_some() && is_new_enough(&program));
            fits.then_some(Compiler {
                program,
                from_source,
            })
        })
}

/// Whether a compiler that is not the project's own can build the project.
fn is_new_enough(program: &Path) -> bool {
    let wanted = (1, 95);
    let Ok(said) = shell::output(Command::new(program).arg("--version")) else {
        return false;
    };
    let version = said.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= wanted
}

fn check_one(compiler: &Compiler, target: &str) -> Result<()> {
    let stand_ins = shell::root().join("xtask/cross");
    let name = target.replace('-', "_");
    let mut cargo = shell::cargo();
    cargo
        .args([
            "check",
            "--quiet",
            "--locked",
            "--package",
            "dgon-agent",
            "--target",
            target,
        ])
        // What only another system compiles must be as clean as the rest.
        .args(["-Zwarnings", "--config", "build.warnings=\"deny\""])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", &compiler.program)
        .env("CARGO_TARGET_DIR", shell::target_dir().join("cross"))
        .env(format!("CC_{name}"), stand_ins.join("cc"))
        .env(format!("AR_{name}"), stand_ins.join("ar"));
    if compiler.from_source.is_some() {
        cargo.arg("-Zbuild-std=std,panic_unwind");
    }
    shell::check(&mut cargo)
}
