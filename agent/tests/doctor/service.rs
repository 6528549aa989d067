//! Group service, with a service manager that a script plays, in a name space of its own: what a real systemd does is
//! tested on the clean machines of testkit/machine.
#![cfg(target_os = "linux")]

use crate::case::{Running, shell, until as status_until, worst};
use crate::support::json;
use crate::support::machine::Machine;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Plays `systemctl`: shows what the files say, and `start` makes it run.
const SYSTEMCTL: &str = r#"#!/bin/sh
for word in "$@"; do
  case "$word" in
    show) cat "$PLAYED/unit"; exit 0 ;;
    start) sed -i 's/^ActiveState=.*/ActiveState=active/; s/^SubState=.*/SubState=running/' "$PLAYED/unit"; exit 0 ;;
    is-active) echo active; exit 0 ;;
  esac
done
"#;

struct Played {
    machine: Machine,
    folder: PathBuf,
}

impl Played {
    fn new() -> Self {
        let machine = Machine::enrolled("http://127.0.0.1:9");
        shell(&machine, "true").output().unwrap();
        let folder = machine.dir.path().join("played");
        std::fs::create_dir(&folder).unwrap();
        let bin = machine.dir.path().join("bin");
        for (name, text) in [
            ("systemctl", SYSTEMCTL),
            ("sudo", "#!/bin/sh\nexec \"$@\"\n"),
        ] {
            std::fs::write(bin.join(name), text).unwrap();
            crate::support::machine::mode(&bin.join(name), 0o755);
        }
        let this = Self { machine, folder };
        this.unit("active", "running", "enabled", &this.program());
        this
    }

    /// The program of this version.
    fn program(&self) -> String {
        self.machine
            .dir
            .path()
            .join("bin/dgon-agent")
            .display()
            .to_string()
    }

    fn unit(&self, active: &str, sub: &str, enabled: &str, program: &str) {
        let text = format!(
            "LoadState=loaded\nActiveState={active}\nSubState={sub}\nResult=success\nUnitFileState={enabled}\n\
             FragmentPath=/etc/systemd/system/dgon-agent.service\nMainPID=7\nNRestarts=2\nExecStart={{ path={program} ; \
             argv[]={program} run ; }}\n"
        );
        std::fs::write(self.folder.join("unit"), text).unwrap();
    }

    /// Runs a command line where this service manager is the machine's.
    fn inside(&self, line: &str) -> std::process::Output {
        let plain = shell(&self.machine, "");
        let script = format!("mount -t tmpfs none /run && mkdir -p /run/systemd/system && {line}");
        Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .env_clear()
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("PLAYED", &self.folder)
            .current_dir(self.machine.dir.path())
            .output()
            .unwrap()
    }

    fn report(&self) -> Value {
        json(&self.inside("dgon-agent doctor --json"))
    }

    /// The check ends like this and prints this fix.
    fn assert(&self, id: &str, outcome: &str, says: &str) -> Option<String> {
        let (got, finding, fix) = worst(&self.report(), id);
        assert_eq!(got, outcome, "{id}: {finding}");
        assert!(finding.contains(says), "{id}: {finding}");
        fix
    }
}

#[test]
fn the_service_is_examined_and_mended() {
    let played = Played::new();
    for id in [
        "service.installed",
        "service.enabled",
        "service.running",
        "service.version",
    ] {
        played.assert(id, "ok", "");
    }

    played.unit("inactive", "dead", "enabled", &played.program());
    let fix = played.assert(
        "service.running",
        "fail",
        "inactive (dead), started again 2 times",
    );
    let fixed = played.inside(&fix.unwrap());
    assert!(fixed.status.success(), "{fixed:?}");
    played.assert("service.running", "ok", "active (running)");

    // An agent that the manager keeps running is stopped by the manager.
    let agent = Running::agent(&played.machine);
    let pid = status_until(&played.machine, |status| status["running"] == true)["pid"].clone();
    let unit = std::fs::read_to_string(played.folder.join("unit")).unwrap();
    let main_pid = unit.replace("MainPID=7", &format!("MainPID={pid}"));
    std::fs::write(played.folder.join("unit"), main_pid).unwrap();
    let said = played.inside("dgon-agent stop");
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let text = crate::support::stderr(&said);
    assert!(text.contains("`sudo dgon-agent service stop`"), "{text}");
    assert_eq!(crate::case::status(&played.machine)["pid"], pid);
    // What this shell says is none of its values.
    let report = json(&played.inside("DGON_PROXY_DRAIN_S=7 dgon-agent doctor --json"));
    let (outcome, finding, _) = worst(&report, "agent.settings");
    assert_eq!(outcome, "skip", "{finding}");
    assert!(finding.contains("/etc/dgon/agent.yaml"), "{finding}");
    drop(agent);
    played.unit("active", "running", "enabled", &played.program());

    // An agent of other places than the service's is a person's.
    let fix = played.assert("agent.running", "warn", "does not run");
    assert!(fix.unwrap().starts_with("dgon-agent run"));
    let service = json(&played.inside("dgon-agent doctor --json --state-dir /var/lib/dgon"));
    let (_, finding, fix) = worst(&service, "agent.running");
    assert!(finding.contains("does not run"), "{finding}");
    assert_eq!(fix.unwrap(), "sudo dgon-agent service start");

    played.unit("active", "running", "disabled", &played.program());
    let fix = played.assert("service.enabled", "warn", "does not start with the machine");
    assert_eq!(fix.unwrap(), "sudo dgon-agent service install");

    let older = played.folder.join("older");
    std::fs::write(&older, "#!/bin/sh\necho dgon-agent 0.0.1\n").unwrap();
    crate::support::machine::mode(&older, 0o755);
    played.unit("active", "running", "enabled", &older.display().to_string());
    played.assert("service.version", "warn", "which is 0.0.1");
    played.unit("active", "running", "enabled", "/nowhere/dgon-agent");
    played.assert("service.version", "fail", "cannot be run");

    std::fs::write(
        played.folder.join("unit"),
        "LoadState=not-found\nFragmentPath=\n",
    )
    .unwrap();
    let fix = played.assert(
        "service.installed",
        "warn",
        "does not start with the machine",
    );
    assert_eq!(fix.unwrap(), "sudo dgon-agent service install");
    // What cannot be asked is not made.
    played.assert("service.running", "skip", "not installed");
}
