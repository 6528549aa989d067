//! `dgon-agent` in a folder of its own, in front of the runtimes it is told of.

use super::control_plane::ControlPlaneProcess;
use super::process::{Process, free_port, output};
use super::{ProgramError, agent_bin, io};
use crate::kept;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// What an agent is told.
#[derive(Debug, Clone, Default)]
pub struct AgentSetup {
    /// Name of its folder; several agents of one test need several.
    pub name: String,
    /// Base URLs of the runtimes.
    pub runtimes: Vec<String>,
    /// Lines added to agent.yaml.
    pub yaml: String,
    /// A machine with NVIDIA cards to play, as `testkit/fake-nvml` reads it; `None` has no card.
    pub nvml: Option<Value>,
}

/// An agent, running or not; its port and its state stay.
pub struct AgentProcess {
    bin: PathBuf,
    state: PathBuf,
    log: PathBuf,
    listen: String,
    runtimes: usize,
    nvml: Option<PathBuf>,
    process: Option<Process>,
}

/// The library that plays the driver: cargo builds it beside the programs.
fn fake_nvml(bin: &Path) -> PathBuf {
    let (before, after) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    bin.with_file_name(format!("{before}dgon_fake_nvml{after}"))
}

impl AgentProcess {
    /// Enrols a new agent with its state under `dir`; does not run it yet.
    ///
    /// # Errors
    /// The enrolment fails.
    pub async fn enrol(
        dir: &Path,
        plane: &ControlPlaneProcess,
        setup: &AgentSetup,
    ) -> Result<Self, ProgramError> {
        let name = if setup.name.is_empty() {
            "agent"
        } else {
            &setup.name
        };
        let state = dir.join(name);
        std::fs::create_dir_all(&state).map_err(io("the agent's folder cannot be made"))?;
        let nvml = match &setup.nvml {
            None => None,
            Some(machine) => {
                let file = dir.join(format!("{name}-machine.json"));
                std::fs::write(&file, machine.to_string())
                    .map_err(io("the machine to play cannot be written"))?;
                Some(file)
            }
        };
        let agent = Self {
            bin: agent_bin()?,
            log: dir.join(format!("{name}.log")),
            state,
            nvml,
            listen: format!("127.0.0.1:{}", free_port()?),
            runtimes: setup.runtimes.len(),
            process: None,
        };
        agent.write_config(&plane.url(), setup)?;
        let mut command = agent.command();
        command
            .args(["enroll", "--api", &plane.url()])
            .env("DGON_ENROL_TOKEN", plane.token(1).await?);
        output("dgon-agent enroll", command).await?;
        for file in ["node.key", "node.secret"] {
            let text = std::fs::read_to_string(agent.state.join(file));
            kept::secret(file, text.unwrap_or_default().trim());
        }
        Ok(agent)
    }

    /// Enrols a new agent, runs it and waits until it serves all its runtimes.
    ///
    /// # Errors
    /// It does not get that far.
    pub async fn start(
        dir: &Path,
        plane: &ControlPlaneProcess,
        setup: &AgentSetup,
    ) -> Result<Self, ProgramError> {
        let mut agent = Self::enrol(dir, plane, setup).await?;
        agent.resume().await?;
        Ok(agent)
    }

    fn write_config(&self, api: &str, setup: &AgentSetup) -> Result<(), ProgramError> {
        let endpoints: String = setup
            .runtimes
            .iter()
            .map(|url| format!("    - {url}\n"))
            .collect();
        let endpoints = if endpoints.is_empty() {
            "  endpoints: []\n".to_owned()
        } else {
            format!("  endpoints:\n{endpoints}")
        };
        let yaml = format!(
            "control_plane:\n  api: {api}\nruntimes:\n  detect: false\n{endpoints}proxy:\n  listen: {}\n{}",
            self.listen, setup.yaml
        );
        std::fs::write(self.state.join("agent.yaml"), yaml)
            .map_err(io("agent.yaml cannot be written"))
    }

    /// A command of this agent's program, pointed at this agent's state.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.bin);
        command
            .env("DGON_STATE_DIR", &self.state)
            .env_remove("DGON_CONFIG")
            .env_remove("DGON_API");
        // The machine of the test has cards or not; the agent's has those of the test alone.
        match &self.nvml {
            Some(file) => command
                .env("DGON_NVML_LIB", fake_nvml(&self.bin))
                .env("DGON_FAKE_NVML", file),
            None => command.env("DGON_NVML_LIB", "/nowhere/libnvidia-ml.so"),
        };
        command
    }

    /// Runs a command of this agent's program to its end; what it printed.
    ///
    /// # Errors
    /// It cannot be started or fails.
    pub async fn tell(&self, arguments: &[&str]) -> Result<String, ProgramError> {
        let mut command = self.command();
        command.args(arguments);
        output(&format!("dgon-agent {}", arguments.join(" ")), command).await
    }

    /// Where its state is.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Base URL of its proxy.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Starts it again after it was killed, without waiting.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(&mut self) -> Result<(), ProgramError> {
        let mut command = self.command();
        command.arg("run");
        if kept::folder().is_some() {
            command.args(["--log-level", "debug"]);
        }
        self.process = Some(Process::start("dgon-agent run", &mut command, &self.log)?);
        Ok(())
    }

    /// Waits until it has found all its runtimes with their models.
    ///
    /// # Errors
    /// It ended, or took too long.
    pub async fn ready(&mut self) -> Result<(), ProgramError> {
        let mut process = self.process.take();
        let ready = || async {
            let status = self.status().await.unwrap_or_default();
            let runtimes = status["runtimes"].as_array().map_or(&[][..], Vec::as_slice);
            let serves = |runtime: &&Value| {
                runtime["models"]
                    .as_array()
                    .is_some_and(|models| !models.is_empty())
            };
            runtimes.iter().filter(serves).count() >= self.runtimes
        };
        let waited = match &mut process {
            Some(process) => process.until("serving its runtimes", ready).await,
            None => Ok(()),
        };
        self.process = process;
        waited
    }

    /// Starts it again after it was killed.
    ///
    /// # Errors
    /// It does not get ready.
    pub async fn resume(&mut self) -> Result<(), ProgramError> {
        self.launch()?;
        self.ready().await
    }

    /// The process, while it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// What the running agent says of itself over its local socket.
    ///
    /// # Errors
    /// It does not run or does not answer.
    pub async fn status(&self) -> Result<Value, ProgramError> {
        let socket = self.state.join("agent.sock");
        let mut stream = UnixStream::connect(&socket)
            .await
            .map_err(io("the agent's socket is not there"))?;
        stream
            .write_all(b"{\"command\":\"status\"}\n")
            .await
            .map_err(io("the agent's socket cannot be written"))?;
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        reader
            .read_line(&mut line)
            .await
            .map_err(io("the agent's socket cannot be read"))?;
        serde_json::from_str(&line).map_err(|_| ProgramError::Answer {
            what: "status".to_owned(),
            answer: line,
        })
    }

    /// Waits until the control plane has acknowledged every receipt of this agent; gives the last `seq`.
    ///
    /// # Errors
    /// It took too long.
    pub async fn all_acked(&mut self) -> Result<u64, ProgramError> {
        let last = AtomicU64::new(0);
        let mut process = self.process.take();
        let done = || async {
            let Ok(status) = self.status().await else {
                return false;
            };
            let spool = &status["spool"];
            last.store(spool["last_seq"].as_u64().unwrap_or(0), Ordering::Relaxed);
            spool["depth"].as_u64() == Some(0) && status["in_flight"].as_u64() == Some(0)
        };
        let waited = match &mut process {
            Some(process) => process.until("done sending its receipts", done).await,
            None => Ok(()),
        };
        self.process = process;
        waited.map(|()| last.load(Ordering::Relaxed))
    }

    /// Key of the hashes of prompts, as this agent derives it: so that a test can find the receipt of a request.
    ///
    /// # Errors
    /// The key file is not there or is malformed.
    pub fn prompt_key(&self) -> Result<[u8; 32], ProgramError> {
        let text = std::fs::read_to_string(self.state.join("node.key"))
            .map_err(io("node.key cannot be read"))?;
        let seed = text
            .trim()
            .strip_prefix("dgon-ed25519-seed:")
            .and_then(|text| STANDARD.decode(text).ok());
        let seed = seed.ok_or(ProgramError::Answer {
            what: "node.key".to_owned(),
            answer: "malformed".to_owned(),
        })?;
        Ok(blake3::derive_key("dgon prompt_hash v1", &seed))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// The end of what it wrote.
    pub fn log_tail(&self) -> String {
        self.process
            .as_ref()
            .map(Process::log_tail)
            .unwrap_or_default()
    }
}
