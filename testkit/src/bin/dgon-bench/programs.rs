//! Starting the real programs in a temporary folder.

use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that is killed when dropped.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// CPU time used so far, user and system. Linux only; elsewhere `None`.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
        // Fields 14 and 15 (utime, stime) in clock ticks of 10 ms, counted after the command's closing parenthesis (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// Resident memory, MiB. Linux only.
    pub(crate) fn resident_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
    }
}

/// Programs, their data and their addresses.
pub(crate) struct Place {
    bin: PathBuf,
    /// Data of this run.
    pub(crate) dir: tempfile::TempDir,
    /// Where the control plane listens.
    pub(crate) api: SocketAddr,
    /// Where the agent's proxy listens.
    pub(crate) proxy: SocketAddr,
}

fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Place {
    pub(crate) fn new(bin: &Path) -> Result<Self> {
        Ok(Self {
            bin: bin.to_path_buf(),
            dir: tempfile::tempdir()?,
            api: free_address()?,
            proxy: free_address()?,
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .env("DGON_DATA_DIR", self.dir.path().join("control-plane"))
            .env("DGON_STATE_DIR", self.dir.path().join("agent"))
            .env("DGON_PROXY_LISTEN", self.proxy.to_string())
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
        let log = std::fs::File::create(self.dir.path().join(format!("{program}.log")))?;
        let child = self
            .command(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        let mut program_running =
            Program(child.with_context(|| format!("{program} cannot be started"))?);
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(listens).is_err() {
            let ended = program_running.0.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                bail!(
                    "{program} does not listen on {listens}: {}",
                    std::fs::read_to_string(self.dir.path().join(format!("{program}.log")))?
                );
            }
            std::thread::yield_now();
        }
        Ok(program_running)
    }

    /// Runs a program to its end and takes its output.
    pub(crate) fn output(
        &self,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<String> {
        let output = self
            .command(program)
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
