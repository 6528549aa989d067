//! The system user on macOS: hidden, without a shell, made by `dscl`.
//!
//! The functions that decide are pure; [`ensure`] and [`remove`] ask and act.

use crate::files::Account;
pub(in crate::service) use crate::service::MACOS_USER as USER;
use crate::service::Places;
use std::path::{Path, PathBuf};

#[cfg(target_os = "macos")]
pub(in crate::service) use acts::{ensure, remove};

/// Where macOS keeps users of services: below those of people, who begin at 501, and above Apple's first ones.
const IDS: std::ops::Range<i64> = 200..400;

/// A number that is neither a user's nor a group's, from what `dscl . -list` says of both.
fn free_id(users: &str, groups: &str) -> Option<u32> {
    let ids = |said: &str| -> Vec<i64> {
        said.lines()
            .filter_map(|line| line.split_whitespace().next_back()?.parse().ok())
            .collect()
    };
    let (users, groups) = (ids(users), ids(groups));
    IDS.rev()
        .find(|id| !users.contains(id) && !groups.contains(id))
        .and_then(|id| u32::try_from(id).ok())
}

/// The value of a key in what `dscl . -read` says. A value with spaces stands in the line below its key.
fn value<'a>(said: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = said.lines();
    let rest = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let value = if rest.trim().is_empty() {
        lines.next()?
    } else {
        rest
    };
    Some(value.trim())
}

/// The user as `dscl . -read` tells it, where it is whole.
fn account(said: &str) -> Option<Account> {
    Some(Account {
        uid: value(said, "UniqueID")?.parse().ok()?,
        gid: value(said, "PrimaryGroupID")?.parse().ok()?,
    })
}

/// What `dscl .` is asked for, in order. The number of the user comes last, so that one that is cut off is made again.
fn creation(account: Account, home: &Path) -> Vec<Vec<String>> {
    let (group, user) = (format!("/Groups/{USER}"), format!("/Users/{USER}"));
    let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
    let home = home.display().to_string();
    let entries: [(&str, &str, &str); 9] = [
        (&group, "RealName", "DGON agent"),
        (&group, "Password", "*"),
        (&group, "PrimaryGroupID", &gid),
        (&user, "RealName", "DGON agent"),
        (&user, "Password", "*"),
        (&user, "UserShell", "/usr/bin/false"),
        (&user, "NFSHomeDirectory", &home),
        (&user, "PrimaryGroupID", &gid),
        (&user, "UniqueID", &uid),
    ];
    let create = |words: &[&str]| {
        std::iter::once("-create")
            .chain(words.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let mut commands = vec![create(&[&group]), create(&[&user])];
    commands.push(create(&[&user, "IsHidden", "1"]));
    commands.extend(entries.map(|(record, key, value)| create(&[record, key, value])));
    commands
}

/// Whether the user is one that [`creation`] made for this installation.
fn is_ours(said: &str, places: &Places) -> bool {
    value(said, "NFSHomeDirectory").map(PathBuf::from).as_ref() == Some(&places.state_dir)
}

/// Asking and changing the system's list of users.
#[cfg(target_os = "macos")]
mod acts {
    use super::{USER, account, creation, free_id, is_ours, value};
    use crate::files::Account;
    use crate::service::{Places, Report, ServiceError, command};

    fn dscl(words: &[&str]) -> Result<String, ServiceError> {
        let mut all = vec!["."];
        all.extend(words);
        command("dscl", &all)
    }

    /// A record that is not there is an answer, not an error.
    fn read(record: &str) -> String {
        dscl(&["-read", record]).unwrap_or_default()
    }

    /// Makes the user where there is none.
    pub(in crate::service) fn ensure(
        places: &Places,
        report: &mut Report,
    ) -> Result<Account, ServiceError> {
        if let Some(account) = account(&read(&format!("/Users/{USER}"))) {
            return Ok(account);
        }
        let users = dscl(&["-list", "/Users", "UniqueID"])?;
        let groups = dscl(&["-list", "/Groups", "PrimaryGroupID"])?;
        let Some(uid) = free_id(&users, &groups) else {
            return Err(ServiceError::NoUserId { user: USER });
        };
        // A group that an earlier, interrupted installation made keeps its number.
        let gid = value(&read(&format!("/Groups/{USER}")), "PrimaryGroupID")
            .and_then(|gid| gid.parse().ok());
        let made = Account {
            uid,
            gid: gid.unwrap_or(uid),
        };
        for words in creation(made, &places.state_dir) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            dscl(&words)?;
        }
        report.did(format!("made the system user {USER}"));
        Ok(made)
    }

    /// Takes away the user and the group that [`ensure`] made; anybody else of that name stays.
    pub(in crate::service) fn remove(
        places: &Places,
        report: &mut Report,
    ) -> Result<(), ServiceError> {
        let said = read(&format!("/Users/{USER}"));
        if said.is_empty() {
            return Ok(());
        }
        if !is_ours(&said, places) {
            report.note(format!(
                "kept the user {USER}: its home is not the service's"
            ));
            return Ok(());
        }
        dscl(&["-delete", &format!("/Users/{USER}")])?;
        let group = format!("/Groups/{USER}");
        if !read(&group).is_empty() {
            dscl(&["-delete", &group])?;
        }
        report.did(format!("removed the system user {USER}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "GeneratedUID: 1B2C\nNFSHomeDirectory:\n /Library/Application Support/DGON\n\
        PrimaryGroupID: 398\nRecordName: _dgon\nUniqueID: 399\nUserShell: /usr/bin/false\n";

    fn places(state: &str) -> Places {
        Places {
            program: "/x".into(),
            state_dir: state.into(),
            config_file: "/x".into(),
        }
    }

    #[test]
    fn a_free_number_is_nobodys_and_no_groups() {
        let users = "_amavisd                83\n_a   399\nnobody    -2\nroot   0\nada  501\n";
        assert_eq!(free_id(users, "wheel 0\nstaff 20\n_b 398\n"), Some(397));
        assert_eq!(free_id("", ""), Some(399));
        let all: String = (200..400).map(|id| format!("_u{id}  {id}\n")).collect();
        assert_eq!(free_id(&all, ""), None);
    }

    #[test]
    fn a_user_is_read_whole_or_not_at_all() {
        let ours = Account { uid: 399, gid: 398 };
        assert_eq!(account(READ), Some(ours));
        assert_eq!(account(&READ.replace("UniqueID: 399\n", "")), None);
        assert_eq!(account(""), None);
        assert!(is_ours(READ, &places("/Library/Application Support/DGON")));
        assert!(!is_ours(
            READ,
            &places("/Library/Application Support/Other")
        ));
        let short = "NFSHomeDirectory: /var/empty\n";
        assert!(is_ours(short, &places("/var/empty")));
        assert!(!is_ours("", &places("/var/empty")));
    }

    #[test]
    fn a_user_is_made_without_a_shell_or_a_password_and_its_number_last() {
        let commands: Vec<String> = creation(Account { uid: 399, gid: 398 }, Path::new("/a b"))
            .iter()
            .map(|words| words.join(" "))
            .collect();
        for wanted in [
            "-create /Groups/_dgon PrimaryGroupID 398",
            "-create /Users/_dgon PrimaryGroupID 398",
            "-create /Users/_dgon UserShell /usr/bin/false",
            "-create /Users/_dgon Password *",
            "-create /Users/_dgon IsHidden 1",
            "-create /Users/_dgon NFSHomeDirectory /a b",
        ] {
            assert!(commands.iter().any(|have| have == wanted), "{wanted}");
        }
        assert_eq!(
            commands.last().unwrap(),
            "-create /Users/_dgon UniqueID 399"
        );
    }
}
