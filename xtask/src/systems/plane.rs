//! What the other system's agent speaks to, run natively: a control plane, a simulated runtime, a client.

use super::bounded::{self, until};
use crate::shell;
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A program that is killed with its handle.
pub(super) struct Program(pub(super) Child);

impl Program {
    /// Starts a program with its output in a log file.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{:?} could not be started", command.get_program()))?;
        Ok(Self(child))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port of the loopback interface that nobody listens on now.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A native program of this build.
pub(super) fn native(name: &str) -> PathBuf {
    shell::target_dir().join("debug").join(name)
}

/// Asks with curl; a body makes it a POST.
pub(super) fn curl(url: &str, options: &[&str], body: Option<&Value>) -> Result<Vec<u8>> {
    let mut curl = shell::command("curl");
    curl.args(["--silent", "--show-error", "--fail", "--noproxy", "*"])
        .args(["--max-time", "60"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if body.is_some() {
        curl.args([
            "--header",
            "content-type: application/json",
            "--data-binary",
            "@-",
        ]);
    }
    let mut child = curl.arg(url).spawn().context("curl could not be started")?;
    if let (Some(mut input), Some(body)) = (child.stdin.take(), body) {
        input.write_all(body.to_string().as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{url}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// A control plane with an admin who is signed in, and a runtime.
pub(super) struct Plane {
    folder: PathBuf,
    port: u16,
    process: Option<Program>,
    runtime: u16,
    _runtime: Program,
}

/// The model that the simulated runtime serves.
pub(super) const MODEL: &str = "sim-model";

impl Plane {
    /// Starts both, with their data below `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let runtime = free_port()?;
        let mut sim = shell::command(native("dgon-sim"));
        sim.args(["runtime", "--kind", "vllm", "--model", MODEL])
            .args(["--tokens-per-second", "200", "--port", &runtime.to_string()]);
        let mut plane = Self {
            folder: folder.to_owned(),
            port: free_port()?,
            process: None,
            runtime,
            _runtime: Program::start(&mut sim, &folder.join("runtime.log"))?,
        };
        plane.resume()?;
        plane.sign_in()?;
        Ok(plane)
    }

    fn command(&self) -> Command {
        let mut command = shell::command(native("dgon-control-plane"));
        command.env("DGON_DATA_DIR", self.folder.join("control-plane"));
        command
    }

    /// Starts the control plane, again with the same data and address.
    pub(super) fn resume(&mut self) -> Result<()> {
        let mut serve = self.command();
        serve.args(["serve", "--bind", &format!("127.0.0.1:{}", self.port)]);
        let log = self.folder.join("control-plane.log");
        self.process = Some(Program::start(&mut serve, &log)?);
        let ready = format!("{}/readyz", self.url());
        until("the control plane", || curl(&ready, &[], None)).map(drop)
    }

    /// Kills the control plane.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The runtime's address.
    pub(super) fn runtime_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.runtime)
    }

    /// A new enrolment token.
    pub(super) fn token(&self) -> Result<String> {
        let printed = bounded::success(
            self.command()
                .args(["token", "create", "--uses", "1", "--json"]),
        )?;
        let token: Value = serde_json::from_str(&printed)?;
        let token = token["token"].as_str().map(str::to_owned);
        token.context("the control plane printed no token")
    }

    fn cookies(&self) -> String {
        self.folder.join("cookies").display().to_string()
    }

    fn sign_in(&self) -> Result<()> {
        let printed =
            bounded::success(self.command().args(["user", "link", "--url", &self.url()]))?;
        let (_, token) = printed
            .split_whitespace()
            .find_map(|word| word.split_once("#token="))
            .context("the control plane printed no sign-in link")?;
        let person = json!({
            "token": token, "email": "admin@example.org", "password": "correct horse battery staple",
        });
        let origin = format!("origin: {}", self.url());
        let options = ["--cookie-jar", &self.cookies(), "--header", &origin];
        curl(
            &format!("{}/api/v1/auth/setup", self.url()),
            &options,
            Some(&person),
        )
        .map(drop)
    }

    /// The bytes at a path below `/api/v1`.
    pub(super) fn get(&self, path: &str) -> Result<Vec<u8>> {
        let url = format!("{}/api/v1{path}", self.url());
        curl(&url, &["--cookie", &self.cookies()], None)
    }

    /// Number and request of every stored receipt, in the order of the chain.
    pub(super) fn receipts(&self) -> Result<Vec<(u64, String)>> {
        let page: Value = serde_json::from_slice(&self.get("/receipts?limit=200")?)?;
        let items = page["items"].as_array().context("no page of receipts")?;
        let mut all = Vec::new();
        for item in items {
            let request = item["request_id"]
                .as_str()
                .context("a receipt without a request")?;
            all.push((item["seq"].as_u64().unwrap_or(0), request.to_owned()));
        }
        all.sort();
        Ok(all)
    }
}
