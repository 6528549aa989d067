//! The service files: they name the places that the program uses, and the service managers' own tools accept them.

use dgon_agent::config::{EXIT_CONFIG, PathFlags, Paths};
use dgon_agent::service::template::{LAUNCHD_AGENT, LAUNCHD_DAEMON, SYSTEMD_SYSTEM, SYSTEMD_USER};
use dgon_agent::service::{LABEL, Level, NAME, places};
use plist::{Dictionary, Value};
use std::path::{Path, PathBuf};

fn lines(unit: &str) -> Vec<&str> {
    unit.lines().filter(|line| !line.starts_with('#')).collect()
}

/// Value of the last `key=` of a unit.
fn setting<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    let has = |line: &&'a str| line.strip_prefix(key)?.strip_prefix('=');
    lines(unit).iter().rev().find_map(has)
}

/// What a person's agent uses where no variable says otherwise.
fn own_paths(home: &str) -> Paths {
    let flags = PathFlags {
        state_dir: Some(PathBuf::from(home).join(".local/state/dgon")),
        config: Some(PathBuf::from(home).join(".config/dgon/agent.yaml")),
    };
    Paths::resolve(&flags, &|_| None).unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn the_units_name_the_programs_own_places() {
    let system = places(
        Level::System,
        &own_paths("%h"),
        "/usr/bin/dgon-agent".into(),
    );
    let user = places(
        Level::User,
        &own_paths("%h"),
        "%h/.local/bin/dgon-agent".into(),
    );
    for (unit, places) in [(SYSTEMD_SYSTEM, system), (SYSTEMD_USER, user)] {
        let (program, state) = (places.program.display(), places.state_dir.display());
        for line in [
            format!("ExecStartPre={program} config check"),
            format!("ExecStart={program} run"),
            format!("ConditionPathExists={state}/node.secret"),
            format!("Environment=DGON_STATE_DIR={state}"),
            format!("Environment=DGON_CONFIG={}", places.config_file.display()),
            format!("RestartPreventExitStatus={EXIT_CONFIG}"),
        ] {
            assert!(lines(unit).contains(&line.as_str()), "missing: {line}");
        }
    }
    assert_eq!(setting(SYSTEMD_SYSTEM, "StateDirectory"), Some("dgon"));
    assert_eq!(
        setting(SYSTEMD_SYSTEM, "User"),
        Some(dgon_agent::service::USER)
    );
    let defaults = include_str!("../src/config/paths.rs");
    assert!(defaults.contains("\"/var/lib/dgon\"") && defaults.contains("\"/etc/dgon\""));
    assert!(defaults.contains("\".local/state\"") && defaults.contains("\".config\""));
}

/// Ready only when it says so, restarted when it freezes, and never killed before a drain of the default length.
#[test]
fn the_units_rely_on_the_agents_own_word() {
    for unit in [SYSTEMD_SYSTEM, SYSTEMD_USER] {
        assert_eq!(setting(unit, "Type"), Some("notify"));
        assert_eq!(setting(unit, "Restart"), Some("on-failure"));
        assert_eq!(setting(unit, "WatchdogSec"), Some("30"));
        assert_eq!(setting(unit, "LimitCORE"), Some("0"));
        let stop_s: u64 = setting(unit, "TimeoutStopSec").unwrap().parse().unwrap();
        assert!(stop_s > dgon_agent::config::Config::default().proxy.drain_s + 15);
    }
}

#[cfg(target_os = "linux")]
mod systemd {
    use super::*;
    use dgon_agent::service::template::unit;
    use std::process::Command;

    /// The unit as it is installed for the built program.
    fn installed(dir: &Path) -> PathBuf {
        let mut places = places(
            Level::System,
            &own_paths("/root"),
            env!("CARGO_BIN_EXE_dgon-agent").into(),
        );
        places.state_dir = dir.join("state");
        let file = dir.join(format!("{NAME}.service"));
        std::fs::write(&file, unit(SYSTEMD_SYSTEM, &places, true)).unwrap();
        file
    }

    fn analyze(arguments: &[&str], file: &Path) -> (bool, String) {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .arg(file)
            .env("SYSTEMD_COLORS", "0")
            .output()
            .expect("systemd-analyze of the package systemd is needed");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    #[test]
    fn systemd_finds_no_fault_with_the_unit() {
        let dir = tempfile::tempdir().unwrap();
        let (good, said) = analyze(&["verify"], &installed(dir.path()));
        assert!(good && !said.contains(NAME), "{said}");
    }

    #[test]
    fn the_unit_is_closed_as_far_as_an_agent_with_gpus_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let file = installed(dir.path());
        let (good, said) = analyze(&["security", "--offline=true", "--threshold=30"], &file);
        let figure = said.lines().last().unwrap_or_default();
        println!("{figure}");
        assert!(good && figure.contains("exposure level"), "{said}");
    }
}

/// What launchd.plist(5) knows of the keys that we use.
fn kind_of(key: &str) -> &'static str {
    match key {
        "Label" | "ProcessType" | "StandardErrorPath" | "StandardOutPath" | "UserName" => "string",
        "ProgramArguments" => "strings",
        "EnvironmentVariables" => "variables",
        "RunAtLoad" | "AbandonProcessGroup" => "boolean",
        "KeepAlive" => "conditions",
        "ThrottleInterval" | "ExitTimeOut" | "Umask" => "integer",
        _ => "unknown to launchd",
    }
}

fn is_kind(value: &Value, kind: &str) -> bool {
    let is_string = |value: &Value| value.as_string().is_some();
    match (kind, value) {
        ("string", Value::String(text)) => !text.is_empty(),
        ("strings", Value::Array(values)) => values.iter().all(is_string),
        ("variables", Value::Dictionary(values)) => values.values().all(is_string),
        ("boolean", Value::Boolean(_)) => true,
        ("conditions", Value::Dictionary(values)) => values
            .iter()
            .all(|(key, value)| key == "SuccessfulExit" && value.as_boolean().is_some()),
        ("integer", Value::Integer(number)) => number.as_unsigned().is_some(),
        _ => false,
    }
}

/// Why launchd would not like it.
fn lint(text: &str) -> Result<Dictionary, String> {
    let value = Value::from_reader_xml(text.as_bytes()).map_err(|error| error.to_string())?;
    let plist = value.into_dictionary().ok_or("no dictionary")?;
    for (key, value) in &plist {
        let kind = kind_of(key);
        if !is_kind(value, kind) {
            return Err(format!("{key}: {kind} expected, {value:?} found"));
        }
    }
    for key in ["Label", "ProgramArguments", "KeepAlive", "ThrottleInterval"] {
        if !plist.contains_key(key) {
            return Err(format!("{key} is missing"));
        }
    }
    for secret in ["TOKEN", "SECRET", "KEY_FILE", "PASSWORD"] {
        if text.to_uppercase().contains(&format!("DGON_{secret}")) || text.contains(secret) {
            return Err(format!("{secret} has no place in a file that all can read"));
        }
    }
    Ok(plist)
}

#[test]
fn launchd_can_read_the_plists() {
    for (text, home) in [(LAUNCHD_DAEMON, ""), (LAUNCHD_AGENT, "/Users/USER")] {
        let plist = lint(text).unwrap();
        let string = |key: &str| plist.get(key).and_then(Value::as_string).unwrap();
        assert_eq!(string("Label"), LABEL);
        let arguments = plist.get("ProgramArguments").and_then(Value::as_array);
        let words: Vec<_> = arguments
            .unwrap()
            .iter()
            .filter_map(Value::as_string)
            .collect();
        assert_eq!(words, ["/usr/local/bin/dgon-agent", "run"]);
        let variables = plist.get("EnvironmentVariables").unwrap().as_dictionary();
        let variable = |name: &str| variables.unwrap().get(name).and_then(Value::as_string);
        let place = format!("{home}/Library/Application Support/DGON");
        assert_eq!(variable("DGON_STATE_DIR"), Some(place.as_str()));
        assert_eq!(
            variable("DGON_CONFIG"),
            Some(format!("{place}/agent.yaml").as_str())
        );
        let umask = plist.get("Umask").and_then(Value::as_unsigned_integer);
        assert_eq!(umask, Some(0o077));
        let logs = format!("{home}/Library/Logs/DGON/");
        assert!(string("StandardErrorPath").starts_with(&logs));
        assert!(string("StandardOutPath").starts_with(&logs));
    }
    assert!(include_str!("../src/config/paths.rs").contains("Library/Application Support/DGON"));
}

#[test]
fn the_lint_finds_what_launchd_would_not_read() {
    for (old, new) in [
        ("<integer>10</integer>", "<string>10</string>"),
        ("<key>RunAtLoad</key>", "<key>RunOnLoad</key>"),
        ("<key>KeepAlive</key>", "<key>KeepAlive</kee>"),
        ("<key>SuccessfulExit</key>", "<key>Successful</key>"),
        ("<key>DGON_CONFIG</key>", "<key>DGON_ENROL_TOKEN</key>"),
        ("<string>run</string>", "<true/>"),
    ] {
        let broken = LAUNCHD_DAEMON.replacen(old, new, 1);
        assert_ne!(broken, LAUNCHD_DAEMON, "{old}");
        assert!(lint(&broken).is_err(), "{new}");
    }
}
