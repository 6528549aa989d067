//! Unix: modes, fsync of directories, free space.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

/// Bits that let the group or others in.
const OTHERS: u32 = 0o077;
/// Bits that let them write.
const OTHERS_WRITE: u32 = 0o022;

/// Whether this process is root.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// The mode of a file or directory where it lets others in, `None` where only its owner can.
///
/// # Errors
/// What the system says.
pub fn open_to_others(path: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    Ok((mode & OTHERS != 0).then_some(mode))
}

/// The mode of a file where it lets others write, `None` where only its owner can.
///
/// # Errors
/// What the system says.
pub fn writable_by_others(path: &Path) -> io::Result<Option<u32>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    Ok((mode & OTHERS_WRITE != 0).then_some(mode))
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

pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Gives a new file of root's to the owner of the directory that it lies in.
pub(super) fn follow_owner(path: &Path, dir: Option<&Path>) -> io::Result<()> {
    if !is_superuser() {
        return Ok(());
    }
    let Some(dir) = dir.filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    let facts = fs::metadata(dir)?;
    // Root's own directories, and those that all may write to, say nothing of whom the file is for.
    if facts.uid() == 0 || facts.permissions().mode() & OTHERS_WRITE != 0 {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(facts.uid()), Some(facts.gid()))
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
