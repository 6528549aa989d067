//! A folder that is held open, and files made in it.
//!
//! Root writes into directories of other users, who may rename what lies there at any moment. So a name is looked up
//! once, and everything after that goes by the descriptor: the owner that is asked and the place that is written to are
//! of one and the same directory.

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Bits that let the group or others write.
pub(super) const OTHERS_WRITE: u32 = 0o022;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

/// What is known of an entry or an open file.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) kind: FileType,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// How many names it has.
    pub(super) names: u64,
}

impl From<Stat> for Facts {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_cast,
        reason = "systems differ in how wide these numbers are"
    )]
    fn from(stat: Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            mode: u32::from(stat.st_mode) & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            names: stat.st_nlink as u64,
        }
    }
}

impl Folder {
    /// Opens the directory of this name. Root follows a link only where nobody else could have put it there.
    ///
    /// # Errors
    /// What the system says; [`LinkedFolder`] where the link is not to be trusted.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let open = |path: &Path, more| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more;
            rustix::fs::open(path, flags, Mode::empty()).map(Self)
        };
        if !super::is_superuser() {
            return Ok(open(path, OFlags::empty())?);
        }
        match open(path, OFlags::NOFOLLOW) {
            // Systems say either of a link that must be a directory.
            Err(Errno::LOOP | Errno::NOTDIR) if is_link(path) => {}
            other => return Ok(other?),
        }
        let parent = path.parent().filter(|parent| *parent != path);
        let parent = Self::open(parent.unwrap_or(Path::new("/")))?.facts()?;
        if parent.uid != 0 || parent.mode & OTHERS_WRITE != 0 {
            return Err(io::Error::other(LinkedFolder(path.display().to_string())));
        }
        Ok(open(path, OFlags::empty())?)
    }

    /// Opens the directory `name` in this one; a link is an error.
    pub(super) fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        Ok(Self(open))
    }

    /// Opens the file `name` in this one for reading; a link is an error.
    pub(super) fn file(&self, name: &OsStr) -> io::Result<File> {
        // A pipe that was put there instead must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let open = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        Ok(File::from(open))
    }

    /// Makes the file `name` with at most this mode.
    ///
    /// # Errors
    /// What the system says; also where something, a link included, has that name.
    pub(crate) fn create(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_bits_truncate(mode as _);
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, mode)?))
    }

    /// Makes the directory `name`, its owner's alone.
    pub(super) fn create_folder(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::mkdirat(&self.0, name, Mode::RWXU)?)
    }

    /// Takes the file `name` away, where it is there.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Gives the file `from` the name `to`; what had that name is gone.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Makes renames and creations durable.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Gives a file that root has made here to the directory's owner.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn give_to_owner(&self, file: &File) -> io::Result<()> {
        self.owner_for_new()?
            .map_or(Ok(()), |owner| give(file, owner))
    }

    /// Whose a file is that root makes here; `None` where it stays root's.
    pub(super) fn owner_for_new(&self) -> io::Result<Option<(u32, u32)>> {
        if !super::is_superuser() {
            return Ok(None);
        }
        let facts = self.facts()?;
        // Root's own directories, and those that all may write to, say nothing of whom the file is for.
        let says_nothing = facts.uid == 0 || facts.mode & OTHERS_WRITE != 0;
        Ok((!says_nothing).then_some((facts.uid, facts.gid)))
    }

    /// What is known of the directory itself.
    pub(super) fn facts(&self) -> io::Result<Facts> {
        facts(&self.0)
    }

    /// What is known of the entry `name`; of a link itself.
    pub(super) fn facts_of(&self, name: &OsStr) -> io::Result<Facts> {
        Ok(rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?.into())
    }

    /// The names in it.
    pub(super) fn names(&self) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.as_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        Ok(names)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn is_link(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| Facts::from(stat).kind == FileType::Symlink)
}

/// What is known of an open file.
pub(super) fn facts(file: impl AsFd) -> io::Result<Facts> {
    Ok(rustix::fs::fstat(file)?.into())
}

/// Gives an open file to a user and group.
pub(super) fn give(file: impl AsFd, (uid, gid): (u32, u32)) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
}

/// Root is led elsewhere by a link that another user could have put there.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is a link in a folder that others may change, and root does not follow it; name the directory that is meant"
)]
pub(crate) struct LinkedFolder(String);
