//! What the build and the tests need from the system: installed on Debian, named elsewhere.

use crate::shell;
use anyhow::{Result, bail};

/// One thing that must be there.
pub(crate) struct Need {
    /// Programs of which one must be found on the PATH or at the given path.
    pub(crate) any_of: &'static [&'static str],
    /// Debian package that brings it.
    pub(crate) package: &'static str,
    /// What it is for.
    pub(crate) purpose: &'static str,
}

const TEST_NEEDS: [Need; 5] = [
    Need {
        any_of: &["chromium", "chromium-browser", "google-chrome"],
        package: "chromium",
        purpose: "browser tests",
    },
    Need {
        any_of: &["initdb", "/usr/lib/postgresql"],
        package: "postgresql",
        purpose: "store tests on PostgreSQL",
    },
    Need {
        any_of: &["curl"],
        package: "curl",
        purpose: "tests with real HTTP clients",
    },
    Need {
        any_of: &["python3"],
        package: "python3-venv",
        purpose: "tests with real HTTP clients",
    },
    Need {
        any_of: &[
            "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
            "/usr/lib64/faketime/libfaketimeMT.so.1",
            "/usr/lib/faketime/libfaketimeMT.so.1",
        ],
        package: "libfaketime",
        purpose: "tests of clocks that jump",
    },
];

const LINUX_NEEDS: [Need; 1] = [Need {
    any_of: &["systemd-analyze"],
    package: "systemd",
    purpose: "checks of the service's units",
}];

const MACHINE_NEEDS: [Need; 1] = [Need {
    any_of: &["debootstrap", "/usr/sbin/debootstrap"],
    package: "debootstrap",
    purpose: "tests on clean machines",
}];

fn is_there(need: &Need) -> bool {
    need.any_of.iter().any(|name| {
        if name.starts_with('/') {
            std::path::Path::new(name).exists()
        } else {
            shell::exists(name)
        }
    })
}

/// Makes sure that the tests' programs are there.
pub(crate) fn for_tests() -> Result<()> {
    have(&TEST_NEEDS)?;
    if cfg!(target_os = "linux") {
        have(&LINUX_NEEDS)?;
    }
    Ok(())
}

/// Makes sure that clean machines can be made, where that is possible at all: they need root and Debian, and say
/// so themselves where they lack them.
pub(crate) fn for_machines() -> Result<()> {
    if is_root() && shell::exists("apt-get") {
        have(&MACHINE_NEEDS)
    } else {
        Ok(())
    }
}

/// Installs what is missing, or names it.
pub(crate) fn have(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !is_there(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if shell::exists("apt-get") && is_root() {
        return apt_install(&packages);
    }
    let list: Vec<String> = missing
        .iter()
        .map(|need| format!("  {} ({})", need.package, need.purpose))
        .collect();
    let hint = if shell::exists("apt-get") {
        format!("\nRun: sudo apt-get install {}", packages.join(" "))
    } else {
        String::new()
    };
    bail!(
        "the tests need these packages; install them and run again:\n{}{hint}",
        list.join("\n")
    )
}

/// Brings Debian's compiler with its sources where `is_there` says that none checks other systems. What cannot be
/// brought is told by the step that needs it.
pub(crate) fn for_cross(is_there: impl Fn() -> bool) {
    if is_there() || !shell::exists("apt-get") || !is_root() {
        return;
    }
    if let Err(error) = apt_install(&["rustc-web", "rust-web-src"]) {
        println!("no compiler for other systems could be installed: {error:#}");
    }
}

fn apt_install(packages: &[&str]) -> Result<()> {
    println!("installing {} by apt", packages.join(", "));
    shell::check(shell::command("apt-get").args(["update", "-qq"]))?;
    shell::check(
        shell::command("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Makes sure that the console can be built.
pub(crate) fn for_web() -> Result<()> {
    if !shell::exists("npm") || !shell::exists("node") {
        bail!(
            "the console is built with Node.js 20.19 or newer and npm, and they are not on the PATH.\nInstall them (https://nodejs.org, `brew install node`, or your distribution's nodejs and npm packages) and run again"
        );
    }
    let version = shell::output(shell::command("node").arg("--version"))?;
    let mut parts = version
        .trim()
        .trim_start_matches('v')
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if (major, minor) < (20, 19) {
        bail!(
            "the console needs Node.js 20.19 or newer; this is {}",
            version.trim()
        );
    }
    Ok(())
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}
