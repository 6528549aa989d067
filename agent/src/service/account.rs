//! The system user of the service, and what must belong to it.
//!
//! | module | owns |
//! |---|---|
//! | `linux` | the user `dgon` |
//! | `macos` | the user `_dgon`; its decisions are tested on every system |

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;
#[cfg(target_os = "linux")]
pub(super) use linux::{USER, ensure, remove};
#[cfg(target_os = "macos")]
pub(super) use macos::{USER, ensure, remove};

use super::{Places, Report, ServiceError};
use crate::files::{self, Account};
use std::fs;
use std::io;
use std::path::Path;

/// Makes the directories and gives the state to the service's user. Enrolment may have been done by root.
pub(super) fn prepare(
    places: &Places,
    account: Account,
    report: &mut Report,
) -> Result<(), ServiceError> {
    let state = &places.state_dir;
    let made = !state.exists();
    files::create_private_dir(state).map_err(ServiceError::io(format!(
        "make the state directory {}",
        state.display()
    )))?;
    let given = give(state, account)?;
    if made {
        report.did(format!("made the state directory {}", state.display()));
    } else if given {
        report.did(format!("gave {} to the user {USER}", state.display()));
    }
    let config = &places.config_file;
    if let Some(dir) = config.parent() {
        fs::create_dir_all(dir).map_err(ServiceError::io(format!("make {}", dir.display())))?;
    }
    files::open_to_group(config, account)
        .map_err(io::Error::other)
        .map_err(ServiceError::io(format!(
            "let the user {USER} read {}",
            config.display()
        )))
}

/// Gives a directory and all in it to the service's user; whether anything changed.
pub(super) fn give(dir: &Path, account: Account) -> Result<bool, ServiceError> {
    files::give_tree(dir, account)
        .map_err(io::Error::other)
        .map_err(ServiceError::io(format!(
            "give {} to the user {USER}",
            dir.display()
        )))
}
