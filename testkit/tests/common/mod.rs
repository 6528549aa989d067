//! What the end-to-end tests share: a whole DGON on this machine, with a simulated runtime.

#![allow(dead_code, reason = "every test file uses a part of this")]

use dgon_testkit::programs::{
    AgentProcess, AgentSetup, ControlPlaneProcess, PATIENCE, Session, http_client,
};
use dgon_testkit::runtime::{SimConfig, SimRuntime};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// A control plane, an agent and runtimes, enrolled and running.
pub(crate) struct Stack {
    pub(crate) plane: ControlPlaneProcess,
    pub(crate) agent: AgentProcess,
    pub(crate) runtimes: Vec<SimRuntime>,
    pub(crate) http: reqwest::Client,
    pub(crate) dir: TempDir,
}

impl Stack {
    pub(crate) async fn start(configs: Vec<SimConfig>, yaml: &str) -> Self {
        Self::start_on(configs, yaml, None).await
    }

    /// The agent's machine has the cards of `nvml`.
    pub(crate) async fn start_on(configs: Vec<SimConfig>, yaml: &str, nvml: Option<Value>) -> Self {
        let http = http_client().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut runtimes = Vec::new();
        for config in configs {
            runtimes.push(SimRuntime::start(config).await.unwrap());
        }
        let plane = ControlPlaneProcess::start(dir.path()).await.unwrap();
        let setup = AgentSetup {
            name: String::new(),
            runtimes: runtimes.iter().map(SimRuntime::url).collect(),
            yaml: yaml.to_owned(),
            nvml,
        };
        let agent = AgentProcess::start(dir.path(), &plane, &setup)
            .await
            .unwrap();
        Self {
            plane,
            agent,
            runtimes,
            http,
            dir,
        }
    }

    /// Posts JSON to the agent's proxy; status and body.
    pub(crate) async fn ask(&self, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let response = self
            .http
            .post(format!("{}{path}", self.agent.url()))
            .json(body)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        (status, response.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn session(&self) -> Session {
        self.plane.sign_in().await.unwrap()
    }
}

/// A chat with one message.
pub(crate) fn chat(model: &str, text: &str, stream: bool) -> Value {
    dgon_testkit::kept::secret("prompt", text);
    json!({"model": model, "messages": [{"role": "user", "content": text}], "stream": stream})
}

/// Waits until `found` has something; how long it took.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut found: impl FnMut() -> F,
) -> (T, Duration) {
    let begin = Instant::now();
    loop {
        if let Some(found) = found().await {
            return (found, begin.elapsed());
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
