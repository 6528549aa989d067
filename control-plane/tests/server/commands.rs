//! The program as a person runs it: first start, commands beside a running server, clear failures.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn program(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dgon-control-plane"));
    command
        .env_clear()
        .env("DGON_DATA_DIR", data_dir)
        .current_dir(data_dir.parent().expect("parent"));
    command
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A server on a free port; it is stopped when this is dropped.
struct Serve {
    child: Child,
    console: String,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

/// An address of this machine that nobody listens at now.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").to_string()
}

impl Serve {
    fn start(data_dir: &Path) -> Self {
        let mut child = program(data_dir)
            .args(["serve", "--bind", &free_address()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let first = lines.next().expect("a line").expect("text");
        let console = first.rsplit(' ').next().expect("address").to_owned();
        Self {
            child,
            console,
            lines,
        }
    }

    fn terminate(&mut self) -> std::process::ExitStatus {
        terminate(&mut self.child)
    }
}

fn terminate(child: &mut Child) -> std::process::ExitStatus {
    let id = child.id().to_string();
    let killed = Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .expect("kill");
    assert!(killed.success());
    child.wait().expect("wait")
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_first_start_makes_everything_and_prints_the_set_up_link() {
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    let mut serve = Serve::start(&data);
    assert!(
        serve.console.starts_with("http://127.0.0.1:"),
        "{}",
        serve.console
    );
    let link = serve
        .lines
        .by_ref()
        .map(|line| line.expect("text"))
        .find(|line| line.contains("/setup#token="));
    assert!(link.expect("link").trim().starts_with(&serve.console));
    assert!(data.join("dgon.db").exists() && data.join("master.key").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&data).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    assert!(serve.terminate().success(), "a stop is no failure");
}

#[test]
fn a_server_whose_output_nobody_reads_serves_all_the_same() {
    let dir = tempfile::tempdir().expect("dir");
    let mut child = program(&dir.path().join("data"))
        .args(["serve", "--bind", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    drop(child.stdout.take());
    let stderr = BufReader::new(child.stderr.take().expect("stderr"));
    let mut lines = stderr.lines().map(|line| line.expect("text"));
    assert!(lines.any(|line| line.contains("nobody reads what the server prints")));
    let ended = terminate(&mut child);
    assert!(ended.success(), "{ended}: {:?}", lines.collect::<Vec<_>>());
}

#[test]
fn programs_read_the_log_line_by_line() {
    let dir = tempfile::tempdir().expect("dir");
    let address = free_address();
    let mut child = program(&dir.path().join("data"))
        .args(["serve", "--bind", &address])
        .env("DGON_LOG_FORMAT", "json")
        .env("DGON_LOG", "debug")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let mut printed = BufReader::new(child.stdout.take().expect("stdout")).lines();
    printed.next().expect("a line").expect("text");
    let mut socket = TcpStream::connect(address).expect("connect");
    let asked = "GET /api/v1/users/me HTTP/1.1\r\nhost: a\r\nx-request-id: of-a-test\r\nconnection: close\r\n\r\n";
    socket.write_all(asked.as_bytes()).expect("ask");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(terminate(&mut child).success());
    let logged = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let lines: Vec<serde_json::Value> = logged
        .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
        .collect();
    for line in &lines {
        assert!(
            line["level"].is_string() && line["fields"]["message"].is_string(),
            "{line}"
        );
        assert!(
            line["timestamp"].as_str().expect("text").ends_with('Z'),
            "{line}"
        );
    }
    let of_it = lines
        .iter()
        .find(|line| line["span"]["request_id"] == "of-a-test");
    let of_it = of_it.expect("a refusal is told at this level");
    assert_eq!(of_it["fields"]["status"], 401);
    assert_eq!(of_it["span"]["route"], "/api/v1/users/me");
}

#[test]
fn commands_work_beside_a_running_server() {
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    let _serve = Serve::start(&data);
    let token = run(program(&data).args([
        "token", "create", "--uses", "2", "--ttl", "15m", "--region", "eu-west", "--json",
    ]));
    assert!(token.status.success(), "{}", text(&token.stderr));
    let token: serde_json::Value = serde_json::from_slice(&token.stdout).expect("JSON");
    assert!(
        token["token"]
            .as_str()
            .expect("token")
            .starts_with("dgon_enrol_")
    );
    assert_eq!(
        (token["uses_left"].as_i64(), token["region"].as_str()),
        (Some(2), Some("eu-west"))
    );
    let mars = run(program(&data).args(["token", "create", "--region", "mars"]));
    assert!(!mars.status.success());
    let told = text(&mars.stderr);
    assert!(
        told.contains("no region \"mars\"") && told.contains("eu-west, eu-central"),
        "{told}"
    );
    // What it does not say is never made: a node that was to be private would be seen by everybody.
    let pool = run(program(&data).args(["token", "create", "--pool", "pool_1"]));
    assert!(!pool.status.success());
    let told = text(&pool.stderr);
    assert!(told.contains("private pools are off"), "{told}");
    let link = run(program(&data).args(["user", "link", "--url", "https://dgon.example/"]));
    assert!(
        text(&link.stdout).starts_with("https://dgon.example/setup#token="),
        "{}",
        text(&link.stdout)
    );

    let mut create = program(&data)
        .args([
            "user",
            "create",
            "--email",
            "A@example.com",
            "--role",
            "admin",
            "--role",
            "operator",
            "--password-stdin",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start");
    create
        .stdin
        .take()
        .expect("stdin")
        .write_all(b"a long password\n")
        .expect("write");
    assert!(create.wait().expect("wait").success());
    let link = run(program(&data).args(["user", "link", "--email", "a@example.com"]));
    assert!(
        text(&link.stdout).contains("/sign-in#token="),
        "{}",
        text(&link.stdout)
    );
    let twice = run(program(&data).args(["user", "create", "--email", "a@example.com"]));
    assert_eq!(twice.status.code(), Some(1));
    let nobody = run(program(&data).args(["user", "link", "--email", "nobody@example.com"]));
    assert_eq!(nobody.status.code(), Some(1));
}

/// Arguments, a variable, the exit code, and what the message names.
type Case<'a> = (&'a [&'a str], Option<(&'a str, &'a str)>, i32, &'a str);

#[test]
fn failures_are_told_plainly_with_their_exit_codes() {
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").expect("write");
    let below_file = file.join("data").display().to_string();
    let cases: [Case<'_>; 7] = [
        (&["serve", "--bind", &address], None, 71, "--bind"),
        (&["serve", "--bind", "nonsense"], None, 64, "bind"),
        (
            &["migrate", "--data-dir", &below_file],
            None,
            73,
            "data directory",
        ),
        (
            &["migrate"],
            Some(("DATABASE_URL", "mysql://x")),
            64,
            "postgres://",
        ),
        (
            &["migrate"],
            Some(("DATABASE_URL", "sqlite:/nonexistent/x.db")),
            69,
            "database",
        ),
        (
            &["check-config", "--config", "/nonexistent.yaml"],
            None,
            64,
            "/nonexistent.yaml",
        ),
        (&["frobnicate"], None, 64, "frobnicate"),
    ];
    for (arguments, variable, code, hint) in cases {
        let mut command = program(&data);
        command.args(arguments).envs(variable);
        let output = run(&mut command);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(message.contains(hint), "{arguments:?}: {message}");
    }
    assert!(
        !data.join("dgon.db").exists(),
        "a server that cannot listen touches no database"
    );
}

#[test]
fn migrate_check_config_and_openapi_print_what_they_did() {
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    for _ in 0..2 {
        assert!(run(program(&data).arg("migrate")).status.success());
    }
    let shown = text(&run(program(&data).arg("check-config")).stdout);
    let line = shown
        .lines()
        .find(|line| line.starts_with("data_dir"))
        .expect("data_dir");
    assert!(line.ends_with("$DGON_DATA_DIR"), "{line}");
    let openapi = run(program(&data).arg("openapi"));
    let api: serde_json::Value = serde_json::from_slice(&openapi.stdout).expect("JSON");
    assert!(api["paths"]["/api/v1/users/me"].is_object());
    let help = text(&run(program(&data).arg("--help")).stdout);
    assert!(
        help.contains("Exit codes:") && help.contains("73"),
        "{help}"
    );
}

#[test]
fn the_audit_log_is_checked_with_the_database_alone() {
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    let verify = || run(program(&data).args(["audit", "verify"]));
    let nothing = verify();
    assert_eq!(nothing.status.code(), Some(73), "{}", text(&nothing.stderr));
    assert!(!data.exists(), "nothing is made");
    // What a command writes is chained by it: no server runs.
    let made = run(program(&data).args(["user", "create", "--email", "a@example.com"]));
    assert!(made.status.success(), "{}", text(&made.stderr));
    std::fs::remove_file(data.join("master.key")).expect("the key");
    let whole = verify();
    let told = text(&whole.stdout);
    assert!(whole.status.success(), "{told}{}", text(&whole.stderr));
    assert!(
        told.contains("2 rows, 1 to 2") && told.contains("nothing is missing"),
        "{told}"
    );
    let head = told.lines().find_map(|line| line.strip_prefix("head "));
    let noted = ["audit", "verify", "--noted", head.expect("a head")];
    assert!(run(program(&data).args(noted)).status.success());
    let other = format!("2:{}", "0".repeat(64));
    let other = run(program(&data).args(["audit", "verify", "--noted", &other]));
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("made anew"),
        "{}",
        text(&other.stderr)
    );
}
