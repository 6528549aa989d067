//! The system user on Linux: `useradd`, and the groups of the GPUs' device files.

use crate::files::Account;
pub(in crate::service) use crate::service::LINUX_USER as USER;
use crate::service::{Places, Report, ServiceError, command};
use std::fs;
use std::io;
use std::path::PathBuf;
/// Groups that GPUs' device files belong to, where a distribution has them.
const GPU_GROUPS: [&str; 2] = ["video", "render"];
const NOLOGIN: &str = "/usr/sbin/nologin";

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
pub(in crate::service) fn ensure(
    places: &Places,
    report: &mut Report,
) -> Result<Account, ServiceError> {
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
pub(in crate::service) fn remove(places: &Places, report: &mut Report) -> Result<(), ServiceError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

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
