//! `enroll` through the real binary, against a control plane that checks what wire.md demands.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use crate::support::{Request, StandIn, agent, json, stderr, stdout};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dgon_agent::config::StateDir;
use dgon_agent::identity::{self, Identity};
use dgon_protocol::enrol::RegisterRequest;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const TOKEN: &str = "dgon_enrol_secret-of-the-test";

fn error(kind: &str) -> String {
    format!(
        r#"{{"error":{{"type":"{kind}","message":"said no","request_id":"q","details":{{}}}}}}"#
    )
}

fn answer(request: &RegisterRequest) -> String {
    let id = request.node_id.as_ref().map_or("node-7f", |id| id.as_str());
    serde_json::json!({
        "node_id": id,
        "node_secret": STANDARD.encode([9; 32]),
        "link_url": "ws://127.0.0.1:1/api/v1/nodes/link",
        "region": request.region.as_deref().unwrap_or("eu-west"),
    })
    .to_string()
}

/// Registers whoever proves possession of a key it does not know and has the token.
fn control_plane(known_keys: Vec<String>) -> StandIn {
    StandIn::start(move |request: &Request| match request.line.as_str() {
        "POST /api/v1/nodes/register/nonce" => {
            (200, r#"{"nonce":"n-1","expires_s":300}"#.to_owned())
        }
        "POST /api/v1/nodes/register" => {
            let register: RegisterRequest = serde_json::from_slice(&request.body).unwrap();
            if register.token != TOKEN {
                (401, error("invalid_token"))
            } else if register.nonce != "n-1" || !register.proves_possession() {
                (401, error("invalid_signature"))
            } else if known_keys.contains(&register.public_key.to_string()) {
                (409, error("invalid_key"))
            } else {
                (201, answer(&register))
            }
        }
        other => panic!("unexpected call: {other}"),
    })
}

fn enroll(dir: &Path, api: &str, more: &[&str]) -> Command {
    let mut command = agent(dir, &[&["enroll", "--api", api], more].concat());
    command.stdin(Stdio::null());
    command
}

#[test]
fn plain_http_to_another_machine_needs_the_owners_word() {
    let dir = tempfile::tempdir().unwrap();
    // An address that nobody has: it is refused before anything is sent.
    let refused = enroll(dir.path(), "http://192.0.2.1:9", &[])
        .env("DGON_ENROL_TOKEN", TOKEN)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(64), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--insecure-http"));
    assert!(identity::load_key(&StateDir::new(dir.path().join("state"))).is_err());

    let plane = control_plane(vec![]);
    let enrolled = enroll(dir.path(), &plane.url(), &["--insecure-http"])
        .env("DGON_ENROL_TOKEN", TOKEN)
        .output()
        .unwrap();
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    let run = |more: &[&str]| {
        let arguments = [
            &[
                "run",
                "--api",
                "http://192.0.2.1:9",
                "--listen",
                "192.0.2.1:1",
            ],
            more,
        ];
        agent(dir.path(), &arguments.concat())
            .env("DGON_INSECURE_HTTP", "false")
            .output()
            .unwrap()
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(64), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("others on the way can read"));
    // Allowed, it comes as far as the address of its proxy, which is not of this machine.
    let allowed = run(&["--insecure-http"]);
    assert_eq!(allowed.status.code(), Some(1), "{}", stderr(&allowed));
    assert!(stderr(&allowed).contains("cannot listen on"));
    let file = std::fs::read_to_string(dir.path().join("state/agent.yaml")).unwrap();
    assert!(file.contains("  insecure_http: true\n"), "{file}");
}

#[test]
fn a_fresh_machine_gets_an_identity_a_file_and_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let plane = control_plane(vec![]);
    let output = enroll(
        dir.path(),
        &plane.url(),
        &["--node-id", "rig-7", "--region", "ap-south"],
    )
    .env("DGON_ENROL_TOKEN", TOKEN)
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("enrolled as rig-7") && text.contains("dgon-agent run"),
        "{text}"
    );
    assert!(!text.contains(TOKEN) && !text.contains(&STANDARD.encode([9; 32])));

    let state = StateDir::new(dir.path().join("state"));
    let identity = Identity::load(&state).unwrap();
    assert_eq!(identity.node_id().as_str(), "rig-7");
    assert_eq!(identity.enrolment.secret.as_bytes(), [9; 32]);
    assert!(text.contains(&identity.key.public().to_string()));

    let show = agent(dir.path(), &["config", "show", "--json"])
        .output()
        .unwrap();
    let config = &json(&show)["config"];
    assert_eq!(config["control_plane"]["api"], plane.url().as_str());
    assert_eq!(config["node"]["region"], "ap-south");
}

#[test]
fn a_file_that_is_named_and_not_there_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let plane = control_plane(vec![]);
    let named = ["--config", "new/my.yaml", "--token", TOKEN];
    let enrolled = enroll(dir.path(), &plane.url(), &named).output().unwrap();
    assert!(enrolled.status.success(), "{}", stderr(&enrolled));
    let file = std::fs::read_to_string(dir.path().join("new/my.yaml")).unwrap();
    assert!(file.contains(&plane.url()), "{file}");
    let check = ["--config", "new/my.yaml", "config", "check"];
    let checked = agent(dir.path(), &check).output().unwrap();
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[test]
fn an_enrolled_machine_says_so_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let plane = control_plane(vec![]);
    let run = |more: &[&str]| {
        enroll(dir.path(), &plane.url(), &[&["--json"], more].concat())
            .env("NODE_TOKEN", TOKEN)
            .output()
            .unwrap()
    };
    let first = json(&run(&[]));
    assert_eq!(first["already_enrolled"], false);
    std::fs::remove_file(dir.path().join("state/agent.yaml")).unwrap();
    let calls = plane.seen().len();
    let again = json(&run(&[]));
    assert_eq!(again["already_enrolled"], true);
    assert_eq!(again["public_key"], first["public_key"]);
    assert_eq!(again["config_written"], true);
    let other = run(&["--node-id", "somebody-else"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        stderr(&other).contains("enrolled as node-7f"),
        "{}",
        stderr(&other)
    );
    assert_eq!(
        plane.seen().len(),
        calls,
        "an enrolled machine calls nobody"
    );
}

/// A name, arguments, environment.
type Way<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

#[test]
fn a_token_comes_by_flag_file_input_or_environment_and_the_nearest_wins() {
    let ways: [Way<'_>; 5] = [
        (
            "flag",
            &["--token", TOKEN],
            &[("DGON_ENROL_TOKEN", "x"), ("NODE_TOKEN", "y")],
        ),
        (
            "file",
            &["--token-file", "token"],
            &[("DGON_ENROL_TOKEN", "x")],
        ),
        ("input", &["--token-file", "-"], &[("NODE_TOKEN", "y")]),
        (
            "environment",
            &[],
            &[("DGON_ENROL_TOKEN", TOKEN), ("NODE_TOKEN", "y")],
        ),
        ("old name", &[], &[("NODE_TOKEN", TOKEN)]),
    ];
    for (name, arguments, environment) in ways {
        let dir = tempfile::tempdir().unwrap();
        let plane = control_plane(vec![]);
        let token = dir.path().join("token");
        std::fs::write(&token, format!("  {TOKEN}\n")).unwrap();
        let mut command = enroll(dir.path(), &plane.url(), arguments);
        command
            .envs(environment.iter().copied())
            .stdin(std::fs::File::open(&token).unwrap());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
}

#[test]
fn older_agents_names_are_honoured_and_flags_win() {
    let dir = tempfile::tempdir().unwrap();
    let plane = control_plane(vec![]);
    let url = plane.url();
    let old = [
        ("DGON_API", url.as_str()),
        ("NODE_ID", "old-name"),
        ("REGION", "old-region"),
        ("NODE_TOKEN", TOKEN),
    ];
    let mut command = agent(dir.path(), &["enroll", "--json", "--region", "by-flag"]);
    let output = command.envs(old).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let said = json(&output);
    assert_eq!(
        (said["node_id"].as_str(), said["region"].as_str()),
        (Some("old-name"), Some("by-flag"))
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_is_asked_and_shows_nothing() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let plane = control_plane(vec![]);
    let program = env!("CARGO_BIN_EXE_dgon-agent");
    // `script` of util-linux makes the terminal.
    let mut command = Command::new("script");
    command
        .args([
            "-qec",
            &format!("{program} enroll --api {}", plane.url()),
            "/dev/null",
        ])
        .env_remove("DGON_ENROL_TOKEN")
        .env_remove("NODE_TOKEN")
        .env("DGON_STATE_DIR", dir.path().join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .expect("`script` of the package bsdutils is needed");
    let mut input = child.stdin.take().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut shown = Vec::new();
    // Typed only after the question: before that the terminal would still show it.
    while !String::from_utf8_lossy(&shown).contains("Enrolment token: ") {
        let mut piece = [0; 256];
        let read = std::io::Read::read(&mut output, &mut piece).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&piece[..read]);
    }
    input.write_all(format!("{TOKEN}\n").as_bytes()).unwrap();
    std::io::Read::read_to_end(&mut output, &mut shown).unwrap();
    drop(input);
    let text = String::from_utf8_lossy(&shown).into_owned();
    assert!(child.wait().unwrap().success(), "{text}");
    assert!(
        text.contains("enrolled as node-7f") && !text.contains(TOKEN),
        "{text}"
    );
}

#[test]
fn a_token_for_an_enrolled_machine_is_not_used_in_silence_and_force_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let plane = control_plane(vec![]);
    let run = |more: &[&str]| {
        enroll(
            dir.path(),
            &plane.url(),
            &[&["--token", TOKEN], more].concat(),
        )
        .output()
        .unwrap()
    };
    assert!(run(&[]).status.success());
    let key = identity::load_key(&StateDir::new(dir.path().join("state"))).unwrap();
    let calls = plane.seen().len();
    let again = run(&[]);
    assert_eq!(again.status.code(), Some(1));
    let text = stderr(&again);
    assert!(
        text.contains("enrolled already") && text.contains("--force"),
        "{text}"
    );
    assert_eq!(
        plane.seen().len(),
        calls,
        "the token was not shown to anybody"
    );
    let forced = run(&["--force"]);
    assert!(forced.status.success(), "{}", stderr(&forced));
    assert!(stdout(&forced).contains("enrolled again as node-7f"));
    let kept = identity::load_key(&StateDir::new(dir.path().join("state"))).unwrap();
    assert_eq!(kept.public(), key.public());
    let elsewhere = control_plane(vec![]);
    let output = enroll(dir.path(), &elsewhere.url(), &["--token", TOKEN, "--force"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_refused_token_keeps_the_key_for_the_next_try() {
    let dir = tempfile::tempdir().unwrap();
    let plane = control_plane(vec![]);
    let refused = enroll(dir.path(), &plane.url(), &["--token", "spent"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("make a new one"),
        "{}",
        stderr(&refused)
    );
    let state = StateDir::new(dir.path().join("state"));
    let key = identity::load_key(&state).unwrap().public();
    assert!(!state.secret_file().exists());

    std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let good = enroll(dir.path(), &plane.url(), &["--token-file", "token"])
        .output()
        .unwrap();
    assert!(good.status.success(), "{}", stderr(&good));
    assert_eq!(Identity::load(&state).unwrap().key.public(), key);
}

#[test]
fn a_key_whose_answer_was_lost_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path().join("state"));
    let lost = identity::create_key(&state).unwrap().public();
    let plane = control_plane(vec![lost.to_string()]);
    let run = || {
        enroll(dir.path(), &plane.url(), &[])
            .env("DGON_ENROL_TOKEN", TOKEN)
            .output()
            .unwrap()
    };
    // Not where a spool may hold receipts that the old key signed.
    std::fs::create_dir(state.spool_dir()).unwrap();
    assert_eq!(run().status.code(), Some(1));
    assert_eq!(identity::load_key(&state).unwrap().public(), lost);
    std::fs::remove_dir(state.spool_dir()).unwrap();
    let output = run();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_ne!(Identity::load(&state).unwrap().key.public(), lost);
}

#[test]
fn the_key_is_on_disk_before_the_control_plane_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let key_file = StateDir::new(dir.path().join("state")).key_file();
    let on_disk = Arc::new(Mutex::new(Vec::new()));
    let (seen, path) = (on_disk.clone(), key_file);
    let plane = StandIn::start(move |_| {
        seen.lock().unwrap().push(path.exists());
        (503, error("unavailable"))
    });
    let output = enroll(dir.path(), &plane.url(), &["--token", TOKEN])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(*on_disk.lock().unwrap(), [true]);
}

#[test]
fn what_is_missing_or_wrong_is_said_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let no_api = agent(dir.path(), &["enroll"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(no_api.status.code(), Some(64));
    assert!(stderr(&no_api).contains("--api"));
    let no_token = enroll(dir.path(), "http://127.0.0.1:9", &[])
        .output()
        .unwrap();
    assert_eq!(no_token.status.code(), Some(64));
    assert!(stderr(&no_token).contains("DGON_ENROL_TOKEN"));
    let bad_api = enroll(dir.path(), "127.0.0.1:9", &[]).output().unwrap();
    assert_eq!(bad_api.status.code(), Some(64));
    assert!(!dir.path().join("state").exists());
}

#[test]
fn a_stranger_at_the_address_is_told_apart_from_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let stranger = StandIn::start(|_| (200, "<html>".to_owned()));
    let output = enroll(dir.path(), &stranger.url(), &["--token", TOKEN])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("does not answer as a DGON control plane"),
        "{}",
        stderr(&output)
    );

    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let output = enroll(dir.path(), &format!("http://{closed}"), &["--token", TOKEN])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot reach"),
        "{}",
        stderr(&output)
    );
    assert!(!stderr(&output).contains(TOKEN));
}
