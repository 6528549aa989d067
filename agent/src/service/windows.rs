//! Windows' service manager, through `sc.exe`. There are no services of one user.
//!
//! The service runs as a virtual account of its own, which Windows makes with the service: no password, no rights but
//! those of every user, and no privilege but to pass through folders. So its program lies where such an account may
//! run it, and its folder is closed to all but it, administrators and the system ([`crate::files`]).

use super::{
    Level, NAME, Places, Report, ServiceError, ServiceState, command, delete, hosted, is_enrolled,
    kept,
};
use service_manager::{
    RestartPolicy, ScConfig, ScInstallConfig, ScServiceManager, ServiceInstallCtx, ServiceLabel,
    ServiceManager as _, ServiceStartCtx, ServiceStopCtx, ServiceUninstallCtx, WindowsStartType,
};
use std::fs;
use std::path::{Path, PathBuf};

const MANAGER: &str = "windows";
/// The service's account. Its number is known to [`crate::files`].
const ACCOUNT: &str = r"NT SERVICE\dgon-agent";
/// The one privilege that it keeps, which every process needs.
const PRIVILEGES: &str = "SeChangeNotifyPrivilege";

pub(super) fn system_places(program: PathBuf) -> Places {
    let folder = crate::files::service_folder();
    Places {
        program,
        config_file: folder.join("agent.yaml"),
        state_dir: folder,
    }
}

pub(super) fn inspect(level: Level) -> Result<ServiceState, ServiceError> {
    machine_only(level)?;
    let Ok(said) = command("sc.exe", &["queryex", NAME]) else {
        return Ok(ServiceState::absent(MANAGER, level));
    };
    let config = command("sc.exe", &["qc", NAME]).unwrap_or_default();
    let state = value(&said, "STATE").unwrap_or_default();
    Ok(ServiceState {
        manager: MANAGER,
        level,
        installed: Some(NAME.into()),
        packaged: false,
        enabled: value(&config, "START_TYPE").is_some_and(|start| start.contains("AUTO")),
        running: state.contains("RUNNING"),
        pid: value(&said, "PID")
            .and_then(|pid| pid.parse().ok())
            .filter(|pid| *pid != 0),
        detail: state
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .to_owned(),
        program: value(&config, "BINARY_PATH_NAME").map(|line| program_of(&line)),
        restarts: None,
    })
}

/// The value of a line `NAME   : value` of sc.exe.
fn value(said: &str, name: &str) -> Option<String> {
    said.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// The program at the start of a command line.
fn program_of(line: &str) -> PathBuf {
    match line.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((program, _)) => program.into(),
        None => line.split(' ').next().unwrap_or(line).into(),
    }
}

pub(super) fn install(level: Level, places: &Places) -> Result<Report, ServiceError> {
    let before = inspect(level)?;
    let mut report = Report::default();
    if before.installed.is_some() {
        if before.running {
            stop(level)?;
        }
        manager()
            .uninstall(ServiceUninstallCtx { label: label() })
            .map_err(ServiceError::io("replace the service"))?;
    }
    let program = place_program(&places.program, &mut report)?;
    close_folder(&places.state_dir)?;
    manager()
        .install(ServiceInstallCtx {
            label: label(),
            program,
            args: vec![
                "run".into(),
                hosted::FLAG.into(),
                "--state-dir".into(),
                places.state_dir.clone().into(),
                "--config".into(),
                places.config_file.clone().into(),
            ],
            contents: None,
            username: None,
            working_directory: None,
            environment: None,
            autostart: false,
            restart_policy: RestartPolicy::Never,
        })
        .map_err(ServiceError::io("install the service"))?;
    // It is made as the system's own and starts by itself only once it is not.
    let account = ["obj=", ACCOUNT, "password=", "", "start=", "auto"];
    command("sc.exe", &[&["config", NAME], &account[..]].concat())?;
    command("sc.exe", &["privs", NAME, PRIVILEGES])?;
    let restarts = "restart/5000/restart/5000/restart/60000";
    command(
        "sc.exe",
        &["failure", NAME, "reset=", "86400", "actions=", restarts],
    )?;
    command("sc.exe", &["failureflag", NAME, "1"])?;
    let what = "DGON agent: meters the LLM runtime of this machine and signs receipts";
    command("sc.exe", &["description", NAME, what])?;
    report.did(format!(
        "installed the service {NAME}; it starts with the machine and runs as {ACCOUNT}"
    ));
    if is_enrolled(&places.state_dir) {
        start(level)?;
        report.did("started the service");
    } else {
        report.note(format!(
            "this machine is not enrolled yet, so nothing runs; next, as administrator: `dgon-agent enroll --api URL \
             --state-dir \"{}\"`, then `dgon-agent service start`",
            places.state_dir.display()
        ));
    }
    Ok(report)
}

/// Puts a copy of the program where the service's account may run it and nobody but administrators may change it.
fn place_program(program: &Path, report: &mut Report) -> Result<PathBuf, ServiceError> {
    let programs = programs();
    if program.starts_with(&programs) {
        return Ok(program.to_owned());
    }
    let copy = program_copy();
    let fresh = copy.with_extension("exe.new");
    fs::create_dir_all(programs.join("DGON"))
        .and_then(|()| fs::copy(program, &fresh))
        .and_then(|_| fs::rename(&fresh, &copy))
        .map_err(ServiceError::io(format!(
            "copy {} to {}",
            program.display(),
            copy.display()
        )))?;
    report.did(format!(
        "copied {} to {}",
        program.display(),
        copy.display()
    ));
    Ok(copy)
}

fn programs() -> PathBuf {
    std::env::var_os("ProgramFiles")
        .unwrap_or_else(|| r"C:\Program Files".into())
        .into()
}

fn program_copy() -> PathBuf {
    programs().join(r"DGON\dgon-agent.exe")
}

/// What an administrator enrolled before becomes the service's.
fn close_folder(folder: &Path) -> Result<(), ServiceError> {
    crate::files::create_private_dir(folder)
        .and_then(|()| crate::files::close_tree(folder))
        .map_err(ServiceError::io(format!(
            "keep {} for the service's account",
            folder.display()
        )))
}

pub(super) fn uninstall(
    level: Level,
    places: &Places,
    purge: bool,
) -> Result<Report, ServiceError> {
    let state = inspect(level)?;
    let mut report = Report::default();
    if state.installed.is_some() {
        if state.running {
            stop(level)?;
            report.did("stopped the service");
        }
        manager()
            .uninstall(ServiceUninstallCtx { label: label() })
            .map_err(ServiceError::io("remove the service"))?;
        report.did(format!("removed the service {NAME}"));
        let copy = program_copy();
        if copy.exists() {
            // Windows lets no running program go, and this may be it.
            report.note(format!(
                "the program {} stays; delete it by hand",
                copy.display()
            ));
        }
    } else {
        report.note("no service was installed");
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
    manager()
        .start(ServiceStartCtx { label: label() })
        .map_err(ServiceError::io("start the service"))
}

/// Waits until it has ended: a program that runs cannot be replaced.
pub(super) fn stop(level: Level) -> Result<(), ServiceError> {
    installed(level)?;
    manager()
        .stop(ServiceStopCtx { label: label() })
        .map_err(ServiceError::io("stop the service"))?;
    for _ in 0..STOP_LOOKS {
        if inspect(level)?.pid.is_none() {
            return Ok(());
        }
        std::thread::sleep(STOP_LOOK);
    }
    Err(ServiceError::Io {
        what: "stop the service".to_owned(),
        source: std::io::ErrorKind::TimedOut.into(),
    })
}

/// As long as systemd would wait for a stop, too.
const STOP_LOOKS: u32 = 160;
const STOP_LOOK: std::time::Duration = std::time::Duration::from_millis(250);

pub(super) fn restart(level: Level) -> Result<(), ServiceError> {
    if inspect(level)?.running {
        stop(level)?;
    }
    start(level)
}

fn installed(level: Level) -> Result<(), ServiceError> {
    match inspect(level)?.installed {
        Some(_) => Ok(()),
        None => Err(ServiceError::NotInstalled(level)),
    }
}

fn machine_only(level: Level) -> Result<(), ServiceError> {
    match level {
        Level::System => Ok(()),
        Level::User => Err(ServiceError::NoManager(
            "Windows has no services of one user; install it without --user, as administrator"
                .to_owned(),
        )),
    }
}

fn label() -> ServiceLabel {
    ServiceLabel {
        qualifier: None,
        organization: None,
        application: NAME.to_owned(),
    }
}

fn manager() -> ScServiceManager {
    ScServiceManager::system().with_config(ScConfig {
        install: ScInstallConfig {
            start_type: WindowsStartType::Demand,
            ..ScInstallConfig::default()
        },
    })
}
