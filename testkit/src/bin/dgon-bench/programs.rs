//! Starting the real programs in a temporary folder.

use crate::process::Split;
use crate::{process, system};
use anyhow::{Context as _, Result, bail};
use dgon_testkit::postgres::Database;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program has to start, and to end.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Uses that a token may have.
const TOKEN_USES_MAX: u32 = 1_000;
const END_WITHIN: Duration = Duration::from_secs(5);

/// A program that is ended when dropped.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        system::ask_to_end(self.0.id());
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Starts `command` with its output in `log`, and waits until it listens.
    pub(crate) fn start(command: &mut Command, log: &Path, listens: SocketAddr) -> Result<Self> {
        let mut program = Self::spawn(command, log)?;
        let deadline = Instant::now() + START_WITHIN;
        while std::net::TcpStream::connect(listens).is_err() {
            if program.0.try_wait()?.is_some() || Instant::now() > deadline {
                bail!(
                    "{} does not listen on {listens}: {}",
                    command.get_program().to_string_lossy(),
                    std::fs::read_to_string(log)?
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(program)
    }

    /// Starts `command` with its output in `log`.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let file = std::fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn();
        let name = || command.get_program().to_string_lossy().into_owned();
        Ok(Self(child.with_context(|| {
            format!("{} cannot be started", name())
        })?))
    }

    /// Starts `command` with what it complains of in `log`; what it prints is for who started it.
    pub(crate) fn piped(command: &mut Command, log: &Path) -> Result<(Self, ChildStdout)> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?)
            .spawn();
        let name = || command.get_program().to_string_lossy().into_owned();
        let mut child = child.with_context(|| format!("{} cannot be started", name()))?;
        let output = child.stdout.take().context("a pipe was asked for")?;
        Ok((Self(child), output))
    }

    /// Waits for its end; fails where that is no good one.
    pub(crate) fn ended(mut self, log: &Path) -> Result<()> {
        let status = self.0.wait()?;
        if !status.success() {
            bail!("{status}: {}", std::fs::read_to_string(log)?);
        }
        Ok(())
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// CPU time used so far, with its children's.
    pub(crate) fn cpu(&self) -> Duration {
        process::cpu(self.id())
    }

    /// Where its CPU time went so far, without its children.
    pub(crate) fn split(&self) -> Split {
        process::split(self.id())
    }

    /// Resident memory, MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        process::memory(self.id()).resident as f64 / 1024.0
    }
}

/// An address that nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Programs, their data and their addresses.
pub(crate) struct Place {
    bin: PathBuf,
    /// The control plane's database where it is not SQLite in the folder.
    database_url: Option<String>,
    /// That database where it goes with this run.
    database: Option<Database>,
    /// Data of this run.
    pub(crate) dir: tempfile::TempDir,
    /// Where the control plane listens.
    pub(crate) api: SocketAddr,
    /// Where the agent's proxy listens.
    pub(crate) proxy: SocketAddr,
}

impl Place {
    pub(crate) fn new(bin: &Path) -> Result<Self> {
        Ok(Self {
            bin: bin.to_path_buf(),
            database_url: None,
            database: None,
            dir: tempfile::tempdir()?,
            api: free_address()?,
            proxy: free_address()?,
        })
    }

    /// The same with the control plane's data in that database.
    pub(crate) fn on_database(bin: &Path, url: String) -> Result<Self> {
        Ok(Self {
            database_url: Some(url),
            ..Self::new(bin)?
        })
    }

    /// The same with a copy of what another one has stored. Neither may have a control plane that runs.
    pub(crate) fn copy(&self) -> Result<Self> {
        let database = self.database.as_ref().map(Database::copy).transpose()?;
        let copy = Self {
            database_url: database.as_ref().map(Database::url),
            database,
            ..Self::new(&self.bin)?
        };
        std::fs::create_dir_all(copy.data())?;
        for file in std::fs::read_dir(self.data())? {
            let file = file?;
            std::fs::copy(file.path(), copy.data().join(file.file_name()))?;
        }
        Ok(copy)
    }

    /// The folder of the control plane's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("control-plane")
    }

    /// Where its control plane stores, as the store is told.
    pub(crate) fn store_url(&self) -> String {
        let file = || format!("sqlite:{}", self.data().join("dgon.db").display());
        self.database_url.clone().unwrap_or_else(file)
    }

    /// Its database, where it is one of PostgreSQL that goes with it.
    pub(crate) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The same with a durable PostgreSQL of its own, where there is one.
    pub(crate) fn on_postgres(bin: &Path) -> Result<Self> {
        let database = Database::create_durable()?;
        Ok(Self {
            database_url: Some(database.url()),
            database: Some(database),
            ..Self::new(bin)?
        })
    }

    /// A program of ours with the data of this run.
    pub(crate) fn own_program(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .env("DGON_DATA_DIR", self.data())
            .env("DGON_STATE_DIR", self.dir.path().join("agent"))
            .env("DGON_PROXY_LISTEN", self.proxy.to_string())
            .envs(self.database_url.iter().map(|url| ("DATABASE_URL", url)))
            .stdin(Stdio::null());
        command
    }

    /// A program of ours that gets what CPU time others leave.
    pub(crate) fn at_low_priority(&self, program: &str) -> Command {
        let mut command = Command::new("nice");
        command
            .args(["-n", "19"])
            .arg(self.bin.join(program))
            .stdin(Stdio::null());
        command
    }

    /// Starts a program with its output in a log file and waits until it listens.
    pub(crate) fn start(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        listens: SocketAddr,
    ) -> Result<Program> {
        let mut command = self.own_program(program);
        command.args(arguments).envs(environment.iter().copied());
        let log = self.dir.path().join(format!("{program}.log"));
        Program::start(&mut command, &log, listens)
    }

    /// Runs a program to its end and takes its output.
    pub(crate) fn output(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<String> {
        let output = self
            .own_program(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .output()?;
        if !output.status.success() {
            bail!(
                "{program} {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts the control plane.
    pub(crate) fn control_plane(&self) -> Result<Program> {
        self.start(
            "dgon-control-plane",
            &["serve", "--bind", &self.api.to_string()],
            &[],
            self.api,
        )
    }

    /// Makes enrolment tokens for so many nodes, as many for each: one token has so many uses at most.
    pub(crate) fn tokens(&self, nodes: u32) -> Result<Vec<String>> {
        let tokens = nodes.div_ceil(TOKEN_USES_MAX).max(1);
        let each = nodes.div_ceil(tokens).max(1);
        (0..tokens).map(|_| self.token(each)).collect()
    }

    /// Makes an enrolment token.
    pub(crate) fn token(&self, uses: u32) -> Result<String> {
        let printed = self.output(
            "dgon-control-plane",
            &["token", "create", "--uses", &uses.to_string(), "--json"],
            &[],
        )?;
        let token: serde_json::Value = serde_json::from_str(&printed)?;
        Ok(token["token"]
            .as_str()
            .context("no token was printed")?
            .to_owned())
    }
}

/// A whole node: runtime, control plane, and an enrolled agent between them.
pub(crate) struct Node {
    /// The agent.
    pub(crate) agent: Program,
    /// Where the runtime listens.
    pub(crate) runtime_address: SocketAddr,
    _control_plane: Program,
    _runtime: Program,
    /// Last, so that its folder outlives the programs.
    pub(crate) place: Place,
}

/// The model of every runtime here.
pub(crate) const MODEL: &str = "llama3.1:8b";

impl Node {
    /// Starts all of it. `runtime` are further arguments of the simulated runtime, `agent` of the agent's
    /// environment. With `detect` the agent looks at the well-known ports too, as it does where nobody says otherwise.
    pub(crate) fn start(
        bin: &Path,
        runtime: &[&str],
        agent: &[(&str, &str)],
        detect: bool,
    ) -> Result<Self> {
        let place = Place::new(bin)?;
        let runtime_address = free_address()?;
        let port = runtime_address.port().to_string();
        let arguments = [
            &["runtime", "--kind", "vllm", "--parallel", "512"],
            &["--model", MODEL, "--port", &port][..],
            runtime,
        ]
        .concat();
        let runtime = place.start("dgon-sim", &arguments, &[], runtime_address)?;
        let control_plane = place.control_plane()?;
        let token = place.token(1)?;
        place.output(
            "dgon-agent",
            &["enroll", "--api", &format!("http://{}", place.api)],
            &[("DGON_ENROL_TOKEN", &token)],
        )?;
        let endpoint = format!("http://{runtime_address}");
        let only_this = [
            (
                "DGON_RUNTIMES_DETECT",
                if detect { "true" } else { "false" },
            ),
            ("DGON_RUNTIMES_ENDPOINTS", endpoint.as_str()),
        ];
        let environment = [&only_this, agent].concat();
        let agent = place.start("dgon-agent", &["run"], &environment, place.proxy)?;
        Ok(Self {
            agent,
            runtime_address,
            _control_plane: control_plane,
            _runtime: runtime,
            place,
        })
    }
}
