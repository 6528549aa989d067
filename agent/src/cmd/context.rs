//! What every command starts from: places, environment, flags.

use crate::cli::Global;
use crate::config::plain_http::PlainHttp;
use crate::config::{
    ConfigError, EXIT_CONFIG, Loaded, Log, LogLevel, Overrides, PathFlags, Paths, PathsError,
};
use crate::own_command::name_places;
use crate::run::RunError;
use crate::shell::Shell;
use anyhow::Result;
use clap::ValueEnum;

/// The command line asks for something that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Places, environment and flags of this call.
#[derive(Debug)]
pub struct Context {
    /// Where files are.
    pub paths: Paths,
    global: Global,
}

/// The process environment as the configuration reads it. A value that is not Unicode counts as absent.
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Context {
    /// Resolves the places.
    ///
    /// # Errors
    /// [`PathsError`] where a default place is needed and there is none.
    pub fn new(global: Global) -> Result<Self> {
        let flags = PathFlags {
            state_dir: global.state_dir.clone(),
            config: global.config.clone(),
        };
        let paths = Paths::resolve(&flags, &environment)?;
        let this = Self { paths, global };
        name_places(this.place_flags());
        Ok(this)
    }

    /// Reads the configuration with further flags of the command laid over it.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load_config(&self, flags: Overrides) -> Result<Loaded, ConfigError> {
        self.load_config_of(&self.paths, flags)
    }

    /// The same for a command that writes the file where there is none, also where it was named.
    ///
    /// # Errors
    /// [`ConfigError`] but [`ConfigError::Missing`].
    pub fn load_config_to_write(&self, flags: Overrides) -> Result<Loaded, ConfigError> {
        let paths = Paths {
            config_named: false,
            ..self.paths.clone()
        };
        self.load_config_of(&paths, flags)
    }

    fn load_config_of(&self, paths: &Paths, flags: Overrides) -> Result<Loaded, ConfigError> {
        let mut flags = flags;
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned())
        };
        if let Some(level) = self
            .global
            .log_level
            .and_then(|l| name(l.to_possible_value()))
        {
            flags.push(("log.level", level));
        }
        if let Some(format) = self
            .global
            .log_format
            .and_then(|f| name(f.to_possible_value()))
        {
            flags.push(("log.format", format));
        }
        crate::config::load(paths, &environment, &flags)
    }

    /// The flags that name the places of this call once more, for a command to copy; empty for the defaults.
    pub fn place_flags(&self) -> String {
        let mut flags = String::new();
        let mut flag = |name: &str, path: &Option<std::path::PathBuf>| {
            if let Some(path) = path {
                flags.push_str(&format!(" {name} {}", Shell::here().path(path)));
            }
        };
        flag("--state-dir", &self.global.state_dir);
        flag("--config", &self.global.config);
        flags
    }

    /// Starts the log of a command that answers a person: warnings only, unless the flag says otherwise.
    pub fn quiet_log(&self) {
        let to_stderr = Log {
            level: self.global.log_level.unwrap_or(LogLevel::Warn),
            format: self.global.log_format.unwrap_or_default(),
            ..Log::default()
        };
        if let Err(error) = crate::log::init(&to_stderr) {
            tracing::debug!(%error, "no log");
        }
    }
}

/// 64 for what the owner must change in the command line or the configuration, else 1.
pub(super) fn exit_code(error: &anyhow::Error) -> u8 {
    let unusable = error.chain().any(|cause| {
        cause.is::<UsageError>()
            || cause.is::<ConfigError>()
            || cause.is::<PathsError>()
            || cause.is::<PlainHttp>()
            || matches!(
                cause.downcast_ref(),
                Some(RunError::OtherNode { .. } | RunError::PlainHttp(_))
            )
    });
    if unusable { EXIT_CONFIG } else { 1 }
}
