//! Systems whose service manager is not known: every answer says so.

use super::{Level, Places, Report, ServiceError, ServiceState};
use std::path::PathBuf;

fn unknown<T>() -> Result<T, ServiceError> {
    Err(ServiceError::NoManager(
        "services of this system are not known to dgon-agent; let your own supervisor run `dgon-agent run`"
            .to_owned(),
    ))
}

pub(super) fn system_places(program: PathBuf) -> Places {
    Places {
        program,
        state_dir: "/var/lib/dgon".into(),
        config_file: "/etc/dgon/agent.yaml".into(),
    }
}

pub(super) fn inspect(_level: Level) -> Result<ServiceState, ServiceError> {
    unknown()
}

pub(super) fn install(_level: Level, _places: &Places) -> Result<Report, ServiceError> {
    unknown()
}

pub(super) fn uninstall(
    _level: Level,
    _places: &Places,
    _purge: bool,
) -> Result<Report, ServiceError> {
    unknown()
}

pub(super) fn start(_level: Level) -> Result<(), ServiceError> {
    unknown()
}

pub(super) fn stop(_level: Level) -> Result<(), ServiceError> {
    unknown()
}

pub(super) fn restart(_level: Level) -> Result<(), ServiceError> {
    unknown()
}
