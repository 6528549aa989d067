//! The system user of the service, and what must belong to it.

use super::{Places, Report, ServiceError, USER, command};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Groups that GPUs' device files belong to, where a distribution has them.
const GPU_GROUPS: [&str; 2] = ["video", "render"];
const NOLOGIN: &str = "/usr/sbin/nologin";

/// User and group as the system knows them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
}

/// The user's entry in a `passwd` file: account and home.
fn find(passwd: &str) -> Option<(Account, PathBuf)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(USER) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1)?;
        Some((Account { uid, gid }, PathBuf::from(home)))
    })
}

fn lookup() -> Result<Option<(Account, PathBuf)>, ServiceError> {
    // `getent` asks what the system is set to ask, not the file alone; 2 means that nobody knows the name.
    match command("getent", &["passwd", USER]) {
        Ok(entry) => Ok(find(&entry)),
        Err(_) => fs::read_to_string("/etc/passwd")
            .map(|passwd| find(&passwd))
            .map_err(ServiceError::io("read /etc/passwd")),
    }
}

/// Makes the user where there is none.
pub(super) fn ensure(places: &Places, report: &mut Report) -> Result<Account, ServiceError> {
    let account = match lookup()? {
        Some((account, _)) => account,
        None => {
            let home = places.state_dir.display().to_string();
            let mut arguments = vec!["--system", "--user-group", "--no-create-home"];
            arguments.extend(["--home-dir", &home, "--shell", NOLOGIN]);
            arguments.extend(["--comment", "DGON agent", USER]);
            command("useradd", &arguments)?;
            report.did(format!("made the system user {USER}"));
            let made = lookup()?.map(|(account, _)| account);
            made.ok_or_else(|| ServiceError::Io {
                what: format!("find the user {USER} that useradd made"),
                source: io::ErrorKind::NotFound.into(),
            })?
        }
    };
    for group in GPU_GROUPS {
        if command("getent", &["group", group]).is_ok() {
            command("usermod", &["--append", "--groups", group, USER])?;
        }
    }
    Ok(account)
}

/// Takes away the user that [`ensure`] or a package made; anybody else of that name stays.
pub(super) fn remove(places: &Places, report: &mut Report) -> Result<(), ServiceError> {
    let Some((_, home)) = lookup()? else {
        return Ok(());
    };
    if home != places.state_dir {
        report.note(format!(
            "kept the user {USER}: its home {} is not the service's",
            home.display()
        ));
        return Ok(());
    }
    command("userdel", &[USER])?;
    report.did(format!("removed the system user {USER}"));
    Ok(())
}

/// Makes the directories and gives the state to the service's user. Enrolment may have been done by root.
pub(super) fn prepare(
    places: &Places,
    account: Account,
    report: &mut Report,
) -> Result<(), ServiceError> {
    let state = &places.state_dir;
    let made = !state.exists();
    crate::files::create_private_dir(state).map_err(ServiceError::io(format!(
        "make the state directory {}",
        state.display()
    )))?;
    let given = give(state, account).map_err(ServiceError::io(format!(
        "give {} to the user {USER}",
        state.display()
    )))?;
    if made {
        report.did(format!("made the state directory {}", state.display()));
    } else if given {
        report.did(format!("gave {} to the user {USER}", state.display()));
    }
    let config = &places.config_file;
    if let Some(dir) = config.parent() {
        fs::create_dir_all(dir).map_err(ServiceError::io(format!("make {}", dir.display())))?;
    }
    open_config(config, account).map_err(ServiceError::io(format!(
        "let the user {USER} read {}",
        config.display()
    )))
}

/// Gives a directory and all in it to the user; whether anything changed. Once the directory belongs to the user,
/// the user could put links into it: then nothing is touched any more.
fn give(dir: &Path, account: Account) -> io::Result<bool> {
    if fs::symlink_metadata(dir)?.uid() == account.uid {
        return Ok(false);
    }
    let mut folders = vec![dir.to_owned()];
    let mut entries = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            entries.push(entry.path());
        }
    }
    // The directory itself last, so that an interrupted run is finished by the next.
    entries.push(dir.to_owned());
    for path in entries {
        std::os::unix::fs::lchown(&path, Some(account.uid), Some(account.gid))?;
    }
    Ok(true)
}

/// A configuration that only root may read is opened to the service's group.
fn open_config(path: &Path, account: Account) -> io::Result<()> {
    let facts = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        facts => facts?,
    };
    let mode = facts.permissions().mode();
    if !facts.is_file() || mode & 0o004 != 0 || facts.uid() == account.uid {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, None, Some(account.gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode((mode & 0o7777) | 0o040))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_found_among_others() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n\
                      dgon-old:x:7:7::/x:/y\n\
                      dgon:x:997:996:DGON agent:/var/lib/dgon:/usr/sbin/nologin\n";
        let (account, home) = find(passwd).unwrap();
        assert_eq!((account.uid, account.gid), (997, 996));
        assert_eq!(home, Path::new("/var/lib/dgon"));
        assert!(find("root:x:0:0::/root:/bin/sh\n").is_none());
        assert!(find("dgon:x:broken\n").is_none());
    }
}
