//! One server per database, and the master key that belongs to it: the program as a person runs it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail like tests do"
)]

use dgon_testkit::postgres;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

/// A folder with a data directory, and the database in it or in PostgreSQL.
struct Place {
    dir: tempfile::TempDir,
    postgres: Option<postgres::Database>,
}

impl Place {
    fn sqlite() -> Self {
        Self {
            dir: tempfile::tempdir().expect("dir"),
            postgres: None,
        }
    }

    fn postgres() -> Self {
        Self {
            postgres: Some(postgres::Database::create().expect("throwaway PostgreSQL")),
            ..Self::sqlite()
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn program(&self, data_dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dgon-control-plane"));
        command
            .env_clear()
            .env("DGON_DATA_DIR", data_dir)
            .env("DGON_BIND", free_address())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        if let Some(database) = &self.postgres {
            command.env("DATABASE_URL", database.url());
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.program(&self.data())
            .args(arguments)
            .output()
            .expect("run")
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").to_string()
}

/// A server that has started; it is killed when this is dropped.
struct Serve {
    child: Child,
    address: String,
    /// Kept open: a server that tells its links to nobody ends.
    _stdout: BufReader<ChildStdout>,
}

impl Serve {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start");
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout"));
        stdout.read_line(&mut first).expect("a line");
        let Some((_, address)) = first.trim().rsplit_once("http://") else {
            let mut message = String::new();
            let mut stderr = child.stderr.take().expect("stderr");
            stderr.read_to_string(&mut message).expect("text");
            panic!("the server did not start: {message}");
        };
        Self {
            address: address.to_owned(),
            child,
            _stdout: stdout,
        }
    }

    /// The body of `/readyz`; `None` when nobody listens any more.
    fn ready(&self) -> Option<String> {
        use std::io::Write as _;
        let mut stream = std::net::TcpStream::connect(&self.address).ok()?;
        write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: dgon\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Waits for the end; what it logged.
    fn end(&mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().expect("stderr");
        stderr.read_to_string(&mut log).expect("text");
        (self.child.wait().expect("wait"), log)
    }

    fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Runs a server that must not start, to its end; its exit code and what it says.
fn refusal(mut command: Command) -> (Option<i32>, String) {
    let mut child = command
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start");
    let mut first = String::new();
    let stdout = child.stdout.take().expect("stdout");
    BufReader::new(stdout).read_line(&mut first).expect("text");
    if !first.is_empty() {
        // It would serve on for ever.
        child.kill().expect("kill");
    }
    let output = child.wait_with_output().expect("wait");
    assert_eq!(first, "", "the server started");
    (output.status.code(), error(&output))
}

/// A second server must end at once and say why.
fn assert_refused(command: Command, first: &Serve) {
    let (code, message) = refusal(command);
    assert_eq!(code, Some(69), "{message}");
    let process = format!("process {}", first.child.id());
    for part in ["another control plane", &process, "Stop the other one"] {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn a_second_server_of_a_sqlite_file_is_refused_by_whatever_path_it_comes() {
    let place = Place::sqlite();
    let first = Serve::start(place.program(&place.data()));
    assert_refused(place.program(&place.data()), &first);
    assert_refused(place.program(Path::new("./data/../data")), &first);
    #[cfg(unix)]
    {
        let link = place.dir.path().join("link");
        std::os::unix::fs::symlink(place.data(), &link).expect("link");
        assert_refused(place.program(&link), &first);
        let other = place.dir.path().join("other");
        std::fs::create_dir(&other).expect("folder");
        std::os::unix::fs::symlink(place.data().join("dgon.db"), other.join("my.db"))
            .expect("link");
        let mut by_file = place.program(&place.data());
        by_file.env("DATABASE_URL", "sqlite:other/my.db");
        assert_refused(by_file, &first);
    }
}

#[test]
fn a_second_server_of_a_postgres_database_is_refused() {
    let place = Place::postgres();
    let first = Serve::start(place.program(&place.data()));
    assert_refused(place.program(&place.data()), &first);
}

#[test]
fn other_commands_work_beside_a_server_and_a_killed_one_blocks_nobody() {
    for place in [Place::sqlite(), Place::postgres()] {
        let mut first = Serve::start(place.program(&place.data()));
        for arguments in [
            &["token", "create"][..],
            &["user", "create", "--email", "a@example.com"],
            &["check-config"],
            &["migrate"],
        ] {
            let output = place.run(arguments);
            assert!(output.status.success(), "{arguments:?}: {}", error(&output));
        }
        first.kill();
        let _second = Serve::start(place.program(&place.data()));
    }
}

const LOCKS: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 2 \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

#[test]
fn a_lost_lock_is_taken_again() {
    let place = Place::postgres();
    let first = Serve::start(place.program(&place.data()));
    let mut session = place
        .postgres
        .as_ref()
        .expect("database")
        .session()
        .expect("psql");
    let before = session.run(LOCKS).expect("locks");
    session
        .run(&format!("SELECT pg_terminate_backend({})", before.trim()))
        .expect("terminate");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let now = session.run(LOCKS).expect("locks");
        if !now.is_empty() && now != before {
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the lock did not come back"
        );
    }
    assert!(
        first
            .ready()
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    );
    assert_refused(place.program(&place.data()), &first);
}

#[test]
fn a_lock_that_went_to_another_ends_the_server_with_an_error_and_says_so_before() {
    let place = Place::postgres();
    let mut first = Serve::start(place.program(&place.data()));
    let database = place.postgres.as_ref().expect("database");
    let mut session = database.session().expect("psql");
    let holder = session.run(LOCKS).expect("locks");
    // It stands in the queue and has the lock as soon as the server's session is gone.
    let mut thief = database.session().expect("psql");
    thief
        .send("SELECT pg_advisory_lock(1145523022, 2)")
        .expect("queue");
    let waits =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 2 AND NOT granted";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while session.run(waits).expect("locks").trim() == "0" {
        assert!(
            std::time::Instant::now() < deadline,
            "nobody waits for the lock"
        );
    }
    session
        .run(&format!("SELECT pg_terminate_backend({})", holder.trim()))
        .expect("terminate");
    thief.finish().expect("the lock");
    let mut answers = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while let Some(answer) = first.ready() {
        assert!(std::time::Instant::now() < deadline, "it serves on");
        if !answer.is_empty() && answers.last() != Some(&answer) {
            answers.push(answer);
        }
    }
    let named = |answer: &String| {
        answer.starts_with("HTTP/1.1 503") && answer.contains("\"task:database_lock\"")
    };
    assert!(answers.iter().any(named), "{answers:?}");
    let (status, log) = first.end();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains("ended unexpectedly: database_lock"), "{log}");
    assert!(log.contains("went to another server"), "{log}");
}

#[test]
fn another_master_key_or_none_is_refused_and_the_right_one_works_again() {
    for place in [Place::sqlite(), Place::postgres()] {
        Serve::start(place.program(&place.data())).kill();
        let path = place.data().join("master.key");
        let right = std::fs::read(&path).expect("key");
        std::fs::write(&path, [9; 32]).expect("another key");
        let (code, message) = refusal(place.program(&place.data()));
        assert_eq!(code, Some(73), "{message}");
        for part in [
            "master.key is not the master key of this database",
            "could not be opened",
            "Put the master.key",
        ] {
            assert!(message.contains(part), "{message}");
        }
        std::fs::remove_file(&path).expect("remove");
        let (code, message) = refusal(place.program(&place.data()));
        assert_eq!(code, Some(73), "{message}");
        assert!(message.contains("is missing"), "{message}");
        assert!(!path.exists(), "no key is made that would be of no use");
        std::fs::write(&path, &right).expect("restore");
        let _serves = Serve::start(place.program(&place.data()));
    }
}
