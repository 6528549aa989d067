//! `cargo xtask package`: what operators install, made from one build into `target/packages/`.
//!
//! | kind | file |
//! |---|---|
//! | `deb` | `dgon-agent_VERSION_ARCH.deb` |
//! | `rpm` | `dgon-agent-VERSION-1.ARCH.rpm` |
//! | `tar` | `dgon-agent-VERSION-linux-ARCH.tar.gz`, linked with this system's C library |
//! | `musl` | `dgon-agent-VERSION-linux-ARCH-musl.tar.gz`, static |
//! | `windows` | `dgon-agent-VERSION-windows-x86_64.zip` |
//! | `homebrew` | `dgon-agent.rb` and the source that it builds from |
//!
//! `SHA256SUMS` lists all files that are there. The definitions are in `packaging/`. The same sources and the same
//! compiler give the same bytes: times come from `SOURCE_DATE_EPOCH`, which is the last commit's where it is not set.

mod archive;
mod build;
pub(crate) use build::startup_objects;
mod deb;
mod elf;
mod homebrew;
mod rpm;
mod stage;
mod windows;

use crate::needs::{self, Need, debian};
use crate::shell;
use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// What to make.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Make only these kinds; all of them where absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Pack the program of this cargo profile; `dev` is quick and for tests alone.
    #[arg(long, default_value = "release")]
    profile: String,
    /// Another version than the workspace's.
    #[arg(long)]
    version: Option<String>,
    /// Where to put them.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A dgon-agent.exe that was built elsewhere, for the Windows zip.
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Deb,
    Rpm,
    Tar,
    Musl,
    Windows,
    Homebrew,
}

const ALL: [Kind; 6] = [
    Kind::Deb,
    Kind::Rpm,
    Kind::Tar,
    Kind::Musl,
    Kind::Windows,
    Kind::Homebrew,
];

/// What packages of Fedora and its like need.
pub(crate) const RPM: Need = debian(&["rpmbuild"], "rpm", "packages for Fedora and its like");
const MUSL: Need = debian(&["musl-gcc"], "musl-tools", "the static program");
const ZIP: Need = debian(&["zip"], "zip", "the archive for Windows");
const MINGW: Need = debian(
    &["x86_64-w64-mingw32-gcc"],
    "gcc-mingw-w64-x86-64",
    "the program for Windows",
);

impl Kind {
    fn needs(self) -> &'static [&'static Need] {
        match self {
            Self::Rpm => &[&RPM],
            Self::Musl => &[&MUSL],
            Self::Windows => &[&ZIP],
            Self::Deb | Self::Tar | Self::Homebrew => &[],
        }
    }
}

/// What packages need, all of them together.
#[cfg(test)]
pub(crate) fn all_needs() -> impl Iterator<Item = &'static Need> {
    let kinds = ALL.iter().flat_map(|kind| kind.needs().iter().copied());
    kinds.chain([&MINGW])
}

/// What all kinds need to know.
struct Job {
    version: String,
    profile: String,
    /// Where packages are put.
    out: PathBuf,
    /// Where they are put together.
    work: PathBuf,
    /// Unix seconds of every file in them.
    epoch: String,
    maintainer: String,
    exe: Option<PathBuf>,
}

/// Makes the packages and their checksums.
pub(crate) fn run(options: &Options) -> Result<()> {
    let kinds = match options.only.is_empty() {
        true => ALL.to_vec(),
        false => options.only.clone(),
    };
    for kind in &kinds {
        needs::have(kind.needs())?;
    }
    if kinds.contains(&Kind::Windows) && options.exe.is_none() {
        needs::have(&[&MINGW])?;
    }
    let job = Job {
        version: options
            .version
            .clone()
            .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
        profile: options.profile.clone(),
        out: absolute(options.out.clone())?,
        work: shell::target_dir().join("package-work"),
        epoch: epoch()?,
        maintainer: std::env::var("DGON_MAINTAINER")
            .unwrap_or_else(|_| "DGON project <packages@dgon.example>".to_owned()),
        exe: options.exe.clone(),
    };
    std::fs::create_dir_all(&job.out)?;
    stage::documents(&job)?;
    if kinds
        .iter()
        .any(|kind| matches!(kind, Kind::Deb | Kind::Rpm | Kind::Tar))
    {
        let program = build::native(&job)?;
        for kind in &kinds {
            match kind {
                Kind::Deb => deb::make(&job, &program)?,
                Kind::Rpm => rpm::make(&job, &program)?,
                Kind::Tar => archive::linux(&job, &program, "")?,
                _ => {}
            }
        }
    }
    if kinds.contains(&Kind::Musl) {
        archive::linux(&job, &build::musl(&job)?, "-musl")?;
    }
    if kinds.contains(&Kind::Windows) {
        windows::make(&job)?;
    }
    if kinds.contains(&Kind::Homebrew) {
        homebrew::make(&job)?;
    }
    sums(&job.out)
}

/// The folder for the packages: where the caller says, seen from where the caller stands.
fn absolute(out: Option<PathBuf>) -> Result<PathBuf> {
    let out = out.unwrap_or_else(|| shell::target_dir().join("packages"));
    std::path::absolute(out).context("the folder for the packages has no absolute path")
}

/// The time of all files: the caller's, else the last commit's.
fn epoch() -> Result<String> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) if !epoch.is_empty() => Ok(epoch),
        _ => Ok(
            shell::output(shell::command("git").args(["log", "-1", "--format=%ct"]))?
                .trim()
                .to_owned(),
        ),
    }
}

/// Writes `SHA256SUMS` over everything in the folder, for `sha256sum --check`.
fn sums(out: &Path) -> Result<()> {
    let mut names: Vec<String> = std::fs::read_dir(out)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("dgon-agent") && out.join(name).is_file())
        .collect();
    names.sort();
    let text = shell::output(shell::command("sha256sum").args(&names).current_dir(out))?;
    std::fs::write(out.join("SHA256SUMS"), &text)?;
    println!("\n{}:\n{text}", out.display());
    Ok(())
}

/// Writes a file and the folders above it.
fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, content).with_context(|| format!("{} cannot be written", path.display()))
}

/// Copies a file with the given mode, and makes the folders above it.
fn install(source: &Path, target: &Path, mode: &str) -> Result<()> {
    shell::check(
        shell::command("install")
            .args(["-D", "-m", mode])
            .args([source, target]),
    )
}

/// An empty folder.
fn fresh(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}
