//! The real programs under test: found or built, started, frozen, killed, started again.
//!
//! Every program runs in its own temporary folder on free ports and dies with its handle. Nothing here sleeps for a
//! fixed time: every wait is for a condition and has a limit.

mod agent;
mod clock;
mod control_plane;
mod process;
mod session;

pub use agent::{AgentProcess, AgentSetup};
pub use clock::false_clock;
pub use control_plane::ControlPlaneProcess;
pub use process::{Process, free_port, kill_together};
pub use session::Session;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Longest wait for a program to be ready, or for anything else that should be quick: generous, because the machine
/// of a test may be busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why a program under test is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A file or a process could not be made.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A program ended when it should not have, or failed.
    #[error("{program} ended ({status}); its log says:\n{log}")]
    Ended {
        /// Which program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        log: String,
    },
    /// A program did not get ready in time.
    #[error("{program} was not {what} within {PATIENCE:?}; its log says:\n{log}")]
    Late {
        /// Which program.
        program: String,
        /// What was waited for.
        what: String,
        /// The end of what it wrote.
        log: String,
    },
    /// The control plane answered in a way that the test cannot use.
    #[error("unexpected answer to {what}: {answer}")]
    Answer {
        /// The request.
        what: String,
        /// Status and body.
        answer: String,
    },
    /// HTTP failed below its status.
    #[error("{what} could not be asked")]
    Http {
        /// The request.
        what: String,
        /// Why it failed.
        #[source]
        source: reqwest::Error,
    },
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ProgramError {
    let what = what.into();
    move |source| ProgramError::Io { what, source }
}

/// The agent's binary: `DGON_AGENT_BIN`, else built by cargo.
///
/// # Errors
/// It cannot be built.
pub fn agent_bin() -> Result<PathBuf, ProgramError> {
    find("DGON_AGENT_BIN", "dgon-agent")
}

/// The control plane's binary: `DGON_CONTROL_PLANE_BIN`, else built by cargo.
///
/// # Errors
/// It cannot be built.
pub fn control_plane_bin() -> Result<PathBuf, ProgramError> {
    find("DGON_CONTROL_PLANE_BIN", "dgon-control-plane")
}

fn find(variable: &str, program: &str) -> Result<PathBuf, ProgramError> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(named) = std::env::var_os(variable) {
        return Ok(named.into());
    }
    match BUILT.get_or_init(build) {
        Ok(folder) => Ok(folder
            .join(program)
            .with_extension(std::env::consts::EXE_EXTENSION)),
        Err(log) => Err(ProgramError::Ended {
            program: "cargo build".to_owned(),
            status: "failed".to_owned(),
            log: log.clone(),
        }),
    }
}

/// Builds the programs where cargo builds the tests; the folder they are in. The selection is the one that the gate
/// builds before its tests (`xtask/src/build.rs`): with another set cargo would choose other features and build
/// everything anew. Cargo's own lock makes parallel tests wait for each other.
fn build() -> Result<PathBuf, String> {
    const SELECTION: [&str; 6] = [
        "--workspace",
        "--features",
        "dgon-agent/schema",
        "--lib",
        "--bins",
        "--examples",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet"])
        .args(SELECTION)
        .current_dir(root);
    // What cargo tells a test of its package would look like a change to build scripts that read the same names.
    let of_the_test =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_the_test) {
            command.env_remove(name);
        }
    }
    let output = command.output().map_err(|fault| fault.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("debug"))
}

/// A client for tests: no proxy, no pool that would hide a restart.
///
/// # Errors
/// The TLS provider is unusable.
pub fn http_client() -> Result<reqwest::Client, ProgramError> {
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .build()
        .map_err(|source| ProgramError::Http {
            what: "anything".to_owned(),
            source,
        })
}
