//! Links the agent for macOS, so that a symbol that does not exist shows. No SDK is needed.
//!
//! PyPI's `ziglang` brings the linker and the symbols of `libSystem`. What the agent uses of Apple's frameworks is
//! listed by hand in `xtask/systems/macos/*.tbd`; a name that is new there must be looked up in Apple's documentation
//! before it is added.

use super::{build, folder};
use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};

const TARGET: &str = "aarch64-apple-darwin";
/// The version that was tried.
const ZIG: &str = "ziglang==0.17.1";
/// How a program for macOS on 64 bits begins.
const MACH_O: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];

pub(super) fn link() -> Result<()> {
    let own = folder().join("macos");
    std::fs::create_dir_all(own.join("sdk"))?;
    let zig = zig(&own)?;
    let cc = script(&own.join("cc"), &compile_script(&zig))?;
    let ar = script(
        &own.join("ar"),
        &format!("#!/bin/sh\nexec \"{}\" ar \"$@\"\n", zig.display()),
    )?;
    let stubs = shell::root().join("xtask/systems/macos");
    let mut cargo = build::cargo(&build::compiler(TARGET)?, TARGET);
    cargo
        .env("SDKROOT", own.join("sdk"))
        .env("CC_aarch64_apple_darwin", &cc)
        .env("AR_aarch64_apple_darwin", &ar)
        .env("CARGO_TARGET_AARCH64_APPLE_DARWIN_LINKER", &cc)
        .env(
            "CARGO_TARGET_AARCH64_APPLE_DARWIN_RUSTFLAGS",
            format!("-Clink-arg=-F{0} -Clink-arg=-L{0}", stubs.display()),
        );
    shell::check(&mut cargo)?;
    let program = build::built(TARGET, "dgon-agent");
    let bytes =
        std::fs::read(&program).with_context(|| format!("{} cannot be read", program.display()))?;
    if !bytes.starts_with(&MACH_O) {
        bail!("{} is not a program for macOS", program.display());
    }
    println!(
        "  ok  linked: every symbol is known ({} bytes)",
        bytes.len()
    );
    Ok(())
}

/// Zig's program, installed once into a virtual environment of its own.
fn zig(own: &Path) -> Result<PathBuf> {
    let environment = own.join("zig");
    if let Some(zig) = installed(&environment) {
        return Ok(zig);
    }
    println!("installing {ZIG} from PyPI (once)");
    shell::check(
        shell::command("python3")
            .args(["-m", "venv"])
            .arg(&environment),
    )?;
    shell::check(shell::command(environment.join("bin/python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        ZIG,
    ]))?;
    installed(&environment).context("the package ziglang brought no program")
}

fn installed(environment: &Path) -> Option<PathBuf> {
    std::fs::read_dir(environment.join("lib"))
        .ok()?
        .flatten()
        .map(|python| python.path().join("site-packages/ziglang/zig"))
        .find(|zig| zig.is_file())
}

/// Zig names its target in its own way, and brings what an SDK would.
fn compile_script(zig: &Path) -> String {
    format!(
        r#"#!/bin/bash
arguments=()
skip=
for argument in "$@"; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case "$argument" in
    -arch | -isysroot | -target) skip=1 ;;
    --target=* | -mmacosx-version-min=* | -mmacos-version-min=*) ;;
    *) arguments+=("$argument") ;;
    esac
done
exec "{}" cc -target aarch64-macos.11.0 "${{arguments[@]}}"
"#,
        zig.display()
    )
}

fn script(path: &Path, text: &str) -> Result<PathBuf> {
    // Written only where it differs: build scripts watch the compiler.
    if std::fs::read_to_string(path).ok().as_deref() != Some(text) {
        std::fs::write(path, text)?;
        executable(path)?;
    }
    Ok(path.to_owned())
}

#[cfg(unix)]
fn executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

#[cfg(not(unix))]
fn executable(_path: &Path) -> Result<()> {
    bail!("the scripts of this step run on Unix systems")
}
