//! launchd: a daemon of the machine, or an agent of one user.
//!
//! The daemon runs as a user of its own, and what it runs is a copy that only root can change: the program that was
//! asked to install it may lie where others can (a download, Homebrew's folder).

use super::{
    LABEL, Level, MACOS_USER, Places, Report, ServiceError, ServiceState, account, command, delete,
    enrol_command, is_enrolled, kept, sudo, template,
};
use service_manager::{
    LaunchdServiceManager, RestartPolicy, ServiceInstallCtx, ServiceLabel, ServiceManager as _,
    ServiceStartCtx, ServiceStopCtx, ServiceUninstallCtx,
};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MANAGER: &str = "launchd";
const SUPPORT: &str = "/Library/Application Support/DGON";
const SYSTEM_LOGS: &str = "/Library/Logs/DGON";
/// How often and for how long is looked whether a stopped service has ended; the plist gives it 40 s.
const STOP_LOOKS: u32 = 180;
const STOP_LOOK: Duration = Duration::from_millis(250);

pub(super) fn system_places(program: PathBuf) -> Places {
    Places {
        program,
        state_dir: SUPPORT.into(),
        config_file: Path::new(SUPPORT).join("agent.yaml"),
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

fn plist_file(level: Level) -> PathBuf {
    let library = match level {
        Level::System => PathBuf::from("/Library/LaunchDaemons"),
        Level::User => home().unwrap_or_default().join("Library/LaunchAgents"),
    };
    library.join(format!("{LABEL}.plist"))
}

/// launchd's name of the service.
fn target(level: Level) -> Result<String, ServiceError> {
    Ok(match level {
        Level::System => format!("system/{LABEL}"),
        Level::User => format!("gui/{}/{LABEL}", command("id", &["-u"])?.trim()),
    })
}

pub(super) fn inspect(level: Level) -> Result<ServiceState, ServiceError> {
    let file = plist_file(level);
    let Ok(plist) = fs::read_to_string(&file) else {
        return Ok(ServiceState::absent(MANAGER, level));
    };
    // launchctl fails for a service that is not loaded; that is an answer.
    let said = command("launchctl", &["print", &target(level)?]).unwrap_or_default();
    let value = |name: &str| {
        said.lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = "))
    };
    let detail = if said.is_empty() {
        "not loaded"
    } else {
        value("state").unwrap_or("loaded")
    };
    Ok(ServiceState {
        manager: MANAGER,
        level,
        installed: Some(file),
        packaged: false,
        enabled: !said.is_empty(),
        running: value("state") == Some("running"),
        pid: value("pid").and_then(|pid| pid.parse().ok()),
        detail: detail.to_owned(),
        program: template::plist_program(&plist),
        restarts: None,
    })
}

pub(super) fn install(level: Level, places: &Places) -> Result<Report, ServiceError> {
    let before = inspect(level)?;
    let mut report = Report::default();
    let mut places = places.clone();
    let text = match level {
        Level::System => {
            if before.pid.is_some() {
                // It may have run as root up to now, and would go on making files of root's.
                stop_and_wait(level)?;
            }
            prepare_daemon(&mut places, &mut report)?;
            template::LAUNCHD_DAEMON
        }
        Level::User => {
            crate::files::create_private_dir(&places.state_dir).map_err(ServiceError::io(
                format!("make the state directory {}", places.state_dir.display()),
            ))?;
            make_logs(&home().unwrap_or_default().join("Library/Logs/DGON"))?;
            template::LAUNCHD_AGENT
        }
    };
    let file = plist_file(level);
    manager(level)
        .install(ServiceInstallCtx {
            label: label(),
            program: places.program.clone(),
            args: vec!["run".into()],
            contents: Some(template::plist(text, &places, home().as_deref())),
            username: None,
            working_directory: None,
            environment: None,
            autostart: true,
            restart_policy: RestartPolicy::Never,
        })
        .map_err(ServiceError::io(format!("install {}", file.display())))?;
    report.did(if before.installed.is_some() {
        format!("brought {} up to date", file.display())
    } else {
        format!("installed {} and loaded it", file.display())
    });
    if is_enrolled(&places.state_dir) {
        restart(level)?;
        report.did("started the service");
    } else {
        stop(level)?;
        report.note(format!(
            "this machine is not enrolled yet, so nothing runs; next: `{enroll}`, then \
             `{sudo}dgon-agent service start{flag}`",
            enroll = enrol_command(level),
            sudo = sudo(level),
            flag = level.flag(),
        ));
    }
    Ok(report)
}

/// The daemon's user, what belongs to it, and the copy of the program.
fn prepare_daemon(places: &mut Places, report: &mut Report) -> Result<(), ServiceError> {
    let copy = Path::new(template::DAEMON_PROGRAM);
    if places.program != copy {
        let what = format!("copy {} to {}", places.program.display(), copy.display());
        place_copy(&places.program, copy).map_err(ServiceError::io(&what))?;
        report.did(format!(
            "copied {} to {}",
            places.program.display(),
            copy.display()
        ));
        places.program = copy.to_owned();
    }
    let account = account::ensure(places, report)?;
    account::prepare(places, account, report)?;
    let logs = Path::new(SYSTEM_LOGS);
    make_logs(logs)?;
    account::give(logs, account).map(drop)
}

fn place_copy(program: &Path, copy: &Path) -> std::io::Result<()> {
    if let Some(folder) = copy.parent() {
        // A new machine has no such folder yet.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)?;
    }
    crate::files::replace_program(program, copy)
}

fn make_logs(folder: &Path) -> Result<(), ServiceError> {
    fs::create_dir_all(folder).map_err(ServiceError::io(format!("make {}", folder.display())))
}

pub(super) fn uninstall(
    level: Level,
    places: &Places,
    purge: bool,
) -> Result<Report, ServiceError> {
    let mut report = Report::default();
    match inspect(level)?.installed {
        Some(file) => {
            manager(level)
                .uninstall(ServiceUninstallCtx { label: label() })
                .map_err(ServiceError::io(format!("remove {}", file.display())))?;
            report.did(format!(
                "stopped the service and removed {}",
                file.display()
            ));
        }
        None => report.note("no service was installed"),
    }
    if level == Level::System {
        remove_copy(&mut report)?;
        // Empty unless the agent wrote to it.
        let _ = fs::remove_dir(SYSTEM_LOGS);
    }
    if purge {
        delete(places, &mut report)?;
        if level == Level::System {
            if fs::remove_dir_all(SYSTEM_LOGS).is_ok() {
                report.did(format!("deleted {SYSTEM_LOGS}"));
            }
            account::remove(places, &mut report)?;
        }
    } else {
        let user = match level {
            Level::System => format!(", and the system user {MACOS_USER}"),
            Level::User => String::new(),
        };
        kept(level, places, &user, &mut report);
    }
    Ok(report)
}

/// The copy has a name and place of its own, so that whatever lies there is an installation's.
fn remove_copy(report: &mut Report) -> Result<(), ServiceError> {
    let copy = Path::new(template::DAEMON_PROGRAM);
    if copy.exists() {
        fs::remove_file(copy).map_err(ServiceError::io(format!("remove {}", copy.display())))?;
        report.did(format!("removed {}", copy.display()));
    }
    Ok(())
}

pub(super) fn start(level: Level) -> Result<(), ServiceError> {
    installed(level)?;
    manager(level)
        .start(ServiceStartCtx { label: label() })
        .map_err(ServiceError::io("start the service"))
}

pub(super) fn stop(level: Level) -> Result<(), ServiceError> {
    installed(level)?;
    manager(level)
        .stop(ServiceStopCtx { label: label() })
        .map_err(ServiceError::io("stop the service"))
}

fn stop_and_wait(level: Level) -> Result<(), ServiceError> {
    stop(level)?;
    for _ in 0..STOP_LOOKS {
        if inspect(level)?.pid.is_none() {
            return Ok(());
        }
        std::thread::sleep(STOP_LOOK);
    }
    Err(ServiceError::Io {
        what: "stop the service that runs".to_owned(),
        source: std::io::ErrorKind::TimedOut.into(),
    })
}

pub(super) fn restart(level: Level) -> Result<(), ServiceError> {
    installed(level)?;
    command("launchctl", &["kickstart", "-k", &target(level)?]).map(drop)
}

fn installed(level: Level) -> Result<(), ServiceError> {
    match inspect(level)?.installed {
        Some(_) => Ok(()),
        None => Err(ServiceError::NotInstalled(level)),
    }
}

fn label() -> ServiceLabel {
    ServiceLabel {
        qualifier: None,
        organization: None,
        application: LABEL.to_owned(),
    }
}

fn manager(level: Level) -> LaunchdServiceManager {
    match level {
        Level::System => LaunchdServiceManager::system(),
        Level::User => LaunchdServiceManager::user(),
    }
}
