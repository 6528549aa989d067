//! systemd: the machine's and a user's own.

use super::{
    Level, NAME, Places, Report, ServiceError, ServiceState, account, command, delete,
    enrol_command, is_enrolled, kept, sudo, template,
};
use service_manager::{
    RestartPolicy, ServiceInstallCtx, ServiceLabel, ServiceManager as _, ServiceStartCtx,
    ServiceStopCtx, ServiceUninstallCtx, SystemdServiceManager,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const MANAGER: &str = "systemd";
const UNIT: &str = "dgon-agent.service";
const SYSTEM_UNITS: &str = "/etc/systemd/system";
const STATE_DIR: &str = "/var/lib/dgon";
const CONFIG_FILE: &str = "/etc/dgon/agent.yaml";
/// The unit's LogsDirectory.
const LOGS: &str = "/var/log/dgon";
/// Where a program that lies where the service cannot see it is copied to.
const COPY: &str = "/usr/local/bin/dgon-agent";
/// A program below these is used where it is: only root puts programs there, and the service sees them.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/", "/opt/"];

pub(super) fn system_places(program: PathBuf) -> Places {
    Places {
        program,
        state_dir: STATE_DIR.into(),
        config_file: CONFIG_FILE.into(),
    }
}

pub(super) fn inspect(level: Level) -> Result<ServiceState, ServiceError> {
    require(level)?;
    let properties = "LoadState,ActiveState,SubState,Result,UnitFileState,FragmentPath,MainPID,\
                      NRestarts,ExecStart";
    let said = systemctl(level, &["show", UNIT, "--property", properties])?;
    Ok(read_state(level, &said))
}

fn read_state(level: Level, said: &str) -> ServiceState {
    let values: BTreeMap<&str, &str> = said.lines().filter_map(|l| l.split_once('=')).collect();
    let value = |name: &str| values.get(name).copied().unwrap_or("");
    if value("FragmentPath").is_empty() {
        return ServiceState::absent(MANAGER, level);
    }
    let file = PathBuf::from(value("FragmentPath"));
    let (active, sub, result) = (value("ActiveState"), value("SubState"), value("Result"));
    let detail = if active == "failed" {
        format!("failed ({result})")
    } else {
        format!("{active} ({sub})")
    };
    ServiceState {
        manager: MANAGER,
        level,
        packaged: is_packaged(&file),
        installed: Some(file),
        enabled: value("UnitFileState").starts_with("enabled"),
        running: active == "active",
        pid: value("MainPID").parse().ok().filter(|pid| *pid != 0),
        detail,
        program: value("ExecStart")
            .split_once("path=")
            .and_then(|(_, rest)| rest.split_once(" ;"))
            .map(|(path, _)| path.into()),
        restarts: value("NRestarts").parse().ok(),
    }
}

/// Units below /usr/lib or /lib belong to the package manager.
fn is_packaged(unit: &Path) -> bool {
    unit.starts_with("/usr/lib") || unit.starts_with("/lib")
}

pub(super) fn install(level: Level, places: &Places) -> Result<Report, ServiceError> {
    let before = inspect(level)?;
    let mut report = Report::default();
    if before.packaged {
        enable_packaged(level, &before, places)?;
        report.did("enabled the service that the package brought");
    } else {
        let mut places = places.clone();
        let copied = level == Level::System && place_program(&mut places, &before, &mut report)?;
        if level == Level::System {
            let account = account::ensure(&places, &mut report)?;
            account::prepare(&places, account, &mut report)?;
        } else if places.program.starts_with("/tmp") {
            report.note(format!(
                "{} lies in a folder that is emptied at times; move it to ~/.local/bin and install again",
                places.program.display()
            ));
        }
        write_unit(level, &places, copied, &before, &mut report)?;
    }
    if is_enrolled(&places.state_dir) {
        // Also where it runs already: the program, or its unit, may be new.
        restart(level)?;
        report.did("started the service, and it is ready");
    } else {
        report.note(format!(
            "this machine is not enrolled yet, so nothing runs; next: `{enroll}`, then \
             `{sudo}dgon-agent service start{flag}`",
            enroll = enrol_command(level),
            sudo = sudo(level),
            flag = level.flag(),
        ));
    }
    if level == Level::User && !lingers() {
        report.note(format!(
            "it runs while you are logged in; `sudo loginctl enable-linger {}` lets it run always",
            user_name()
        ));
    }
    Ok(report)
}

fn enable_packaged(
    level: Level,
    state: &ServiceState,
    places: &Places,
) -> Result<(), ServiceError> {
    if let Some(packaged) = &state.program {
        let same = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if same(packaged) != same(&places.program) {
            return Err(ServiceError::Packaged {
                packaged: packaged.clone(),
                this: places.program.clone(),
            });
        }
    }
    systemctl(level, &["enable", "--quiet", UNIT]).map(drop)
}

/// Makes sure that the service can see its program and that only root can change it; whether it is a copy.
fn place_program(
    places: &mut Places,
    before: &ServiceState,
    report: &mut Report,
) -> Result<bool, ServiceError> {
    let was_copied = before
        .installed
        .as_ref()
        .and_then(|unit| fs::read_to_string(unit).ok())
        .is_some_and(|unit| template::copied_program(&unit) == Some(Path::new(COPY)));
    let program = places.program.display().to_string();
    if program == COPY
        || SYSTEM_FOLDERS
            .iter()
            .any(|folder| program.starts_with(folder))
    {
        return Ok(was_copied && program == COPY);
    }
    let copy = Path::new(COPY);
    let is_foreign = copy.exists() && !was_copied;
    crate::files::replace_program(&places.program, copy)
        .map_err(ServiceError::io(format!("copy {program} to {COPY}")))?;
    report.did(format!("copied {program} to {COPY}"));
    places.program = copy.to_owned();
    // What lay there before the first installation is its owner's, and stays at the end.
    Ok(!is_foreign)
}

fn write_unit(
    level: Level,
    places: &Places,
    copied: bool,
    before: &ServiceState,
    report: &mut Report,
) -> Result<(), ServiceError> {
    let text = match level {
        Level::System => template::SYSTEMD_SYSTEM,
        Level::User => template::SYSTEMD_USER,
    };
    let contents = template::unit(text, places, copied);
    let unchanged = before
        .installed
        .as_ref()
        .is_some_and(|unit| fs::read_to_string(unit).is_ok_and(|old| old == contents));
    let file = unit_file(level);
    manager(level)
        .install(ServiceInstallCtx {
            label: label(),
            program: places.program.clone(),
            args: vec!["run".into()],
            contents: Some(contents),
            username: None,
            working_directory: None,
            environment: None,
            autostart: true,
            restart_policy: RestartPolicy::Never,
        })
        .map_err(ServiceError::io(format!("install {}", file.display())))?;
    systemctl(level, &["daemon-reload"])?;
    report.did(match (&before.installed, unchanged) {
        (None, _) => format!("installed {} and enabled it", file.display()),
        (Some(_), true) => format!("{} is up to date", file.display()),
        (Some(_), false) => format!("brought {} up to date", file.display()),
    });
    Ok(())
}

pub(super) fn uninstall(
    level: Level,
    places: &Places,
    purge: bool,
) -> Result<Report, ServiceError> {
    let state = inspect(level)?;
    let mut report = Report::default();
    if let Some(unit) = &state.installed {
        if state.running || state.pid.is_some() {
            stop(level)?;
            report.did("stopped the service");
        }
        if state.packaged {
            systemctl(level, &["disable", "--quiet", UNIT])?;
            report.did("disabled the service");
            report.note("the unit belongs to a package: `sudo apt purge dgon-agent`, or `sudo rpm -e dgon-agent`, removes it");
        } else {
            remove_unit(level, unit, &mut report)?;
        }
    } else {
        report.note("no service was installed");
    }
    // Empty unless log.file says otherwise.
    if level == Level::System && !state.packaged {
        let _ = fs::remove_dir(LOGS);
    }
    if purge && !state.packaged {
        delete(places, &mut report)?;
        if level == Level::System {
            if fs::remove_dir_all(LOGS).is_ok() {
                report.did(format!("deleted {LOGS}"));
            }
            account::remove(places, &mut report)?;
        }
    } else if !purge {
        let user = match level {
            Level::System if Path::new(LOGS).exists() => {
                ", the logs in /var/log/dgon, and the system user dgon"
            }
            Level::System => ", and the system user dgon",
            Level::User => "",
        };
        kept(level, places, user, &mut report);
    }
    Ok(report)
}

fn remove_unit(level: Level, unit: &Path, report: &mut Report) -> Result<(), ServiceError> {
    let copied = fs::read_to_string(unit)
        .ok()
        .and_then(|text| template::copied_program(&text).map(Path::to_owned));
    manager(level)
        .uninstall(ServiceUninstallCtx { label: label() })
        .map_err(ServiceError::io(format!("remove {}", unit.display())))?;
    systemctl(level, &["daemon-reload"])?;
    // What a failed service leaves in the manager's memory; there may be nothing to forget.
    let _ = systemctl(level, &["reset-failed", UNIT]);
    report.did(format!("removed {}", unit.display()));
    if level == Level::User {
        remove_empty_folders(unit);
    }
    if let Some(program) = copied.filter(|program| program.exists()) {
        fs::remove_file(&program)
            .map_err(ServiceError::io(format!("remove {}", program.display())))?;
        report.did(format!("removed {}", program.display()));
    }
    Ok(())
}

/// The folders that enabling may have made for this unit alone; those with anything in them stay.
fn remove_empty_folders(unit: &Path) {
    let Some(folder) = unit.parent() else { return };
    let parents = [Some(folder), folder.parent()];
    let wants = folder.join("default.target.wants");
    for folder in std::iter::once(wants.as_path()).chain(parents.into_iter().flatten()) {
        let _ = fs::remove_dir(folder);
    }
}

pub(super) fn start(level: Level) -> Result<(), ServiceError> {
    installed(level)?;
    let started = manager(level).start(ServiceStartCtx { label: label() });
    started.map_err(|error| failed(level, "start", &error.to_string()))
}

pub(super) fn stop(level: Level) -> Result<(), ServiceError> {
    installed(level)?;
    let stopped = manager(level).stop(ServiceStopCtx { label: label() });
    stopped.map_err(|error| failed(level, "stop", &error.to_string()))
}

pub(super) fn restart(level: Level) -> Result<(), ServiceError> {
    installed(level)?;
    systemctl(level, &["restart", UNIT])
        .map(drop)
        .map_err(|error| match error {
            ServiceError::Command { said, .. } => failed(level, "restart", &said),
            other => other,
        })
}

fn installed(level: Level) -> Result<ServiceState, ServiceError> {
    let state = inspect(level)?;
    if state.installed.is_some() {
        Ok(state)
    } else {
        Err(ServiceError::NotInstalled(level))
    }
}

fn failed(level: Level, verb: &str, said: &str) -> ServiceError {
    let user = level.flag();
    // systemctl's own advice follows its first line; ours is shorter.
    let first = said.lines().next().unwrap_or_default().trim();
    let first = first
        .strip_prefix("Command failed with exit code 1: ")
        .unwrap_or(first);
    ServiceError::Command {
        command: format!("systemctl{user} {verb} {UNIT}"),
        said: first.to_owned(),
        hint: format!(
            "; why: `{}journalctl{user} --unit {NAME} --lines 20`",
            sudo(level)
        ),
    }
}

fn label() -> ServiceLabel {
    ServiceLabel {
        qualifier: None,
        organization: None,
        application: NAME.to_owned(),
    }
}

fn manager(level: Level) -> SystemdServiceManager {
    match level {
        Level::System => SystemdServiceManager::system(),
        Level::User => SystemdServiceManager::user(),
    }
}

fn unit_file(level: Level) -> PathBuf {
    let folder = match level {
        Level::System => PathBuf::from(SYSTEM_UNITS),
        Level::User => service_manager::systemd_user_dir_path().unwrap_or_default(),
    };
    folder.join(UNIT)
}

fn systemctl(level: Level, arguments: &[&str]) -> Result<String, ServiceError> {
    let mut all = match level {
        Level::System => vec!["--no-pager"],
        Level::User => vec!["--no-pager", "--user"],
    };
    all.extend(arguments);
    command("systemctl", &all)
}

/// Whether systemd runs here, and answers.
fn require(level: Level) -> Result<(), ServiceError> {
    if !Path::new("/run/systemd/system").is_dir() {
        let init = fs::read_to_string("/proc/1/comm").unwrap_or_default();
        return Err(ServiceError::NoManager(format!(
            "systemd does not run this machine (its first process is {}); let your own supervisor run `dgon-agent \
             run` as a user of its own, or a container with `dgon-agent run` as its command",
            init.trim()
        )));
    }
    if level == Level::User {
        systemctl(level, &["show", "--property", "Version"]).map_err(|error| {
            ServiceError::NoUserManager {
                user: user_name(),
                said: match error {
                    ServiceError::Command { said, .. } => said,
                    other => other.to_string(),
                },
            }
        })?;
    }
    Ok(())
}

fn user_name() -> String {
    command("id", &["--user", "--name"]).map_or("USER".to_owned(), |name| name.trim().to_owned())
}

/// Whether the user's services run without a login.
fn lingers() -> bool {
    Path::new("/var/lib/systemd/linger")
        .join(user_name())
        .exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n\
        UnitFileState=enabled\nFragmentPath=/etc/systemd/system/dgon-agent.service\nMainPID=71\nNRestarts=2\n\
        ExecStart={ path=/usr/local/bin/dgon-agent ; argv[]=/usr/local/bin/dgon-agent run ; ignore_errors=no }\n";

    #[test]
    fn a_running_service_is_read() {
        let state = read_state(Level::System, RUNNING);
        assert!(state.running && state.enabled && !state.packaged);
        assert_eq!((state.pid, state.restarts), (Some(71), Some(2)));
        assert_eq!(state.program.unwrap(), Path::new(COPY));
        assert_eq!(state.detail, "active (running)");
    }

    #[test]
    fn a_failed_service_says_why_and_an_absent_one_that_it_is_absent() {
        let text = RUNNING
            .replace("ActiveState=active", "ActiveState=failed")
            .replace("Result=success", "Result=watchdog")
            .replace("MainPID=71", "MainPID=0")
            .replace("/etc/systemd/system", "/lib/systemd/system");
        let state = read_state(Level::System, &text);
        assert_eq!(state.detail, "failed (watchdog)");
        assert!(!state.running && state.pid.is_none() && state.packaged);
        let absent = "LoadState=not-found\nActiveState=inactive\nFragmentPath=\n";
        let state = read_state(Level::User, absent);
        assert_eq!(state, ServiceState::absent(MANAGER, Level::User));
    }
}
