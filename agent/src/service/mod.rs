//! The agent as a service of the system: install, steer, look at it, and the service manager's side of `run`.
//!
//! | module | owns |
//! |---|---|
//! | [`notify`] | telling the service manager how the agent is |
//! | [`hosted`] | `run` below Windows' service manager |
//! | [`template`] | unit and plist files with the places of this installation |
//! | `systemd`, `launchd`, `windows`, `none` | one operating system's service manager each, behind this facade |
//! | `account` | the system user and what belongs to it (Linux, macOS) |
//!
//! `cfg` of the operating system stays in this folder. Nothing here prints; the command does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub mod hosted;
pub mod notify;
pub mod template;

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod account;
#[cfg(target_os = "linux")]
mod systemd;
#[cfg(target_os = "linux")]
use systemd as os;
#[cfg(target_os = "macos")]
mod launchd;
#[cfg(target_os = "macos")]
use launchd as os;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod none;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use none as os;

/// The service's name for systemd and Windows.
pub const NAME: &str = "dgon-agent";
/// Its label for launchd.
pub const LABEL: &str = "com.dgon.agent";
/// The system user that it runs as on Linux.
pub const LINUX_USER: &str = "dgon";
/// The one on macOS, whose own service users begin with an underscore, too.
pub const MACOS_USER: &str = "_dgon";

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The machine's: runs from boot on, as a user of its own.
    System,
    /// One person's: runs as that person.
    User,
}

impl Level {
    /// The flag that asks for it, with the space before it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::System => "",
            Self::User => " --user",
        }
    }
}

/// The service as its manager has it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServiceState {
    /// `systemd`, `launchd` or `windows`.
    pub manager: &'static str,
    /// Whose it is.
    pub level: Level,
    /// The unit or plist, or the name in Windows' list; `None` where it is not installed.
    pub installed: Option<PathBuf>,
    /// Whether a package of the distribution brought it, so that the package manager upgrades and removes it.
    pub packaged: bool,
    /// Whether it starts by itself.
    pub enabled: bool,
    /// Whether it runs and is ready.
    pub running: bool,
    /// Process id while it runs.
    pub pid: Option<u32>,
    /// The manager's own words, such as `active (running)` or `failed (watchdog)`.
    pub detail: String,
    /// The program that it starts.
    pub program: Option<PathBuf>,
    /// How often the manager has started it again by itself, where it counts.
    pub restarts: Option<u64>,
}

impl ServiceState {
    fn absent(manager: &'static str, level: Level) -> Self {
        Self {
            manager,
            level,
            installed: None,
            packaged: false,
            enabled: false,
            running: false,
            pid: None,
            detail: "not installed".to_owned(),
            program: None,
            restarts: None,
        }
    }

    /// Version of the program that the service starts, as it says itself; `None` where it cannot be asked.
    pub fn program_version(&self) -> Option<String> {
        version_of(self.program.as_deref()?)
    }
}

/// Where an installation keeps its files, and what it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The program.
    pub program: PathBuf,
    /// Identity and spool.
    pub state_dir: PathBuf,
    /// agent.yaml.
    pub config_file: PathBuf,
}

/// What a command did, and what its caller should know or do next.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// In order.
    pub done: Vec<String>,
    /// Hints and warnings, each a sentence or two.
    pub notes: Vec<String>,
}

impl Report {
    fn did(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }
}

/// Why a service command failed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Only root may.
    #[error(
        "a system service is changed by root alone; run `sudo {command}`, or `{command} --user` for a service of your \
         own that needs no root"
    )]
    NeedsRoot {
        /// The command as it was given.
        command: String,
    },
    /// Root asked for a user's service.
    #[error(
        "root's own user service is not what you want; run this without sudo as the user it is for, or without --user \
         for a system service"
    )]
    UserAsRoot,
    /// The managers do not answer.
    #[error("the service manager does not answer within {} s", within.as_secs())]
    Silent {
        /// How long it was waited for.
        within: Duration,
    },
    /// No service manager of a known kind.
    #[error("{0}")]
    NoManager(String),
    /// The user's own service manager does not answer.
    #[error(
        "your user's systemd cannot be reached ({said}); log in as that user (ssh or console, not su or sudo), or run \
         `sudo loginctl enable-linger {user}` and log in again, or install a system service with `sudo`"
    )]
    NoUserManager {
        /// Who.
        user: String,
        /// What the manager's tool said.
        said: String,
    },
    /// It is not there.
    #[error("the service is not installed; `dgon-agent service install{}` does it", .0.flag())]
    NotInstalled(Level),
    /// A package's files are not ours to change.
    #[error(
        "a package has installed the service with {}, and this program is {}; upgrade with the package manager, or \
         remove the package first", .packaged.display(), .this.display()
    )]
    Packaged {
        /// The package's program.
        packaged: PathBuf,
        /// The program that was asked to install itself.
        this: PathBuf,
    },
    /// All numbers for users of services are taken.
    #[error(
        "no number from 200 to 399 is free for the system user {user}; remove a user that nobody needs any more (`dscl \
         . -list /Users UniqueID` names them), or install a service of your own with --user"
    )]
    NoUserId {
        /// Who was to get one.
        user: &'static str,
    },
    /// A file or directory cannot be changed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program of the system refused.
    #[error("`{command}` failed: {said}{hint}")]
    Command {
        /// The command line.
        command: String,
        /// What it said.
        said: String,
        /// Where to look further; empty or with a leading "; ".
        hint: String,
    },
}

impl ServiceError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// How the service stands.
///
/// # Errors
/// [`ServiceError`] where there is no service manager to ask.
pub fn inspect(level: Level) -> Result<ServiceState, ServiceError> {
    os::inspect(level)
}

/// The installed service, the machine's before this user's; the machine's absent one where there is none.
///
/// # Errors
/// [`ServiceError`] where there is no service manager to ask.
pub fn inspect_any() -> Result<ServiceState, ServiceError> {
    let system = os::inspect(Level::System)?;
    if system.installed.is_some() || crate::files::is_superuser() {
        return Ok(system);
    }
    match os::inspect(Level::User) {
        Ok(user) if user.installed.is_some() => Ok(user),
        Ok(_) | Err(_) => Ok(system),
    }
}

/// The service whose manager keeps the process `pid` running; `None` where none is known to.
///
/// # Errors
/// [`ServiceError::Silent`] where the managers do not answer `within` this.
pub fn of_process(pid: u32, within: Duration) -> Result<Option<Level>, ServiceError> {
    let keeps = move |level: &Level| {
        os::inspect(*level).is_ok_and(|state| state.installed.is_some() && state.pid == Some(pid))
    };
    let (told, answer) = std::sync::mpsc::channel();
    // A thread of its own: a manager that hangs keeps it, and the process ends all the same.
    std::thread::spawn(move || {
        // Who gave up does not listen any more.
        let _ = told.send([Level::System, Level::User].into_iter().find(keeps));
    });
    answer
        .recv_timeout(within)
        .map_err(|_| ServiceError::Silent { within })
}

/// The command that steers a service of this level, for a person to copy.
pub fn command_to_copy(level: Level, what: &str) -> String {
    format!("{}dgon-agent service {what}{}", sudo(level), level.flag())
}

/// Where a service of this level keeps its files; `own` are the places of the caller.
pub fn places(level: Level, own: &crate::config::Paths, program: PathBuf) -> Places {
    match level {
        Level::System => os::system_places(program),
        Level::User => Places {
            program,
            state_dir: own.state.path().to_owned(),
            config_file: own.config_file.clone(),
        },
    }
}

/// Installs the service, or upgrades the one that is there: identity, spool and configuration stay as they are.
/// Starts it where the node is enrolled.
///
/// # Errors
/// [`ServiceError`]; what was done before it stays, and installing again goes on from there.
pub fn install(level: Level, places: &Places) -> Result<Report, ServiceError> {
    may_change(level, "service install")?;
    os::install(level, places)
}

/// Takes the service out. `purge` deletes identity, spool and configuration as well.
///
/// # Errors
/// [`ServiceError`]; uninstalling again goes on from there.
pub fn uninstall(level: Level, places: &Places, purge: bool) -> Result<Report, ServiceError> {
    may_change(level, "service uninstall")?;
    os::uninstall(level, places, purge)
}

/// Starts it and waits until it is ready.
///
/// # Errors
/// [`ServiceError`].
pub fn start(level: Level) -> Result<(), ServiceError> {
    may_change(level, "service start")?;
    os::start(level)
}

/// Stops it and waits until it has ended.
///
/// # Errors
/// [`ServiceError`].
pub fn stop(level: Level) -> Result<(), ServiceError> {
    may_change(level, "service stop")?;
    os::stop(level)
}

/// Stops it and starts it again.
///
/// # Errors
/// [`ServiceError`].
pub fn restart(level: Level) -> Result<(), ServiceError> {
    may_change(level, "service restart")?;
    os::restart(level)
}

fn may_change(level: Level, command: &str) -> Result<(), ServiceError> {
    let is_root = crate::files::is_superuser();
    match level {
        Level::System if cfg!(unix) && !is_root => Err(ServiceError::NeedsRoot {
            command: format!("dgon-agent {command}"),
        }),
        Level::User if is_root => Err(ServiceError::UserAsRoot),
        Level::System | Level::User => Ok(()),
    }
}

/// Whether a state directory holds an enrolled node.
fn is_enrolled(state_dir: &Path) -> bool {
    crate::config::StateDir::new(state_dir)
        .secret_file()
        .exists()
}

/// What goes before a command that changes this service.
fn sudo(level: Level) -> &'static str {
    match level {
        Level::System if cfg!(unix) => "sudo ",
        Level::System | Level::User => "",
    }
}

/// The command that enrols this machine for a service of this level: the system's has places of its own.
pub fn enrol_command(level: Level) -> String {
    match level {
        Level::System => format!("{}dgon-agent enroll --api URL", sudo(level)),
        Level::User => crate::own_command::own_command("enroll --api URL"),
    }
}

/// Notes what an uninstalled service leaves, and how to delete it; `further` is named along with it.
fn kept(level: Level, places: &Places, further: &str, report: &mut Report) {
    let kept: Vec<String> = [
        (&places.state_dir, "identity and receipts"),
        (&places.config_file, "settings"),
    ]
    .into_iter()
    .filter(|(path, _)| path.exists())
    .map(|(path, what)| format!("{} ({what})", path.display()))
    .collect();
    if !kept.is_empty() {
        report.note(format!(
            "kept {}{further}; `{}dgon-agent service uninstall{} --purge` deletes them for good",
            kept.join(", "),
            sudo(level),
            level.flag(),
        ));
    }
}

/// Deletes identity, spool and configuration.
fn delete(places: &Places, report: &mut Report) -> Result<(), ServiceError> {
    let failed = |path: &Path| ServiceError::io(format!("delete {}", path.display()));
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    };
    let state = &places.state_dir;
    // A directory that was named by mistake must not be lost.
    let is_ours = ["node.key", "spool"]
        .iter()
        .any(|name| state.join(name).exists());
    if !is_ours {
        if state.exists() && fs::remove_dir(state).is_err() {
            report.note(format!("{} holds no identity, and stays", state.display()));
        }
    } else if gone(fs::remove_dir_all(state)).map_err(failed(state))? {
        report.did(format!("deleted {}", state.display()));
    }
    let config = &places.config_file;
    if gone(fs::remove_file(config)).map_err(failed(config))? {
        report.did(format!("deleted {}", config.display()));
    }
    if let Some(folder) = config.parent() {
        // Only when nothing else of its owner's lies in it.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

fn version_of(program: &Path) -> Option<String> {
    let said = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|said| said.status.success())?;
    let text = String::from_utf8(said.stdout).ok()?;
    let version = text.trim().strip_prefix("dgon-agent ")?;
    Some(version.to_owned())
}

/// Runs a program of the system; its output where it ends with 0.
fn command(program: &str, arguments: &[&str]) -> Result<String, ServiceError> {
    let failed = |said: String| ServiceError::Command {
        command: std::iter::once(&program)
            .chain(arguments)
            .copied()
            .collect::<Vec<_>>()
            .join(" "),
        said,
        hint: String::new(),
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = Some(text(&output.stderr))
        .filter(|said| !said.is_empty())
        .unwrap_or_else(|| text(&output.stdout));
    Err(failed(if said.is_empty() {
        output.status.to_string()
    } else {
        said
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_refused_command_is_told_with_its_own_words() {
        let error = command("sh", &["-c", "echo no bus >&2; exit 3"]).unwrap_err();
        assert!(error.to_string().ends_with("failed: no bus"), "{error}");
        let error = command("/nonexistent/tool", &["x"]).unwrap_err();
        assert!(error.to_string().contains("`/nonexistent/tool x` failed"));
        assert_eq!(command("sh", &["-c", "echo 7"]).unwrap(), "7\n");
    }

    #[test]
    fn a_person_is_told_both_ways() {
        let command = "dgon-agent service install".to_owned();
        let text = ServiceError::NeedsRoot { command }.to_string();
        assert!(text.contains("`sudo dgon-agent service install`"));
        assert!(text.contains("`dgon-agent service install --user`"));
    }
}
