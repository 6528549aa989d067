//! Throwaway PostgreSQL: one cluster for all test processes of a user, one database per test.
//!
//! The cluster lives under the temporary directory with `fsync=off`, listens on a random local port and runs
//! as an unprivileged user. For figures there is a second one, which keeps what it commits as PostgreSQL does by default.
//! Test processes come and go (nextest starts one per test), so a small supervisor shell owns its end: when no registered
//! process has lived for some seconds it stops the server and removes the directory. Every client writes `users/PID`
//! before it trusts the `current` pointer, and the supervisor takes the pointer away before it looks at `users/` for the
//! last time, so neither can miss the other.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Marks the end of what a statement of a [`Session`] prints.
const END: &str = "-- end of answer --";

const SUPERVISOR: &str = include_str!("postgres_supervisor.sh");

/// One fresh database, dropped with this value.
#[derive(Debug)]
pub struct Database {
    cluster: Cluster,
    name: String,
}

/// What a cluster keeps when the machine stops at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// Nothing for certain: tests ask only that it is fast.
    Nothing,
    /// Every commit that was answered.
    Commits,
}

#[derive(Debug, Clone)]
struct Cluster {
    dir: PathBuf,
    port: u16,
    programs: PathBuf,
}

impl Database {
    /// Makes a database, and the cluster where none runs. Blocks for up to a few seconds.
    ///
    /// # Errors
    /// When PostgreSQL is not installed (Debian: `apt-get install postgresql`) or does not start.
    pub fn create() -> Result<Self> {
        Self::create_in(Keeps::Nothing)
    }

    /// The same in a cluster that syncs every commit to disk, for figures of durable writes.
    ///
    /// # Errors
    /// As [`Database::create`].
    pub fn create_durable() -> Result<Self> {
        Self::create_in(Keeps::Commits)
    }

    fn create_in(keeps: Keeps) -> Result<Self> {
        Self::create_with(Cluster::join(keeps)?, &[])
    }

    /// Another one with the same contents, beside it. Nobody may be connected to this one.
    ///
    /// # Errors
    /// When somebody is, or the disk is full.
    pub fn copy(&self) -> Result<Self> {
        // Its files are copied: through the log, as is usual, a large one is written twice.
        let as_this = ["--template", &self.name, "--strategy", "file_copy"];
        Self::create_with(self.cluster.clone(), &as_this)
    }

    fn create_with(cluster: Cluster, options: &[&str]) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        cluster.client("dropdb", &["--if-exists", &name])?;
        cluster.client("createdb", &[options, &[&name]].concat())?;
        Ok(Self { cluster, name })
    }

    /// Where it is, for a client.
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/{}",
            self.cluster.port, self.name
        )
    }

    /// Another session on it, for locks and faults that a test makes by hand.
    ///
    /// # Errors
    /// When psql does not start.
    pub fn session(&self) -> Result<Session> {
        let mut child = Command::new(self.cluster.programs.join("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--no-align",
                "--tuples-only",
                &self.url(),
            ])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("starting psql")?;
        let input = child.stdin.take().context("psql has no input")?;
        let output = BufReader::new(child.stdout.take().context("psql has no output")?);
        Ok(Session {
            child,
            input,
            output,
        })
    }
}

/// A session of psql: it keeps its transaction and its locks until it is dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Sends statements and waits for what they print, a line per row.
    ///
    /// # Errors
    /// When psql has ended.
    pub fn run(&mut self, sql: &str) -> Result<String> {
        self.send(sql)?;
        self.finish()
    }

    /// Sends statements and does not wait for them; [`Session::finish`] does.
    ///
    /// # Errors
    /// When psql has ended.
    pub fn send(&mut self, sql: &str) -> Result<()> {
        writeln!(self.input, "{sql};\n\\echo {END}")?;
        Ok(self.input.flush()?)
    }

    /// What the statements sent before print.
    ///
    /// # Errors
    /// When psql has ended.
    pub fn finish(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                bail!("psql ended");
            }
            if line.trim_end() == END {
                return Ok(text);
            }
            text.push_str(&line);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The cluster goes anyway; dropping early only saves disk.
        let _ = self
            .cluster
            .client("dropdb", &["--if-exists", "--force", &self.name]);
    }
}

impl Cluster {
    /// Registers this process with the running cluster, or starts one.
    fn join(keeps: Keeps) -> Result<Self> {
        let programs = find_programs()?;
        let base = base_dir(keeps)?;
        let lock = fs::File::create(base.join("lock"))?;
        lock.lock().context("locking the test cluster")?;
        let pointer = base.join("current");
        if let Some(cluster) = Self::attach(&pointer, &programs)? {
            return Ok(cluster);
        }
        let cluster = Self::start(&base, programs, keeps)?;
        // The pointer appears whole: written aside, then renamed.
        let aside = base.join("current.new");
        fs::write(
            &aside,
            format!("{}\n{}\n", cluster.dir.display(), cluster.port),
        )?;
        fs::rename(&aside, &pointer)?;
        cluster.supervise(&pointer)?;
        Ok(cluster)
    }

    fn attach(pointer: &Path, programs: &Path) -> Result<Option<Self>> {
        let Some((dir, port)) = read_pointer(pointer) else {
            return Ok(None);
        };
        let cluster = Self {
            dir,
            port,
            programs: programs.to_owned(),
        };
        if cluster.register().is_err() {
            return Ok(None);
        }
        if read_pointer(pointer).is_none() {
            cluster.unregister();
            return Ok(None);
        }
        // A machine that was reset leaves a pointer to nothing.
        Ok(cluster
            .client("pg_isready", &["--quiet"])
            .is_ok()
            .then_some(cluster))
    }

    fn user_file(&self) -> PathBuf {
        self.dir.join("users").join(std::process::id().to_string())
    }

    fn register(&self) -> Result<()> {
        Ok(fs::write(self.user_file(), b"")?)
    }

    fn unregister(&self) {
        // The supervisor forgets a process that ends, too.
        let _ = fs::remove_file(self.user_file());
    }

    fn start(base: &Path, programs: PathBuf, keeps: Keeps) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("cluster-")
            .tempdir_in(base)?
            .keep();
        fs::create_dir(dir.join("users"))?;
        fs::create_dir(dir.join("pg"))?;
        if is_root() {
            run(Command::new("chown").arg("nobody").arg(dir.join("pg")))?;
            run(Command::new("chmod").arg("711").arg(&dir).arg(base))?;
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let cluster = Self {
            dir,
            port,
            programs,
        };
        cluster.register()?;
        let data = cluster.dir.join("pg/data");
        let mut initdb = unprivileged(&cluster.programs.join("initdb"));
        run(initdb.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "--no-instructions",
            "-E",
            "UTF8",
            "--locale=C",
        ]))?;
        let keeping = match keeps {
            Keeps::Nothing => {
                "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=64MB"
            }
            // What PostgreSQL does by default, in words, so that no file of the system says otherwise.
            Keeps::Commits => "-c fsync=on -c synchronous_commit=on -c full_page_writes=on",
        };
        let settings = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} {keeping} -c max_connections=400",
            cluster.dir.join("pg").display()
        );
        let mut pg_ctl = unprivileged(&cluster.programs.join("pg_ctl"));
        run(pg_ctl
            .arg("-D")
            .arg(&data)
            .args(["-w", "-s", "-l"])
            .arg(cluster.dir.join("pg/log"))
            .args(["-o", &settings, "start"]))?;
        Ok(cluster)
    }

    /// Starts the shell that ends the cluster when its last user is gone.
    fn supervise(&self, pointer: &Path) -> Result<()> {
        use std::os::unix::process::CommandExt as _;
        Command::new("sh")
            .args(["-c", SUPERVISOR, "postgres-supervisor"])
            .arg(&self.dir)
            .arg(pointer)
            .arg(self.programs.join("pg_ctl"))
            .arg(if is_root() { "root" } else { "user" })
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the supervisor of the test cluster")?;
        Ok(())
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Result<()> {
        run(Command::new(self.programs.join(program))
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .args(arguments))
    }
}

fn read_pointer(pointer: &Path) -> Option<(PathBuf, u16)> {
    let text = fs::read_to_string(pointer).ok()?;
    let (dir, port) = text.trim_end().split_once('\n')?;
    Some((PathBuf::from(dir), port.parse().ok()?))
}

fn base_dir(keeps: Keeps) -> Result<PathBuf> {
    let kind = match keeps {
        Keeps::Nothing => "",
        Keeps::Commits => "durable-",
    };
    let base = std::env::temp_dir().join(format!("dgon-test-postgres-{kind}{}", user_id()));
    fs::create_dir_all(&base).with_context(|| format!("creating {}", base.display()))?;
    Ok(base)
}

/// Finds the folder with `initdb`: `PGBIN`, Debian's and Homebrew's places, then `PATH`.
fn find_programs() -> Result<PathBuf> {
    let mut candidates: Vec<PathBuf> = std::env::var_os("PGBIN")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    for root in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let mut found: Vec<PathBuf> = fs::read_dir(root)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
            .collect();
        found.sort();
        candidates.extend(found.into_iter().rev());
    }
    candidates.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    match candidates
        .into_iter()
        .find(|dir| dir.join("initdb").exists() && dir.join("pg_ctl").exists())
    {
        Some(dir) => Ok(dir),
        None => bail!(
            "PostgreSQL's initdb was not found; install it (Debian: apt-get install postgresql, macOS: brew install postgresql) or set PGBIN"
        ),
    }
}

fn user_id() -> u32 {
    #[expect(unsafe_code, reason = "getuid has no arguments and cannot fail")]
    // SAFETY: getuid reads the caller's user id and has no preconditions.
    unsafe {
        libc::getuid()
    }
}

fn is_root() -> bool {
    user_id() == 0
}

/// PostgreSQL refuses to run as root: a command that drops to `nobody` where this is root.
fn unprivileged(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .arg(program)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C");
        command
    } else {
        Command::new(program)
    }
}

/// Runs to the end. Output goes to a file-less null, because a server that inherits a pipe would hold it open.
fn run(command: &mut Command) -> Result<()> {
    let status = command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("starting {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{command:?} failed: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_databases_share_one_cluster() {
        let first = Database::create().expect("first");
        let second = Database::create().expect("second");
        assert_eq!(first.cluster.port, second.cluster.port);
        assert_ne!(first.name, second.name);
        let alive = first
            .cluster
            .client("psql", &["-c", "SELECT 1", &second.name]);
        assert!(alive.is_ok(), "{alive:?}");
    }

    #[test]
    fn a_copy_has_what_was_there() {
        let database = Database::create().expect("database");
        let mut session = database.session().expect("a session");
        session
            .run("CREATE TABLE t (i int); INSERT INTO t VALUES (7)")
            .expect("a row");
        drop(session);
        let copy = database.copy().expect("a copy");
        let mut session = copy.session().expect("a session");
        assert_eq!(session.run("SELECT i FROM t").expect("a row"), "7\n");
    }

    #[test]
    fn a_durable_database_syncs_its_commits() {
        let shown = |database: &Database| {
            let mut session = database.session().expect("a session");
            session
                .run("SHOW fsync; SHOW synchronous_commit; SHOW full_page_writes")
                .expect("settings")
        };
        let (fast, durable) = (Database::create(), Database::create_durable());
        assert_eq!(shown(&fast.expect("fast")), "off\noff\noff\n");
        assert_eq!(shown(&durable.expect("durable")), "on\non\non\n");
    }
}
