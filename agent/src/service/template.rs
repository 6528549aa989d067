//! The unit and plist files of `systemd/` and `launchd/`, filled with the places of one installation.
//!
//! The files are complete as they are, with the default places, so that packages can bring them and tools can check
//! them. Filling replaces those default places and nothing else.

use super::Places;
use std::path::{Path, PathBuf};

/// The system unit.
pub const SYSTEMD_SYSTEM: &str = include_str!("../../../systemd/dgon-agent.service");
/// The user unit.
pub const SYSTEMD_USER: &str = include_str!("../../../systemd/user/dgon-agent.service");
/// The launch daemon.
pub const LAUNCHD_DAEMON: &str = include_str!("../../../launchd/com.dgon.agent.plist");
/// The launch agent of one user.
pub const LAUNCHD_AGENT: &str = include_str!("../../../launchd/user/com.dgon.agent.plist");

/// What the launch daemon runs: a copy that only root can change, in a folder for such programs.
pub const DAEMON_PROGRAM: &str = "/Library/PrivilegedHelperTools/dgon-agent";

/// The section in an installed unit that says what the installer copied; systemd passes over sections with `X-`.
const COPIED: &str = "\n[X-DGON]\nCopiedProgram=";

/// A unit with these places. `copied` says that the program was put there by the installer, which takes it away
/// again one day.
pub fn unit(template: &str, places: &Places, copied: bool) -> String {
    let secret = crate::config::StateDir::new(&places.state_dir).secret_file();
    let program = escaped(&places.program);
    let mut text = String::new();
    for line in template.lines() {
        let filled = match line.split_once('=') {
            Some(("ExecStart", _)) => format!("ExecStart={program} run"),
            Some(("ExecStartPre", _)) => format!("ExecStartPre={program} config check"),
            Some(("ConditionPathExists", _)) => {
                // A path to the end of the line: only the specifier sign means something.
                format!("ConditionPathExists={}", percents(&secret))
            }
            Some(("Environment", value)) if value.starts_with("DGON_STATE_DIR=") => {
                assignment("DGON_STATE_DIR", &places.state_dir)
            }
            Some(("Environment", value)) if value.starts_with("DGON_CONFIG=") => {
                assignment("DGON_CONFIG", &places.config_file)
            }
            _ => line.to_owned(),
        };
        text.push_str(&filled);
        text.push('\n');
    }
    if copied {
        text.push_str(COPIED);
        text.push_str(&percents(&places.program));
        text.push('\n');
    }
    text
}

/// The program that the installer of this unit copied, if it did.
pub fn copied_program(unit: &str) -> Option<&Path> {
    let (_, rest) = unit.split_once(COPIED)?;
    rest.lines().next().map(Path::new)
}

fn assignment(name: &str, path: &Path) -> String {
    let path = percents(path).replace('\\', "\\\\").replace('"', "\\\"");
    format!("Environment=\"{name}={path}\"")
}

/// A program's path as the first word of a command line of systemd.
fn escaped(path: &Path) -> String {
    let path = percents(path).replace('$', "$$");
    let plain = |c: char| !c.is_whitespace() && !"\"'\\".contains(c);
    if path.chars().all(plain) {
        path
    } else {
        format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

fn percents(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

/// A plist with these places; `home` is the user's, for the logs of a launch agent.
pub fn plist(template: &str, places: &Places, home: Option<&Path>) -> String {
    let mut text = template
        .replace("/usr/local/bin/dgon-agent", &xml(&places.program))
        .replace(DAEMON_PROGRAM, &xml(&places.program))
        .replace(
            "/Users/USER/Library/Application Support/DGON/agent.yaml",
            &xml(&places.config_file),
        )
        .replace(
            "/Users/USER/Library/Application Support/DGON",
            &xml(&places.state_dir),
        );
    if let Some(home) = home {
        text = text.replace("/Users/USER", &xml(home));
    }
    text
}

/// The program that a plist of [`plist`] starts.
pub fn plist_program(plist: &str) -> Option<PathBuf> {
    let (_, rest) = plist.split_once("<key>ProgramArguments</key>")?;
    let (_, rest) = rest.split_once("<string>")?;
    let (program, _) = rest.split_once("</string>")?;
    let program = program
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    Some(program.into())
}

fn xml(path: &Path) -> String {
    path.display()
        .to_string()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(program: &str, base: &str) -> Places {
        Places {
            program: program.into(),
            state_dir: format!("{base}/state").into(),
            config_file: format!("{base}/agent.yaml").into(),
        }
    }

    #[test]
    fn default_places_leave_the_files_meaning_alone() {
        let places = Places {
            program: "/usr/bin/dgon-agent".into(),
            state_dir: "/var/lib/dgon".into(),
            config_file: "/etc/dgon/agent.yaml".into(),
        };
        let unit = unit(SYSTEMD_SYSTEM, &places, false);
        assert_eq!(unit.replace('"', ""), SYSTEMD_SYSTEM.replace('"', ""));
    }

    #[test]
    fn every_place_of_a_unit_is_filled() {
        let places = places("/opt/dgon/agent", "/srv/x");
        for (template, old) in [(SYSTEMD_SYSTEM, "/usr/bin"), (SYSTEMD_USER, "%h")] {
            let unit = unit(template, &places, false);
            for line in [
                "ExecStartPre=/opt/dgon/agent config check",
                "ExecStart=/opt/dgon/agent run",
                "ConditionPathExists=/srv/x/state/node.secret",
                "Environment=\"DGON_STATE_DIR=/srv/x/state\"",
                "Environment=\"DGON_CONFIG=/srv/x/agent.yaml\"",
            ] {
                assert!(unit.lines().any(|have| have == line), "missing: {line}");
            }
            let settings = unit.lines().filter(|line| !line.starts_with('#'));
            assert!(!settings.into_iter().any(|line| line.contains(old)));
        }
    }

    #[test]
    fn odd_paths_are_quoted() {
        let unit = unit(
            SYSTEMD_USER,
            &places("/home/a b/50%/x", "/home/a \"b"),
            false,
        );
        assert!(unit.contains("ExecStart=\"/home/a b/50%%/x\" run\n"));
        assert!(unit.contains("Environment=\"DGON_STATE_DIR=/home/a \\\"b/state\"\n"));
    }

    #[test]
    fn a_copied_program_is_remembered() {
        let places = places("/usr/local/bin/dgon-agent", "/x");
        let with = unit(SYSTEMD_SYSTEM, &places, true);
        assert_eq!(copied_program(&with), Some(places.program.as_path()));
        let without = unit(SYSTEMD_SYSTEM, &places, false);
        assert_eq!(copied_program(&without), None);
    }

    #[test]
    fn every_place_of_a_plist_is_filled() {
        let places = places("/opt/R&D/agent", "/Users/ada/dgon");
        let home = Path::new("/Users/ada");
        let text = plist(LAUNCHD_AGENT, &places, Some(home));
        assert!(text.contains("<string>/opt/R&amp;D/agent</string>"));
        assert!(text.contains("<string>/Users/ada/dgon/state</string>"));
        assert!(text.contains("<string>/Users/ada/dgon/agent.yaml</string>"));
        assert!(text.contains("<string>/Users/ada/Library/Logs/DGON/agent.log</string>"));
        assert!(!text.contains("/Users/USER"));
        assert_eq!(plist_program(&text), Some(places.program));
    }

    #[test]
    fn the_daemon_runs_a_copy_of_roots_as_its_own_user() {
        let places = Places {
            program: DAEMON_PROGRAM.into(),
            state_dir: "/Library/Application Support/DGON".into(),
            config_file: "/Library/Application Support/DGON/agent.yaml".into(),
        };
        let text = plist(LAUNCHD_DAEMON, &places, None);
        // The file is complete as it is, so that packages can bring it.
        assert_eq!(text, LAUNCHD_DAEMON);
        assert_eq!(plist_program(&text), Some(DAEMON_PROGRAM.into()));
        let user = super::super::MACOS_USER;
        for key in ["UserName", "GroupName"] {
            let entry = format!("<key>{key}</key>\n\t<string>{user}</string>");
            assert!(text.contains(&entry), "{key}");
            assert!(!LAUNCHD_AGENT.contains(key));
        }
    }
}
