//! Unix: modes, fsync of directories, free space.
//!
//! | module | owns |
//! |---|---|
//! | `folder` | a directory that is held open, and what is made in it |
//! | `hand_over` | giving files of root's to the user that a service runs as |
//! | `program` | putting a program in place for a service |

mod folder;
mod hand_over;
mod program;

pub(super) use folder::Folder;
pub(crate) use hand_over::{Account, give_tree, open_to_group};
pub(crate) use program::replace_program;

use super::Exposure;
use crate::shell::Shell;
use folder::OTHERS_WRITE;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Bits that let the group or others in.
const OTHERS: u32 = 0o077;

/// Whether this process is root.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whom a file or directory lets in, `None` where only its owner.
///
/// # Errors
/// What the system says.
pub fn open_to_others(path: &Path) -> io::Result<Option<Exposure>> {
    let facts = fs::metadata(path)?;
    let closed = if facts.is_dir() { "700" } else { "600" };
    Ok(exposure(path, &facts, OTHERS, closed))
}

/// The same for a folder that alone keeps others from the files in it: here each file's own mode does.
///
/// # Errors
/// None.
pub fn folder_open_to_others(_path: &Path) -> io::Result<Option<Exposure>> {
    Ok(None)
}

/// Who else may write a file, `None` where only its owner may.
///
/// # Errors
/// What the system says.
pub fn writable_by_others(path: &Path) -> io::Result<Option<Exposure>> {
    Ok(exposure(path, &fs::metadata(path)?, OTHERS_WRITE, "go-w"))
}

fn exposure(path: &Path, facts: &fs::Metadata, bits: u32, closed: &str) -> Option<Exposure> {
    let mode = facts.permissions().mode() & 0o7777;
    (mode & bits != 0).then(|| {
        let path = Shell::Posix.path(path);
        Exposure::new(format!("mode {mode:04o}"), format!("chmod {closed} {path}"))
    })
}

/// Bytes that this user can still write on the file system of `path`.
///
/// # Errors
/// What the system says.
pub fn free_bytes(path: &Path) -> io::Result<Option<u64>> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// Makes a new file its owner's alone.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes a directory that is its owner's alone; one that root makes in another user's directory becomes that user's.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    let (parent, name) = super::parent_and_name(path)?;
    let parent = Folder::open(parent)?;
    parent.create_folder(name)?;
    if let Some(owner) = parent.owner_for_new()? {
        folder::give(parent.enter(name)?, owner)?;
    }
    parent.sync()
}

/// A directory that is there may be as open as its owner likes: each private file in it is closed by its own mode.
pub(super) fn check_private_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether `path` still names the open file.
pub(crate) fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Whether the standard error stream is the file of this device and inode.
pub(crate) fn is_stderr((device, inode): (u64, u64)) -> bool {
    let facts = std::io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|stream| File::from(stream).metadata());
    facts.is_ok_and(|facts| (facts.dev(), facts.ino()) == (device, inode))
}
