//! `dgon-control-plane` on SQLite in a folder of its own.

use super::process::{Process, free_port, output};
use super::session::Session;
use super::{ProgramError, control_plane_bin, http_client, io};
use crate::kept;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A control plane, running or not; its port and its data stay.
pub struct ControlPlaneProcess {
    bin: PathBuf,
    data: PathBuf,
    log: PathBuf,
    bind: String,
    environment: Vec<(String, String)>,
    http: reqwest::Client,
    process: Option<Process>,
}

impl ControlPlaneProcess {
    /// Starts a new one with its data under `dir` and waits until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(dir: &Path) -> Result<Self, ProgramError> {
        let data = dir.join("control-plane");
        std::fs::create_dir_all(&data).map_err(io("the control plane's folder cannot be made"))?;
        let mut plane = Self {
            bin: control_plane_bin()?,
            log: dir.join("control-plane.log"),
            data,
            bind: format!("127.0.0.1:{}", free_port()?),
            environment: Vec::new(),
            http: http_client()?,
            process: None,
        };
        plane.resume().await?;
        Ok(plane)
    }

    /// Base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.bind)
    }

    /// Where it keeps its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Sets a variable of its environment, from the next launch on.
    pub fn set(&mut self, name: &str, value: String) {
        self.environment.push((name.to_owned(), value));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.bin);
        command.env("DGON_DATA_DIR", &self.data);
        command.envs(self.environment.iter().cloned());
        command
    }

    /// Starts it again after it was killed, without waiting.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(&mut self) -> Result<(), ProgramError> {
        let mut command = self.command();
        command.args(["serve", "--bind", &self.bind]);
        self.process = Some(Process::start(
            "dgon-control-plane serve",
            &mut command,
            &self.log,
        )?);
        Ok(())
    }

    /// Waits until a launched one is ready.
    ///
    /// # Errors
    /// It ended, or took too long.
    pub async fn ready(&mut self) -> Result<(), ProgramError> {
        let (http, url) = (self.http.clone(), format!("{}/readyz", self.url()));
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let ready = || async {
            http.get(&url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        };
        process.until("ready", ready).await
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

    /// A new enrolment token.
    ///
    /// # Errors
    /// The command fails.
    pub async fn token(&self, uses: u32) -> Result<String, ProgramError> {
        let mut command = self.command();
        command.args(["token", "create", "--uses", &uses.to_string(), "--json"]);
        let printed = output("dgon-control-plane token create", command).await?;
        let token = serde_json::from_str::<serde_json::Value>(&printed).ok();
        let token = token.and_then(|token| token["token"].as_str().map(str::to_owned));
        if let Some(token) = &token {
            kept::secret("enrolment token", token);
        }
        token.ok_or(ProgramError::Answer {
            what: "token create --json".to_owned(),
            answer: printed,
        })
    }

    /// Signs in as the admin through a one-time link, as a person would.
    ///
    /// # Errors
    /// The command or the sign-in fails.
    pub async fn sign_in(&self) -> Result<Session, ProgramError> {
        let mut command = self.command();
        command.args(["user", "link", "--url", &self.url()]);
        let printed = output("dgon-control-plane user link", command).await?;
        let link = printed
            .split_whitespace()
            .find(|word| word.contains("#token="));
        let Some((page, token)) = link.and_then(|link| link.split_once("#token=")) else {
            return Err(ProgramError::Answer {
                what: "user link".to_owned(),
                answer: printed,
            });
        };
        kept::secret("sign-in link", token);
        Session::open(
            self.http.clone(),
            self.url(),
            page.ends_with("/setup"),
            token,
        )
        .await
    }
}
