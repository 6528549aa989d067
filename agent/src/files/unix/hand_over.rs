//! Giving files of root's to the user that a service runs as.
//!
//! Everything goes by descriptors ([`Folder`]): a link in the tree is never followed, and a file that has a second name
//! is refused, since that name may stand where its owner is somebody else. Sockets and links stay as they are: whoever
//! owns the directory may replace them.

use super::folder::{self, Folder, give};
use rustix::fs::{FileType, Gid, Mode};
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// How deep a state directory can be; ours has three levels.
const MAX_DEPTH: usize = 16;

/// User and group as the system knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Why a file is not given away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandOverError {
    /// Somebody else may own its other name.
    #[error(
        "{} has {names} names (hard links), and the others may belong to somebody else; remove it, or replace it by a \
         copy: cp FILE FILE.copy && mv FILE.copy FILE", path.display()
    )]
    SeveralNames {
        /// The file.
        path: PathBuf,
        /// How many.
        names: u64,
    },
    /// It is a device or a pipe.
    #[error("{} is neither a file nor a directory, and has no place there; remove it", .0.display())]
    NoFile(PathBuf),
    /// The tree does not end.
    #[error("{} lies too deep to be part of a state directory; move it elsewhere", .0.display())]
    TooDeep(PathBuf),
    /// The system refuses.
    #[error("{} cannot be given away", path.display())]
    Io {
        /// The entry.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> HandOverError {
    let path = path.to_owned();
    move |source| HandOverError::Io { path, source }
}

/// Gives a directory and all in it to the user; whether anything changed. Once the directory belongs to the user nothing
/// is touched any more.
pub(crate) fn give_tree(dir: &Path, to: Account) -> Result<bool, HandOverError> {
    let folder = Folder::open(dir).map_err(failed(dir))?;
    if folder.facts().map_err(failed(dir))?.uid == to.uid {
        return Ok(false);
    }
    give_folder(&folder, dir, to, MAX_DEPTH)?;
    Ok(true)
}

/// The folder itself last, so that an interrupted run is finished by the next.
fn give_folder(
    folder: &Folder,
    path: &Path,
    to: Account,
    deeper: usize,
) -> Result<(), HandOverError> {
    for name in folder.names().map_err(failed(path))? {
        let name = as_name(&name);
        let path = path.join(name);
        let kind = folder.facts_of(name).map_err(failed(&path))?.kind;
        match kind {
            FileType::Directory => {
                let Some(deeper) = deeper.checked_sub(1) else {
                    return Err(HandOverError::TooDeep(path));
                };
                let inner = folder.enter(name).map_err(failed(&path))?;
                give_folder(&inner, &path, to, deeper)?;
            }
            FileType::RegularFile => {
                let file = folder.file(name).map_err(failed(&path))?;
                only_name(&file, &path)?;
                give(&file, (to.uid, to.gid)).map_err(failed(&path))?;
            }
            FileType::Symlink | FileType::Socket => {}
            _ => return Err(HandOverError::NoFile(path)),
        }
    }
    give(folder, (to.uid, to.gid)).map_err(failed(path))
}

/// Lets the account's group read a file that only its owner can read. What all may read, a link, and what is not there
/// stay as they are.
pub(crate) fn open_to_group(path: &Path, account: Account) -> Result<(), HandOverError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let folder = match Folder::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed(dir))?,
    };
    match folder.facts_of(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(facts) if facts.kind != FileType::RegularFile => return Ok(()),
        other => other.map_err(failed(path))?,
    };
    let file = folder.file(name).map_err(failed(path))?;
    let facts = folder::facts(&file).map_err(failed(path))?;
    if facts.mode & 0o004 != 0 || facts.uid == account.uid {
        return Ok(());
    }
    only_name(&file, path)?;
    let readable = Mode::from_bits_truncate(((facts.mode & 0o777) | 0o040) as _);
    rustix::fs::fchown(&file, None, Some(Gid::from_raw(account.gid)))
        .and_then(|()| rustix::fs::fchmod(&file, readable))
        .map_err(|error| failed(path)(error.into()))
}

/// Refuses what is no regular file, and one that has several names.
fn only_name(file: impl AsFd, path: &Path) -> Result<(), HandOverError> {
    let facts = folder::facts(file).map_err(failed(path))?;
    if facts.kind != FileType::RegularFile {
        return Err(HandOverError::NoFile(path.to_owned()));
    }
    if facts.names > 1 {
        return Err(HandOverError::SeveralNames {
            path: path.to_owned(),
            names: facts.names,
        });
    }
    Ok(())
}

fn as_name(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}

#[cfg(test)]
mod tests;
