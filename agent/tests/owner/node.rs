//! The real program as a process, on a machine of its own, before a simulated runtime.

use crate::support::agent;
use crate::support::machine::Machine;
use dgon_agent::local::{self, Answer, Request, Status};
use dgon_testkit::programs::http_client;
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must come.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) child: Option<Child>,
    runtime: Option<SimRuntime>,
}

impl Node {
    /// An enrolled node whose agent does not run. Nobody answers at its control plane's address.
    pub(crate) fn new(yaml: &str) -> Self {
        let machine = Machine::enrolled("http://127.0.0.1:9");
        machine.configure(&format!(
            "control_plane:\n  api: http://127.0.0.1:9\n{yaml}"
        ));
        Self {
            machine,
            child: None,
            runtime: None,
        }
    }

    /// A node with a runtime and a running agent that has found it.
    pub(crate) async fn serving(yaml: &str) -> Self {
        let mut this = Self::new(yaml);
        this.with_runtime().await;
        this.start();
        this.until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
            .await;
        this
    }

    /// Puts a runtime beside it.
    pub(crate) async fn with_runtime(&mut self) {
        self.with_runtime_like(SimConfig::new(Kind::Ollama)).await;
    }

    /// Puts this runtime beside it.
    pub(crate) async fn with_runtime_like(&mut self, config: SimConfig) {
        let runtime = SimRuntime::start(config).await.unwrap();
        self.machine.set("DGON_RUNTIMES_ENDPOINTS", runtime.url());
        self.runtime = Some(runtime);
    }

    /// Ends the runtime and its connections.
    pub(crate) fn stop_runtime(&mut self) {
        self.runtime = None;
    }

    /// A command of the program for this node.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = agent(self.machine.dir.path(), arguments);
        command.envs(self.machine.environment.iter().map(|(n, v)| (n, v)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.machine.dir.path().join("agent.log")
    }

    /// Starts the agent.
    pub(crate) fn start(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let child = self
            .command(&["run"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) async fn restart(&mut self) -> Status {
        self.kill();
        let _ = std::fs::remove_file(self.machine.state.socket());
        self.start();
        self.until(|_| true).await
    }

    /// Waits until the agent says so.
    pub(crate) async fn until(&mut self, condition: impl Fn(&Status) -> bool) -> Status {
        let began = Instant::now();
        loop {
            let ended = self.child.as_mut().map(|child| child.try_wait().unwrap());
            let answer = local::ask(&self.machine.state.socket(), Request::Status).await;
            match answer {
                Ok(Answer::Status(status)) if condition(&status) => return *status,
                other => assert!(
                    began.elapsed() < WITHIN && ended.flatten().is_none(),
                    "{other:?}\n{}",
                    std::fs::read_to_string(self.log()).unwrap_or_default()
                ),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a request has come through to the runtime, so that it has surely begun.
    pub(crate) async fn until_runtime_works(&mut self) {
        loop {
            self.until(|status| status.in_flight > 0).await;
            if self.runtime.as_ref().unwrap().stats().running > 0 {
                return;
            }
        }
    }

    /// Asks the runtime something, as a program on this machine does.
    pub(crate) async fn chat(&self, proxy: &str) -> u16 {
        chat(proxy).await
    }
}

/// Asks the runtime behind a proxy something; the status of the answer.
pub(crate) async fn chat(proxy: &str) -> u16 {
    let body = serde_json::json!({
        "model": "sim-chat:1b",
        "stream": false,
        "messages": [{"role": "user", "content": "hello"}],
    });
    let response = http_client()
        .unwrap()
        .post(format!("{proxy}/api/chat"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    response.bytes().await.unwrap();
    status
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
