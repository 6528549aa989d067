//! The service files name the places that the program uses.

use std::path::Path;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What the unit or plist says belongs to the program, as the program's own default for that system is.
#[test]
fn the_unit_names_the_programs_own_places() {
    let unit = file("systemd/dgon-agent.service");
    for line in [
        "Environment=DGON_STATE_DIR=/var/lib/dgon DGON_CONFIG=/etc/dgon/agent.yaml",
        "StateDirectory=dgon",
        "ExecStartPre=/usr/bin/dgon-agent config check",
        "ExecStart=/usr/bin/dgon-agent run",
        "RestartPreventExitStatus=64",
    ] {
        assert!(unit.lines().any(|have| have == line), "missing: {line}");
    }
    assert_eq!(dgon_agent::config::EXIT_CONFIG, 64);
    let paths = include_str!("../src/config/paths.rs");
    assert!(paths.contains("\"/var/lib/dgon\"") && paths.contains("\"/etc/dgon\""));
}

#[test]
fn the_plist_names_the_programs_own_places_and_no_secret() {
    let plist = file("launchd/com.dgon.agent.plist");
    let place = "/Library/Application Support/DGON";
    assert!(plist.contains(&format!("<string>{place}</string>")));
    assert!(plist.contains(&format!("<string>{place}/agent.yaml</string>")));
    assert!(include_str!("../src/config/paths.rs").contains(place));
    for secret in ["TOKEN", "SECRET", "KEY_FILE"] {
        assert!(!plist.contains(secret), "{secret}");
    }
}
