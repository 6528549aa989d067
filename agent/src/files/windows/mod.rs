//! Windows: access lists, free space. There are no modes.
//!
//! A private directory is closed by a list of its own that takes nothing from the directory above: the system,
//! administrators, and its trustee get in. What lies in it inherits that. The trustee is the user who made it; below the
//! service's folder it is the service's account, so that what an administrator makes there is the service's.
//!
//! | module | owns |
//! |---|---|
//! | `security` | Windows' security descriptors |

mod security;

pub(crate) use security::Descriptor;

use super::Exposure;
use super::access_list::{self, CHANGE, ENTER, SERVICE_ACCOUNT, Sid};
use security::{Inherits, LIST, OWNER_AND_LIST};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use sysinfo::Disks;

/// Deepest folder that is looked at below a state directory.
const DEPTH: u32 = 8;

/// Others get at a directory that was to be private.
#[derive(Debug, thiserror::Error)]
#[error("others get at {path} ({exposure}); close it with `{}`", exposure.command())]
struct Open {
    path: String,
    exposure: Exposure,
}

/// Whether this process is root: there is none.
pub fn is_superuser() -> bool {
    false
}

/// Where the machine's service keeps its files.
pub(crate) fn service_folder() -> PathBuf {
    let data = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
    Path::new(&data).join("DGON")
}

/// Whom a file or directory lets in, `None` where only its trustee. A directory's owner counts, too: a user may have
/// made it in good time, to get at what is put there later.
///
/// # Errors
/// What the system says.
pub fn open_to_others(path: &Path) -> io::Result<Option<Exposure>> {
    let parts = if fs::metadata(path)?.is_dir() {
        OWNER_AND_LIST
    } else {
        LIST
    };
    exposure(path, &Descriptor::of(path, parts)?, ENTER)
}

/// The same for a folder that alone keeps others from replacing the files in it.
///
/// # Errors
/// What the system says.
pub fn folder_open_to_others(path: &Path) -> io::Result<Option<Exposure>> {
    open_to_others(path)
}

/// Who else may write a file, `None` where only its trustee may.
///
/// # Errors
/// What the system says.
pub fn writable_by_others(path: &Path) -> io::Result<Option<Exposure>> {
    exposure(path, &Descriptor::of(path, LIST)?, CHANGE)
}

fn exposure(path: &Path, descriptor: &Descriptor, rights: u32) -> io::Result<Option<Exposure>> {
    // The system may write a user by two letters that mean another number on each machine.
    let user = security::current_user()?;
    let spelled = Descriptor::parse(&format!("O:{user}D:P"))?.text()?;
    let spelled = spelled.trim_start_matches("O:").split("D:").next();
    let trusted = [
        Sid::new(&user),
        Sid::new(spelled.unwrap_or_default()),
        Sid::new(SERVICE_ACCOUNT),
    ];
    let finding = access_list::judge(&descriptor.text()?, rights, &trusted);
    finding
        .map(|finding| Ok(access_list::exposure(&finding, path, &trustee(path)?)))
        .transpose()
}

/// Whose a file or directory at this place is.
fn trustee(path: &Path) -> io::Result<Sid> {
    if std::path::absolute(path)?.starts_with(service_folder()) {
        return Ok(Sid::new(SERVICE_ACCOUNT));
    }
    security::current_user().map(|user| Sid::new(&user))
}

/// List, and where it matters owner, of a private directory at this place. What an administrator makes for the service
/// is not that person's: an owner may change the list.
fn closed(path: &Path) -> io::Result<Descriptor> {
    let trustee = trustee(path)?;
    let is_mine = trustee.number() == security::current_user()?;
    let owner = if is_mine { "" } else { "O:BA" };
    Descriptor::parse(&format!("{owner}{}", access_list::closed(&trustee)))
}

/// Makes a directory that only its trustee can enter.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    closed(path)?.make_directory(path)
}

/// Fails where others get at a directory that is there already.
pub(super) fn check_private_dir(path: &Path) -> io::Result<()> {
    match open_to_others(path)? {
        None => Ok(()),
        Some(exposure) => Err(io::Error::other(Open {
            path: path.display().to_string(),
            exposure,
        })),
    }
}

/// Closes a directory anew, and lets all in it inherit from it alone. Links are left as they are: what they lead to is
/// not the directory's.
///
/// # Errors
/// What the system says; closing it again goes on from there.
pub(crate) fn close_tree(path: &Path) -> io::Result<()> {
    closed(path)?.set_on(path, Inherits::No)?;
    inherit(path, &Descriptor::parse("D:")?, DEPTH)
}

fn inherit(folder: &Path, nothing: &Descriptor, depth: u32) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            continue;
        }
        nothing.set_on(&entry.path(), Inherits::Yes)?;
        if kind.is_dir() && depth > 0 {
            inherit(&entry.path(), nothing, depth - 1)?;
        }
    }
    Ok(())
}

/// Bytes that this user can still write on the file system of `path`; unknown where the system names no disks.
///
/// # Errors
/// What the system says.
pub fn free_bytes(path: &Path) -> io::Result<Option<u64>> {
    let path = std::path::absolute(path)?;
    fs::metadata(&path)?;
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
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
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
