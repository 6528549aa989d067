//! Puts a program where a service runs it: root's, and changed in one step.

use super::folder::{self, Folder};
use rustix::fs::Mode;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

/// All may run it, only its owner may change it.
const PROGRAM_MODE: u32 = 0o755;

/// Writable by all, and not only for each one's own files.
const ALL_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Who can change the folder can change the program.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is a folder that others than root may change, and with it the program in it; give it to root: sudo chown root \
     {0} && sudo chmod 755 {0}"
)]
pub(crate) struct ForeignFolder(String);

/// Puts a copy of the program `from` in place of `to` in one step; a process that runs the old one keeps it.
///
/// # Errors
/// What the system says; the old program is then still there.
pub(crate) fn replace_program(from: &Path, to: &Path) -> io::Result<()> {
    let (parent, name) = super::super::parent_and_name(to)?;
    let folder = Folder::open(parent)?;
    if super::is_superuser() {
        let facts = folder.facts()?;
        if facts.uid != 0 || facts.mode & (ALL_WRITE | STICKY) == ALL_WRITE {
            let shown = parent.display().to_string();
            return Err(io::Error::other(ForeignFolder(shown)));
        }
    }
    let mut fresh = name.to_owned();
    fresh.push(".new");
    folder.remove(&fresh)?;
    let placed = copy(from, &folder, &fresh).and_then(|()| folder.rename(&fresh, name));
    if let Err(error) = placed {
        // The first error is the one to tell.
        drop(folder.remove(&fresh));
        return Err(error);
    }
    folder.sync()
}

fn copy(from: &Path, folder: &Folder, name: &OsStr) -> io::Result<()> {
    let mut source = File::open(from)?;
    // Nobody runs it before it is whole.
    let mut file = folder.create(name, 0o600)?;
    io::copy(&mut source, &mut file)?;
    if super::is_superuser() {
        folder::give(&file, (0, 0))?;
    }
    rustix::fs::fchmod(&file, Mode::from_bits_truncate(PROGRAM_MODE as _))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_program_is_replaced_whole_and_a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("from"), "new program").unwrap();
        fs::write(at("to"), "old program").unwrap();
        fs::write(at("foreign"), "foreign").unwrap();
        symlink(at("foreign"), at("to.new")).unwrap();
        replace_program(&at("from"), &at("to")).unwrap();
        assert_eq!(fs::read_to_string(at("to")).unwrap(), "new program");
        let mode = fs::metadata(at("to")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
        assert_eq!(fs::read_to_string(at("foreign")).unwrap(), "foreign");
        assert!(!at("to.new").exists());
    }

    #[test]
    fn a_failed_copy_leaves_the_old_program_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("to");
        fs::write(&to, "old program").unwrap();
        assert!(replace_program(&dir.path().join("absent"), &to).is_err());
        assert_eq!(fs::read_to_string(&to).unwrap(), "old program");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn root_puts_no_program_where_another_user_can_change_it() {
        if !super::super::is_superuser() {
            println!("skipped: only root is asked");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("from"), "program").unwrap();
        fs::create_dir(at("theirs")).unwrap();
        std::os::unix::fs::chown(at("theirs"), Some(65534), Some(65534)).unwrap();
        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o777)).unwrap();
        for folder in ["theirs", "open"] {
            let error = replace_program(&at("from"), &at(folder).join("to")).unwrap_err();
            assert!(error.to_string().contains("others than root"), "{error}");
            assert_eq!(fs::read_dir(at(folder)).unwrap().count(), 0);
        }
    }
}
