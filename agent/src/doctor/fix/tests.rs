//! Every command on every system, whatever system runs the tests.

use super::System::{Linux, Macos, Windows};
use super::control::{ByHand, Control};
use crate::service::Level;
use std::path::Path;

fn by_hand() -> ByHand {
    ByHand {
        run: "dgon-agent run".to_owned(),
        stop: "dgon-agent stop".to_owned(),
    }
}

#[test]
fn the_agent_is_restarted_by_whoever_keeps_it_running() {
    let system = Control::Service(Level::System);
    let user = Control::Service(Level::User);
    let person = Control::ByHand;
    let hand = by_hand();
    for (here, how, start, restart) in [
        (
            Linux,
            system,
            "sudo dgon-agent service start",
            "sudo dgon-agent service restart",
        ),
        (
            Macos,
            system,
            "sudo dgon-agent service start",
            "sudo dgon-agent service restart",
        ),
        (
            Windows,
            system,
            "dgon-agent service start",
            "dgon-agent service restart",
        ),
        (
            Linux,
            user,
            "dgon-agent service start --user",
            "dgon-agent service restart --user",
        ),
        (
            Macos,
            user,
            "dgon-agent service start --user",
            "dgon-agent service restart --user",
        ),
        (
            Linux,
            person,
            "dgon-agent run",
            "dgon-agent stop && dgon-agent run",
        ),
        (
            Macos,
            person,
            "dgon-agent run",
            "dgon-agent stop && dgon-agent run",
        ),
        (
            Windows,
            person,
            "dgon-agent run",
            "dgon-agent stop; if ($?) { dgon-agent run }",
        ),
    ] {
        assert_eq!(how.start(here, &hand), start, "{here:?} {how:?}");
        assert_eq!(how.restart(here, &hand), restart, "{here:?} {how:?}");
        assert_eq!(how.update(here, &hand, true), restart, "{here:?} {how:?}");
        let older = how.update(here, &hand, false);
        match how {
            Control::Service(_) => assert_eq!(older, restart.replace("restart", "install")),
            Control::ByHand => assert_eq!(older, restart),
        }
    }
}

/// One that does not listen is ended by its own id: others may run on the machine.
#[test]
fn a_frozen_agent_is_ended_alone() {
    let hand = by_hand();
    let frozen = |here, how: Control, pid| how.replace_frozen(here, &hand, pid);
    let service = Control::Service(Level::System);
    assert_eq!(
        frozen(Linux, service, Some(7)),
        "sudo dgon-agent service restart"
    );
    for here in [Linux, Macos] {
        assert_eq!(
            frozen(here, Control::ByHand, Some(7)),
            "kill -KILL 7 && dgon-agent run"
        );
    }
    assert_eq!(
        frozen(Windows, Control::ByHand, Some(7)),
        "Stop-Process -Force -Id 7; if ($?) { dgon-agent run }"
    );
    for here in [Linux, Macos, Windows] {
        let look = frozen(here, Control::ByHand, None);
        assert!(
            !look.contains("kill") && !look.contains("Stop-Process"),
            "{look}"
        );
    }
}

#[test]
fn what_needs_a_stopped_agent_is_done_between_its_stop_and_its_start() {
    let steps = ["mv a b".to_owned(), "dgon-agent enroll".to_owned()];
    let all = |here, how: Control| how.while_stopped(here, &by_hand(), &steps);
    assert_eq!(
        all(Linux, Control::ByHand),
        "dgon-agent stop && mv a b && dgon-agent enroll && dgon-agent run"
    );
    assert_eq!(
        all(Macos, Control::Service(Level::System)),
        "sudo dgon-agent service stop && sudo mv a b && sudo dgon-agent enroll && sudo dgon-agent service start"
    );
    assert_eq!(
        all(Linux, Control::Service(Level::User)),
        "dgon-agent service stop --user && mv a b && dgon-agent enroll && dgon-agent service start --user"
    );
    assert_eq!(
        all(Windows, Control::ByHand),
        "dgon-agent stop; if ($?) { mv a b; if ($?) { dgon-agent enroll; if ($?) { dgon-agent run } } }"
    );
}

/// Every command that is printed on a system, with words that need quotes there.
fn all(here: super::System) -> Vec<String> {
    let path = match here {
        Linux | Macos => Path::new("/a b/c"),
        Windows => Path::new(r"C:\a b\c"),
    };
    vec![
        here.show_owner(path),
        here.list(path),
        here.free_space(path),
        here.remove_tree(path),
        here.put_aside(path, "seen"),
        here.last_lines(path, 3),
        here.first_line(path),
        here.as_owner(path, "dgon-agent doctor"),
        here.set_key(path, "listen", "127.0.0.1:1"),
        here.set_clock().to_owned(),
        here.show_clock().to_owned(),
        here.kernel_log().to_owned(),
        here.driver_hangs(),
        here.watch_card(0),
        here.show_cards().to_owned(),
        here.install_runtime().to_owned(),
        here.set_variable("A", "b c"),
        here.unset_variable("A"),
        here.resolve("h"),
        here.who_listens(1),
        here.ping("h"),
        here.show_certificate("h", 443),
        here.get("http://h/?a=b c"),
        here.get_with_steps("http://h/"),
        here.steps("http://h/"),
        here.upgrade("http://h/", "x"),
        here.post_json("http://h/", "{\"a\": 1}"),
        Control::Service(Level::System).restart(here, &by_hand()),
        Control::ByHand.restart(here, &by_hand()),
        Control::ByHand.replace_frozen(here, &by_hand(), Some(7)),
        Control::ByHand.replace_frozen(here, &by_hand(), None),
    ]
}

#[test]
fn windows_gets_no_command_of_unix_and_unix_none_of_powershell() {
    let of_unix = [
        "sudo",
        "chmod",
        "export ",
        "unset ",
        "&&",
        "$(stat",
        "/dev/null",
        "kill ",
        "ls -",
        "mv ",
        "rm -",
        "sed ",
        "df -",
        "tail -n",
        "head -n",
        "dmesg",
        "grep",
        "getent",
        "openssl",
        "ss -l",
        "| sh",
        "date -u",
        "ping -c",
        r"'\''",
    ];
    for command in all(Windows) {
        for word in of_unix {
            assert!(!command.contains(word), "{word:?} in: {command}");
        }
        // PowerShell's own `curl` is another program.
        assert!(!command.starts_with("curl "), "{command}");
    }
    for here in [Linux, Macos] {
        for command in all(here) {
            for word in ["$env:", "-LiteralPath", ".exe", "Get-", "if ($?)", "NUL"] {
                assert!(!command.contains(word), "{word:?} in: {command}");
            }
        }
    }
    let of_linux = [
        "stat -c",
        "ss -l",
        "getent",
        "dmesg",
        "timedatectl",
        "nvidia-smi",
        "resolv.conf",
    ];
    for command in all(Macos) {
        for word in of_linux {
            assert!(!command.contains(word), "{word:?} in: {command}");
        }
    }
}

#[test]
fn a_value_of_the_configuration_is_set_where_it_stands() {
    let file = Path::new("/etc/dgon/agent.yaml");
    assert_eq!(
        Linux.set_key(file, "listen", "127.0.0.1:1"),
        r"sed -i 's|^\( *\)listen:.*|\1listen: 127.0.0.1:1|' /etc/dgon/agent.yaml"
    );
    assert!(
        Macos
            .set_key(file, "listen", "127.0.0.1:1")
            .starts_with("sed -i '' 's|")
    );
    assert_eq!(
        Windows.set_key(Path::new(r"C:\x.yaml"), "listen", "127.0.0.1:1"),
        r"(Get-Content -LiteralPath C:\x.yaml) -replace '^( *)listen:.*', '${1}listen: 127.0.0.1:1' | Set-Content -LiteralPath C:\x.yaml"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_printed_edit_changes_the_key_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("it's agent.yaml");
    std::fs::write(&file, "proxy:\n  listen: 0.0.0.0:1\n  metrics_listen: 1\n").unwrap();
    let command = Linux.set_key(&file, "listen", "a&b|c\\d");
    let ended = std::process::Command::new("sh")
        .args(["-c", &command])
        .status()
        .unwrap();
    assert!(ended.success(), "{command}");
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "proxy:\n  listen: a&b|c\\d\n  metrics_listen: 1\n"
    );
}
