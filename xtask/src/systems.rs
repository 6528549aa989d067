//! Runs the agent of other systems on this machine: Windows' under wine, arm64 Linux' under qemu. macOS' is linked.
//!
//! Both agents go through the same eight checks ([`checks`]) against a control plane and a simulated runtime that run
//! natively. What an emulator cannot do is named at the end, so that nobody takes it for shown. Everything lies in
//! `target/systems`.

mod access;
mod bounded;
mod build;
mod checks;
mod guest;
mod macos;
mod plane;
mod wine;

use crate::gate::Skipped;
use crate::needs::{self, Need, debian};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::time::Instant;

/// One system: what it needs, how it is checked, and what whoever stands for it cannot do.
struct System {
    name: &'static str,
    needs: &'static [Need],
    check: fn() -> Result<()>,
    stand_in: &'static str,
    cannot: &'static [&'static str],
}

const COMPILER: Need = debian(
    &["/usr/lib/rustlib/src/rust/library/Cargo.lock"],
    "rust-web-src",
    "the standard library of other systems, from source",
);
const COMPILER_ITSELF: Need = debian(
    &["/usr/bin/rustc"],
    "rustc-web",
    "a compiler of the same version as that source",
);
const CURL: Need = debian(
    &["curl"],
    "curl",
    "requests through the other system's proxy",
);

const SYSTEMS: [System; 3] = [
    System {
        name: "Windows (x86_64-pc-windows-gnu, under wine)",
        needs: &[
            COMPILER,
            COMPILER_ITSELF,
            CURL,
            debian(
                &["x86_64-w64-mingw32-gcc"],
                "gcc-mingw-w64-x86-64",
                "linking the agent for Windows",
            ),
            debian(&wine::LOADER, "wine64", "running the agent for Windows"),
        ],
        check: windows,
        stand_in: "wine",
        cannot: &[
            "run the service: its service manager has no virtual accounts, no recovery actions and no session 0",
            "keep a list of rights: it keeps owner and everybody, inherits nothing, and knows no administrators",
            "close the local pipe: it opens every pipe to everybody",
            "flush as NTFS does: a flush is this system's fsync",
            "show GPUs, a battery or how long the user is idle: it tells of none",
            "ask the certificates of Windows: the agent brings its own",
            "make random bytes as Windows does: wine 8 has no bcryptprimitives.dll, a stand-in of ours hands out wine's",
            "tell the processor's use: wine 8 aborts when asked, a stand-in of ours for pdh.dll says that it is not known",
        ],
    },
    System {
        name: "Linux on arm64 (aarch64-unknown-linux-gnu, under qemu)",
        needs: &[
            COMPILER,
            COMPILER_ITSELF,
            CURL,
            debian(
                &["aarch64-linux-gnu-gcc"],
                "gcc-aarch64-linux-gnu",
                "linking the agent for arm64",
            ),
            debian(
                &["/usr/aarch64-linux-gnu/lib/libc.so.6"],
                "libc6-dev-arm64-cross",
                "the C library for arm64",
            ),
            debian(&guest::QEMU, "qemu-user", "running the agent for arm64"),
        ],
        check: arm,
        stand_in: "qemu",
        cannot: &[
            "run an arm64 kernel: system calls are this machine's, with its page size; theirs may be 16 or 64 KiB",
            "show GPUs and unified memory of arm64 boards",
            "reorder memory as arm64 does: it runs on this processor, which is stricter",
        ],
    },
    System {
        name: "macOS (aarch64-apple-darwin, linked and not run)",
        needs: &[
            COMPILER,
            COMPILER_ITSELF,
            debian(
                &["python3"],
                "python3-venv",
                "the linker for macOS, PyPI's ziglang",
            ),
        ],
        check: macos::link,
        stand_in: "a linker",
        cannot: &["show what only a running program shows: launchd, Metal, IOKit, the notary"],
    },
];

/// What the systems need, each beside its own.
#[cfg(test)]
pub(crate) fn all_needs() -> impl Iterator<Item = &'static Need> {
    SYSTEMS.iter().flat_map(|system| system.needs)
}

/// Builds and checks every system. What cannot be checked here is told as skipped, with why.
pub(crate) fn run() -> Result<()> {
    run_only("")
}

/// The same for the systems whose name contains a text.
pub(crate) fn run_only(text: &str) -> Result<()> {
    // A second run would end the first one's Windows.
    let _alone = needs::one_at_a_time("systems")?;
    let mut lines = Vec::new();
    let (mut skipped, mut failed) = (Vec::new(), Vec::new());
    for system in SYSTEMS.iter().filter(|system| system.name.contains(text)) {
        println!("\n--- {}", system.name);
        let began = Instant::now();
        if let Err(error) = needs::have(&system.needs.iter().collect::<Vec<_>>()) {
            println!("SKIPPED {}: {error:#}", system.name);
            skipped.push(format!("{}: {error:#}", system.name));
            continue;
        }
        match (system.check)() {
            Ok(()) => lines.push(format!(
                "{:>6.1} s  {}",
                began.elapsed().as_secs_f64(),
                system.name
            )),
            Err(error) => {
                println!("FAILED {}: {error:#}", system.name);
                failed.push(system.name);
            }
        }
        for what in system.cannot {
            println!("  {} cannot: {what}", system.stand_in);
        }
    }
    println!();
    for line in lines {
        println!("{line}");
    }
    if !failed.is_empty() {
        bail!("the agent does not hold on: {}", failed.join("; "));
    }
    if skipped.is_empty() {
        return Ok(());
    }
    Err(Skipped(skipped.join("; ")).into())
}

/// The folder of everything that is made here.
fn folder() -> PathBuf {
    crate::shell::target_dir().join("systems")
}

fn windows() -> Result<()> {
    let program = build::windows()?;
    build::native()?;
    checks::run(guest::Guest::wine(&program)?)
}

fn arm() -> Result<()> {
    let program = build::arm()?;
    build::native()?;
    checks::run(guest::Guest::qemu(&program)?)
}
