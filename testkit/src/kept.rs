//! What the gate keeps of a run of tests to search for secrets: everything that was logged, and the secrets that tests
//! know of. The search is `xtask/src/gate/secrets.rs`.
//!
//! Nothing is kept unless [`FOLDER`] names a folder, which the gate makes anew for a step and gives to its owner alone.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The variable that names the folder.
pub const FOLDER: &str = "DGON_KEPT_LOGS";
/// Fewest characters of a secret that is looked for: shorter ones, such as the six digits of an app, are everywhere.
const SECRET_MIN: usize = 10;

/// Where things are kept, if they are.
pub fn folder() -> Option<&'static Path> {
    static KEPT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os(FOLDER).filter(|name| !name.is_empty());
    KEPT.get_or_init(|| named().map(PathBuf::from)).as_deref()
}

/// A file of this process in that folder, for its owner alone.
fn file(kind: &str) -> Option<File> {
    let path = folder()?.join(format!("in-process-{}.{kind}", std::process::id()));
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .ok()
}

/// Keeps what servers of this process log, with the levels that an operator can ask for. Later calls change nothing.
pub fn log_here() {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let Some(file) = file("log") else { return };
        let filter = Targets::new()
            .with_target("dgon", LevelFilter::DEBUG)
            .with_default(LevelFilter::WARN);
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(Mutex::new(file));
        // A test that collects events itself has begun already; its events are its own.
        let _ = tracing_subscriber::registry()
            .with(filter)
            .with(layer)
            .try_init();
    });
}

/// Notes a secret of this kind, which no log may have.
pub fn secret(kind: &str, value: &str) {
    static SECRETS: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let Some(secrets) = SECRETS.get_or_init(|| file("secrets").map(Mutex::new)) else {
        return;
    };
    // A key of several lines is its lines.
    for line in value.lines().filter(|line| line.len() >= SECRET_MIN) {
        let mut file = secrets.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever cannot note a secret finds out where none were noted.
        let _ = file.write_all(format!("{kind}\t{line}\n").as_bytes());
    }
}

/// Asks a program of ours for all that an operator can make it log.
pub(crate) fn ask_for_all(command: &mut Command) {
    if folder().is_some() {
        command.env("DGON_LOG", "debug");
    }
}

/// Keeps what a program wrote, when it has ended. `command` is what was run: the program, and with what.
pub(crate) fn log_of(command: &str, id: u32, log: &Path) {
    if let Some(folder) = folder() {
        let program = command.split(' ').next().unwrap_or_default();
        // The gate misses it where no program of that name could be kept.
        let _ = std::fs::copy(log, folder.join(format!("{program}-{id}.log")));
    }
}
