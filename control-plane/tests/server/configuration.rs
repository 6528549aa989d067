//! Layers of the configuration: file, environment, flags; what is refused, and how that is told.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use dgon_control_plane::config::{Config, ConfigError, Layers, SETTINGS, example};
use std::path::Path;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn read(
    file: Option<&str>,
    environment: Pairs<'_>,
    flags: &[(&'static str, Option<String>)],
) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("config.yaml");
    if let Some(text) = file {
        std::fs::write(&path, text).expect("write");
    }
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Layers::read(file.map(|_| path.as_path()), environment, flags)?.check()
}

fn refused(file: Option<&str>, environment: Pairs<'_>) -> String {
    match read(file, environment, &[]) {
        Ok(_) => panic!("{file:?} {environment:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn nothing_set_is_valid() {
    let config = read(None, &[], &[]).expect("defaults");
    assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database(), "sqlite:data/dgon.db");
    assert_eq!(config.console_url(), "http://127.0.0.1:8080");
    assert_eq!(read(Some(""), &[], &[]).expect("empty file"), config);
    assert_eq!(
        read(Some("# nothing\n"), &[], &[]).expect("comment"),
        config
    );
}

#[test]
fn flags_win_over_the_environment_over_the_file() {
    let file = Some("bind: 127.0.0.1:1\ndata_dir: file\nlog:\n  level: warn\n");
    let environment = [
        ("DGON_BIND", "127.0.0.1:2"),
        ("DGON_DATA_DIR", "environment"),
        ("DGON_LOG", ""),
    ];
    let flags = [
        ("bind", Some("127.0.0.1:3".to_owned())),
        ("public_url", None),
    ];
    let config = read(file, &environment, &flags).expect("valid");
    assert_eq!(config.bind.port(), 3);
    assert_eq!(config.data_dir, Path::new("environment"));
    assert_eq!(config.log_level.to_string(), "warn");
}

#[test]
fn the_time_of_a_page_is_that_of_its_questions_to_the_database() {
    let config = read(None, &[("DGON_PAGE_TIMEOUT_S", "7")], &[]).expect("valid");
    let seven = std::time::Duration::from_secs(7);
    assert_eq!(config.read_limits().page_within, seven);
    assert_eq!(config.http_settings().page_within, seven);
}

#[test]
fn regions_are_a_short_list_of_plain_names() {
    let names = |config: &Config| {
        let settings = config.app_settings();
        settings
            .regions
            .iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let config = read(Some("regions: [lab, eu-west]\n"), &[], &[]).expect("valid");
    assert_eq!(names(&config), ["lab", "eu-west"]);
    let config = read(None, &[("DGON_REGIONS", "one, two")], &[]).expect("valid");
    assert_eq!(names(&config), ["one", "two"]);
    for (list, rule) in [
        ("lab, EU", "is not the name of a region"),
        ("lab, lab", "is there twice"),
        (",", "give 1 to 64 regions"),
    ] {
        let told = refused(None, &[("DGON_REGIONS", list)]);
        assert!(told.contains("regions") && told.contains(rule), "{told}");
    }
}

#[test]
fn connections_per_address_count_all_but_proxies_and_this_machine() {
    let file = "trusted_proxies: [10.0.0.0/8]\nmax_connections_per_address: 9\n";
    let limits = read(Some(file), &[], &[]).expect("valid").server_limits();
    assert_eq!(limits.max_connections_per_address, 9);
    let is_exempt = |ip: &str| {
        let ip = ip.parse().expect("ip");
        limits.exempt.iter().any(|block| block.contains(ip))
    };
    assert!(
        ["10.1.1.1", "127.0.0.1", "::1"]
            .iter()
            .all(|ip| is_exempt(ip))
    );
    assert!(!is_exempt("11.0.0.1") && !is_exempt("2001:db8::1"));
}

#[test]
fn the_environment_may_name_the_file() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("c.yaml");
    std::fs::write(
        &path,
        "trusted_proxies: [10.0.0.0/8, '::1']\nsign_ins_per_minute: 5\n",
    )
    .expect("write");
    let environment = [(
        "DGON_CONTROL_PLANE_CONFIG".to_owned(),
        path.display().to_string(),
    )];
    let config = Layers::read(None, environment.into_iter(), &[])
        .expect("layers")
        .check()
        .expect("valid");
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.sign_ins_per_minute, 5);
}

#[test]
fn unknown_names_are_refused_with_the_nearest_one() {
    assert!(refused(Some("bnid: x\n"), &[]).contains("did you mean \"bind\"?"));
    assert!(refused(Some("log:\n  levle: info\n"), &[]).contains("did you mean \"log.level\"?"));
    assert!(
        refused(Some("sections:\n  of: nonsense\n"), &[])
            .contains("there is no setting \"sections.of\"")
    );
    assert!(
        refused(None, &[("DGON_PUBLC_URL", "x")]).contains("did you mean \"DGON_PUBLIC_URL\"?")
    );
    // The agent on the same machine has variables of its own.
    for foreign in [
        "DGON_STATE_DIR",
        "DGON_CONFIG",
        "DGON_ENROL_TOKEN",
        "DGON_PROXY_LISTEN",
        "DGON_LOG_LEVEL",
    ] {
        assert!(read(None, &[(foreign, "x")], &[]).is_ok(), "{foreign}");
    }
}

#[test]
fn wrong_values_name_their_place_and_what_is_wanted() {
    for (name, value, hint) in [
        ("DGON_BIND", "8080", "an address and port"),
        ("DGON_PUBLIC_URL", "dgon.example", "https://dgon.example"),
        (
            "DGON_PUBLIC_URL",
            "https://u:p@dgon.example",
            "without a path",
        ),
        (
            "DGON_PUBLIC_URL",
            "https://dgon.example/path",
            "without a path",
        ),
        ("DGON_TRUSTED_PROXIES", "10.0.0.0/40", "block"),
        ("DGON_REQUEST_TIMEOUT_S", "0", "from 1 to 3600"),
        ("DGON_LOG", "loud", "error, warn, info, debug, trace"),
        ("DGON_LOG_FORMAT", "xml", "text, json"),
    ] {
        let message = refused(None, &[(name, value)]);
        assert!(
            message.contains(name) && message.contains(hint),
            "{message}"
        );
    }
    assert!(refused(Some("bind: [1, [2]]\n"), &[]).contains("must be one value"));
    assert!(refused(Some("- a\n"), &[]).contains("key: value"));
}

#[test]
fn secrets_are_never_shown() {
    let url = "mysql://user:hunter2@host/db";
    assert!(!refused(None, &[("DATABASE_URL", url)]).contains("hunter2"));
    let environment = [(
        "DATABASE_URL".to_owned(),
        "postgres://user:hunter2@host/db".to_owned(),
    )];
    let layers = Layers::read(None, environment.into_iter(), &[]).expect("layers");
    let shown: Vec<String> = layers
        .shown()
        .map(|(key, value, source)| format!("{key}={value} {source}"))
        .collect();
    assert!(
        shown
            .iter()
            .any(|line| line == "database_url=(hidden) $DATABASE_URL"),
        "{shown:?}"
    );
    let config = layers.check().expect("valid");
    assert!(!format!("{layers:?}{config:?}").contains("hunter2"));
}

#[test]
fn the_example_lists_every_setting_and_is_committed() {
    let committed = include_str!("../../.env.example");
    assert!(
        committed == example(),
        "control-plane/.env.example is out of date; it should be:\n{}",
        example()
    );
    for setting in &SETTINGS {
        assert!(
            committed.contains(&format!("#{}=", setting.env)),
            "{}",
            setting.key
        );
    }
}
