//! A failed command: what to print and which exit code to end with.

use crate::accounts::AccountError;
use crate::config::ConfigError;
use dgon_control_plane_store::StoreError;
use std::process::ExitCode;

/// Exit code of a wrong command line or configuration.
pub(super) const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;
const BROKEN: u8 = 70;
const LISTEN: u8 = 71;
const DATA_DIR: u8 = 73;

/// Shown by `--help`.
pub(super) const EXIT_CODES: &str = "Exit codes:\n  0   done\n  1   failed for another reason\n  \
    64  the command line or the configuration is wrong\n  69  the database cannot be opened or migrated, or another \
    server works on it\n  70  a part of the server ended unexpectedly; start it again\n  \
    71  the address cannot be listened on\n  73  the data directory cannot be used";

/// A failed command.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    pub(super) fn other(error: impl Into<anyhow::Error>) -> Self {
        Self::with(1, error)
    }

    pub(super) fn data_dir(error: impl Into<anyhow::Error>) -> Self {
        Self::with(DATA_DIR, error)
    }

    pub(super) fn listen(error: impl Into<anyhow::Error>) -> Self {
        Self::with(LISTEN, error)
    }

    /// Tasks of the server ended that should run.
    pub(super) fn broken(tasks: &[&str]) -> Self {
        let error = anyhow::anyhow!(
            "the server stopped because a part of it ended unexpectedly: {}; the log says how. Start it again; what was \
             not acknowledged comes again by itself",
            tasks.join(", ")
        );
        Self::with(BROKEN, error)
    }

    fn with(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self {
            code,
            error: error.into(),
        }
    }

    /// Prints the whole chain and gives the exit code.
    pub(super) fn report(self) -> ExitCode {
        eprintln!("dgon-control-plane: {:#}", self.error);
        ExitCode::from(self.code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::with(USAGE, error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Url { .. } => USAGE,
            StoreError::Open(_)
            | StoreError::Lock(_)
            | StoreError::InUse { .. }
            | StoreError::Migrate(_) => UNAVAILABLE,
            _ => 1,
        };
        Self::with(code, error)
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error.into(),
            AccountError::Email
            | AccountError::Password
            | AccountError::TokenWish(_)
            | AccountError::Region(_) => Self::with(USAGE, error),
            error => Self::other(error),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::other(error)
    }
}
