//! One agent per state directory: a lock on a file in it, held as long as the process lives.
//!
//! The system drops the lock with the process, however it ends, so that nothing stale ever has to be cleaned up.

use super::disk::owner_only;
use crate::own_command::own_command;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "another dgon-agent uses this state directory; stop it first with `{}`, or give this one its own with \
         --state-dir",
        own_command("stop")
    )]
    Taken,
    /// The lock file cannot be made or locked.
    #[error("the lock file cannot be used; check the permissions of the state directory")]
    Io(#[source] io::Error),
}

/// The lock; dropping it frees the directory.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock alone")] File);

impl Lock {
    /// Takes the lock of the state directory at `folder`.
    ///
    /// # Errors
    /// [`LockError`], at once: nothing waits for another agent to stop.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let path = folder.join("lock");
        let file = match owner_only(&mut options).open(&path) {
            // A disk that takes no writes is a state of the spool and no reason not to start.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(&path),
            other => other,
        }
        .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken),
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }

    /// Whether a process has the lock of the state directory at `folder`. Makes no file and changes none: it is asked
    /// by commands of other users, too.
    ///
    /// # Errors
    /// When the lock file is there and cannot be looked at.
    pub fn is_taken(folder: &Path) -> io::Result<bool> {
        let file = match File::open(folder.join("lock")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_turned_away_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            !Lock::is_taken(folder.path()).unwrap(),
            "there is no file yet"
        );
        let first = Lock::take(folder.path()).unwrap();
        assert!(matches!(Lock::take(folder.path()), Err(LockError::Taken)));
        assert!(Lock::is_taken(folder.path()).unwrap());
        drop(first);
        assert!(!Lock::is_taken(folder.path()).unwrap());
        assert!(Lock::take(folder.path()).is_ok());
    }
}
