//! launchd: a daemon of the machine, or an agent of one user.

use super::{
    LABEL, Level, Places, Report, ServiceError, ServiceState, command, delete, is_enrolled, kept,
    template,
};
use service_manager::{
    LaunchdServiceManager, RestartPolicy, ServiceInstallCtx, ServiceLabel, ServiceManager as _,
    ServiceStartCtx, ServiceStopCtx, ServiceUninstallCtx,
};
use std::fs;
use std::path::{Path, PathBuf};

const MANAGER: &str = "launchd";
const SUPPORT: &str = "/Library/Application Support/DGON";
const SYSTEM_LOGS: &str = "/Library/Logs/DGON";

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
    let (text, logs) = match level {
        Level::System => (template::LAUNCHD_DAEMON, PathBuf::from(SYSTEM_LOGS)),
        Level::User => (
            template::LAUNCHD_AGENT,
            home().unwrap_or_default().join("Library/Logs/DGON"),
        ),
    };
    crate::files::create_private_dir(&places.state_dir).map_err(ServiceError::io(format!(
        "make the state directory {}",
        places.state_dir.display()
    )))?;
    fs::create_dir_all(&logs).map_err(ServiceError::io(format!("make {}", logs.display())))?;
    let file = plist_file(level);
    manager(level)
        .install(ServiceInstallCtx {
            label: label(),
            program: places.program.clone(),
            args: vec!["run".into()],
            contents: Some(template::plist(text, places, home().as_deref())),
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
            "this machine is not enrolled yet, so nothing runs; next: `dgon-agent enroll --api URL` as the same user, \
             then `dgon-agent service start{}`",
            level.flag()
        ));
    }
    Ok(report)
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
    if purge {
        delete(places, &mut report)?;
    } else {
        kept(level, places, "", &mut report);
    }
    Ok(report)
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
