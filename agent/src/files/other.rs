//! Systems without Unix modes: the state directory lies in the user's profile, whose access list guards it.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

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

/// Bytes that this user can still write on the file system of `path`; unknown here.
///
/// # Errors
/// What the system says.
pub fn free_bytes(path: &Path) -> io::Result<Option<u64>> {
    std::fs::metadata(path).map(|_| None)
}

pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}

pub(super) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}
