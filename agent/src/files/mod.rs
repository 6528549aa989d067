//! Files that must not tear and must not be read by others.
//!
//! [`write_private`] leaves either the old or the new content after a crash, never a part, and the file is its
//! owner's alone from the first byte on. What root writes into another user's directory becomes that user's, as the
//! service runs as a user of its own and `sudo dgon-agent enroll` does not. That user may rename what lies there at any
//! moment, so root gives files away by descriptors, never by names. `cfg` of the operating system stays in this folder.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

#[cfg(any(windows, test))]
mod access_list;
mod exposure;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as os;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as os;

pub use exposure::Exposure;

#[cfg(unix)]
pub(crate) use os::{Account, give_tree, open_to_group, replace_program};
#[cfg(windows)]
pub(crate) use os::{Descriptor, close_tree, service_folder};
pub use os::{folder_open_to_others, free_bytes, is_superuser, open_to_others, writable_by_others};
pub(crate) use os::{is_same, is_stderr, private};

/// Makes a directory that only its owner can enter, and its parents. One that is there stays as it is.
///
/// # Errors
/// What the system says; also where what is put into the directory would be open to others.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return os::check_private_dir(path);
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    os::make_private_dir(path)
}

/// Writes `content` with mode 0600: to a new file beside it, fsynced, renamed over it, directory fsynced.
///
/// # Errors
/// What the system says; the old file is then still there.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, 0o600)
}

/// Like [`write_private`], but readable by all: for files without secrets.
///
/// # Errors
/// What the system says; the old file is then still there.
pub fn write_public(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, 0o666)
}

/// Makes a new file that only its owner can read.
///
/// # Errors
/// What the system says; also where there is something at `path` already.
pub fn create_private(path: &Path) -> io::Result<File> {
    os::private(OpenOptions::new().write(true).create_new(true)).open(path)
}

fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (parent, name) = parent_and_name(path)?;
    let folder = os::Folder::open(parent)?;
    let mut fresh = name.to_owned();
    fresh.push(format!(".new.{}", std::process::id()));
    // A leftover of a crashed process with our id must not lend its mode to the new file.
    folder.remove(&fresh)?;
    let written = folder.create(&fresh, mode).and_then(|mut file: File| {
        file.write_all(content)?;
        folder.give_to_owner(&file)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| folder.rename(&fresh, name)) {
        // The first error is the one to tell; the leftover is removed by the next write if not now.
        drop(folder.remove(&fresh));
        return Err(error);
    }
    folder.sync()
}

/// The directory that `path` lies in, and its name there.
fn parent_and_name(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Ok((parent, name))
}

/// Makes renames and creations in a directory durable.
///
/// # Errors
/// What the system says.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    os::sync_dir(path)
}

/// Reads a small file whole; more than `max_bytes` is an error.
///
/// # Errors
/// What the system says.
pub fn read_small(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file is larger than {max_bytes} bytes"),
        ));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_replaced_whole_and_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state/node.key");
        create_private_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, b"old, and open to all").unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(read_small(&path, 3).unwrap(), b"new");
        assert_eq!(open_to_others(&path).unwrap(), None);
        assert_eq!(open_to_others(path.parent().unwrap()).unwrap(), None);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), b"").unwrap();
        assert!(write_private(&path, b"new").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_large_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        fs::write(&path, [0; 11]).unwrap();
        assert_eq!(
            read_small(&path, 10).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    #[cfg(unix)]
    fn what_root_writes_for_another_user_is_theirs_and_never_behind_their_link() {
        use std::os::unix::fs::{MetadataExt as _, chown, symlink};
        const OTHER: u32 = 65534;
        if !is_superuser() {
            println!("skipped: only root can write for others");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("theirs")).unwrap();
        fs::create_dir(at("roots")).unwrap();
        chown(at("theirs"), Some(OTHER), Some(OTHER)).unwrap();
        create_private_dir(&at("theirs/state")).unwrap();
        write_private(&at("theirs/state/node.key"), b"x").unwrap();
        for name in ["theirs/state", "theirs/state/node.key"] {
            let facts = fs::metadata(at(name)).unwrap();
            assert_eq!((facts.uid(), facts.gid()), (OTHER, OTHER), "{name}");
        }
        symlink(at("roots"), at("theirs/link")).unwrap();
        let error = write_private(&at("theirs/link/node.key"), b"x").unwrap_err();
        assert!(
            error.to_string().contains("root does not follow it"),
            "{error}"
        );
        assert_eq!(fs::read_dir(at("roots")).unwrap().count(), 0);
    }
}
