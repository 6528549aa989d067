//! Systems without Unix modes: the state directory lies in the user's profile, whose access list guards it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use sysinfo::Disks;

/// Whether this process is root: there is none.
pub fn is_superuser() -> bool {
    false
}

/// The mode that lets others in: there are no modes.
///
/// # Errors
/// None.
pub fn open_to_others(path: &Path) -> io::Result<Option<u32>> {
    std::fs::metadata(path).map(|_| None)
}

/// The mode that lets others write: there are no modes.
///
/// # Errors
/// What the system says.
pub fn writable_by_others(path: &Path) -> io::Result<Option<u32>> {
    std::fs::metadata(path).map(|_| None)
}

/// Bytes that this user can still write on the file system of `path`; unknown where the system names no disks.
///
/// # Errors
/// What the system says.
pub fn free_bytes(path: &Path) -> io::Result<Option<u64>> {
    let path = std::path::absolute(path)?;
    std::fs::metadata(&path)?;
    let Ok(disks) = Disks::new_with_refreshed_list() else {
        return Ok(None);
    };
    let below = disks
        .iter()
        .filter(|disk| path.starts_with(disk.mount_point()));
    let nearest = below.max_by_key(|disk| disk.mount_point().components().count());
    Ok(nearest.map(sysinfo::Disk::available_space))
}

/// Makes a new file its owner's alone: by the folder that it lies in.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

pub(super) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// A folder by its name: an access list guards it, and no other user renames what lies in it.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(path.to_owned()))
    }

    /// There are no modes.
    pub(super) fn create(&self, name: &OsStr, _mode: u32) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.0.join(name))
    }

    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match std::fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        sync_dir(&self.0)
    }

    /// There is no owner to follow.
    pub(super) fn give_to_owner(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `path` still names the open file: an open file cannot be renamed here.
pub(crate) fn is_same(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Whether the standard error stream is the file of this device and inode: there is no journal.
pub(crate) fn is_stderr(_file: (u64, u64)) -> bool {
    false
}
