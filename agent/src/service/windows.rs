//! Windows' service manager, through `sc.exe`. There are no services of one user.

use super::{
    Level, NAME, Places, Report, ServiceError, ServiceState, command, delete, hosted, is_enrolled,
    kept,
};
use service_manager::{
    RestartPolicy, ScServiceManager, ServiceInstallCtx, ServiceLabel, ServiceManager as _,
    ServiceStartCtx, ServiceStopCtx, ServiceUninstallCtx,
};
use std::path::{Path, PathBuf};

const MANAGER: &str = "windows";

pub(super) fn system_places(program: PathBuf) -> Places {
    let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
    let folder = Path::new(&data).join("DGON");
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
    crate::files::create_private_dir(&places.state_dir).map_err(ServiceError::io(format!(
        "make the state directory {}",
        places.state_dir.display()
    )))?;
    manager()
        .install(ServiceInstallCtx {
            label: label(),
            program: places.program.clone(),
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
            autostart: true,
            restart_policy: RestartPolicy::Never,
        })
        .map_err(ServiceError::io("install the service"))?;
    let restarts = "restart/5000/restart/5000/restart/60000";
    command(
        "sc.exe",
        &["failure", NAME, "reset=", "86400", "actions=", restarts],
    )?;
    command("sc.exe", &["failureflag", NAME, "1"])?;
    let what = "DGON agent: meters the LLM runtime of this machine and signs receipts";
    command("sc.exe", &["description", NAME, what])?;
    report.did(format!(
        "installed the service {NAME}; it starts with the machine"
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
    ScServiceManager::system()
}
