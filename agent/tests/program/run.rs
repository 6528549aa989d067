//! The whole agent: a runtime that comes late, a control plane that comes later, a stop that loses nothing.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use dgon_agent::config::{BaseUrl, Config, StateDir};
use dgon_agent::identity::{self, Enrolment, NodeSecret};
use dgon_agent::link::Phase;
use dgon_agent::local::{self, Answer, LocalError, Request, Status};
use dgon_agent::run::{RunError, run_until};
use dgon_protocol::frame::{Permission, Probe, ProbeOutcome, ToAgent};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::receipt::{Receipt, Source};
use dgon_testkit::fault::{FaultProxy, Weather};
use dgon_testkit::link_server::{Script, StubControlPlane};
use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const WITHIN: Duration = Duration::from_secs(60);
/// base64 of 32 zero bytes.
const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn node_id() -> NodeId {
    NodeId::parse("rig-7").unwrap()
}

/// A state directory as enrolment leaves it.
fn enrolled(dir: &Path) -> StateDir {
    let state = StateDir::new(dir.join("state"));
    identity::create_key(&state).unwrap();
    let enrolment = Enrolment {
        node_id: node_id(),
        region: "eu-west".to_owned(),
        link_url: "ws://127.0.0.1:9/not-this-one".to_owned(),
        secret: NodeSecret::parse(SECRET).unwrap(),
    };
    identity::store_enrolment(&state, &enrolment).unwrap();
    state
}

fn config(api: SocketAddr, runtime: SocketAddr) -> Config {
    let mut config = Config::default();
    config.control_plane.api = Some(BaseUrl::parse(&format!("http://{api}")).unwrap());
    config.proxy.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.runtimes.detect = false;
    config.runtimes.endpoints = vec![BaseUrl::parse(&format!("http://{runtime}")).unwrap().into()];
    config
}

struct Running {
    state: StateDir,
    stop: CancellationToken,
    agent: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn start(config: &Config, state: &StateDir) -> Self {
        // Once per process; a second test in it finds it installed.
        drop(rustls::crypto::ring::default_provider().install_default());
        let stop = CancellationToken::new();
        let agent = tokio::spawn({
            let (config, state, stop) = (config.clone(), state.clone(), stop.clone());
            async move { run_until(&config, &state, stop).await }
        });
        Self {
            state: state.clone(),
            stop,
            agent,
        }
    }

    async fn status(&self) -> Option<Status> {
        match local::ask(&self.state.socket(), Request::Status).await {
            Ok(Answer::Status(status)) => Some(*status),
            Ok(_) | Err(_) => None,
        }
    }

    async fn until(&self, condition: impl Fn(&Status) -> bool) -> Status {
        let give_up = Instant::now() + WITHIN;
        loop {
            let status = self.status().await;
            assert!(!self.agent.is_finished(), "the agent has ended");
            match status {
                Some(status) if condition(&status) => return status,
                other => assert!(Instant::now() < give_up, "{other:?}"),
            }
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(WITHIN, self.agent).await.unwrap().unwrap().unwrap();
        let gone = local::ask(&self.state.socket(), Request::Status).await;
        assert!(matches!(gone, Err(LocalError::NotRunning(_))), "{gone:?}");
    }
}

async fn chat(proxy: &str, model: &str) -> reqwest::StatusCode {
    let body = serde_json::json!({
        "model": model,
        "stream": false,
        "messages": [{"role": "user", "content": "hello"}],
    });
    let response = reqwest::Client::new()
        .post(format!("{proxy}/api/chat"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    let status = response.status();
    response.bytes().await.unwrap();
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_serves_before_anyone_else_is_there_and_delivers_later() {
    let dir = tempfile::tempdir().unwrap();
    let state = enrolled(dir.path());
    let stub = StubControlPlane::start(node_id(), &[0; 32], Script::default())
        .await
        .unwrap();
    let network = FaultProxy::start(stub.address()).await.unwrap();
    network.set(Weather {
        refuse: true,
        ..Weather::default()
    });
    let mut sim = SimConfig::new(Kind::Ollama);
    let port = SimRuntime::start(sim.clone()).await.unwrap().addr();
    sim.bind = port;
    let running = Running::start(&config(network.address(), port), &state);
    let early = running
        .until(|status| status.link.phase == Phase::Waiting)
        .await;
    assert_eq!((early.node_id.as_str(), early.spool.last_seq), ("rig-7", 0));
    assert_eq!(early.region.as_deref(), Some("eu-west"));

    let runtime = SimRuntime::start(sim).await.unwrap();
    let found = running
        .until(|status| status.runtimes.iter().any(|runtime| runtime.ready))
        .await;
    assert_eq!(found.runtimes[0].kind, "ollama");
    let model = found.runtimes[0].models[0].id.clone();
    for _ in 0..3 {
        assert_eq!(chat(&found.proxy, &model).await, 200);
    }
    let waiting = running.until(|status| status.spool.depth == 3).await;
    assert_eq!(waiting.spool.receipts_today, 3);

    network.set(Weather::default());
    let seen = stub.until(|seen| seen.receipts.len() == 3).await.unwrap();
    assert_eq!(seen.violations, Vec::<String>::new());
    running.until(|status| status.spool.depth == 0).await;

    // A second agent on the same state is turned away and harms nothing.
    let same = config(network.address(), port);
    let second = run_until(&same, &state, CancellationToken::new());
    assert!(matches!(
        timeout(WITHIN, second).await,
        Ok(Err(RunError::Lock(_)))
    ));

    probe(&stub).await;
    assert_eq!(chat(&found.proxy, &model).await, 200);
    drop(runtime);
    running.stop().await;
    let seen = stub.until(|seen| !seen.connected).await.unwrap();
    assert_eq!((seen.receipts.len(), seen.byes.len()), (5, 1));

    let again = Running::start(&same, &state);
    let status = again
        .until(|status| status.link.phase == Phase::Connected)
        .await;
    assert_eq!((status.spool.last_seq, status.spool.depth), (5, 0));
    again.stop().await;
}

/// The control plane's own question goes the way of all others and leaves its receipt.
async fn probe(stub: &StubControlPlane) {
    let request_id = RequestId::parse("r_probe").unwrap();
    let asked = stub
        .send(ToAgent::Probe(Probe {
            probe_id: "p".to_owned(),
            request_id: request_id.clone(),
            model: None,
            prompt: "hello".to_owned(),
            max_tokens: 4,
            timeout_ms: 20_000,
        }))
        .await;
    assert!(asked);
    let seen = stub
        .until(|seen| seen.probes.len() == 1 && seen.receipts.len() == 4)
        .await
        .unwrap();
    assert_eq!(seen.probes[0].outcome, ProbeOutcome::Ok);
    let receipt = Receipt::parse(&seen.receipts[&4]).unwrap();
    assert_eq!(receipt.fields.source, Some(Source::Probe));
    assert_eq!(receipt.fields.request_id, request_id);
    assert!(seen.hello.unwrap().allow.contains(&Permission::Probe));
}

#[tokio::test]
async fn a_node_that_was_never_enrolled_is_told_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let state = StateDir::new(dir.path());
    let error = run_until(&Config::default(), &state, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Identity(_)));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("dgon-agent enroll"), "{cause}");
}

#[tokio::test]
async fn another_nodes_configuration_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = enrolled(dir.path());
    let mut config = Config::default();
    config.node.id = NodeId::parse("rig-8").ok();
    let error = run_until(&config, &state, CancellationToken::new()).await;
    assert!(matches!(error, Err(RunError::OtherNode { .. })));
}

/// The program with few files to open.
#[cfg(unix)]
struct Squeezed(std::process::Child);

#[cfg(unix)]
impl Drop for Squeezed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[cfg(unix)]
impl Squeezed {
    /// Starts it with a limit of open files that it cannot raise.
    fn start(dir: &Path, limit: u32, api: SocketAddr, runtime: SocketAddr) -> Self {
        let squeeze = format!("ulimit -n {limit} && exec \"$0\" run --listen 127.0.0.1:0");
        let program = std::process::Command::new("sh")
            .args(["-c", &squeeze, env!("CARGO_BIN_EXE_dgon-agent")])
            .env_clear()
            .env("DGON_STATE_DIR", dir.join("state"))
            .env("DGON_CONTROL_PLANE_API", format!("http://{api}"))
            .env("DGON_RUNTIMES_ENDPOINTS", format!("http://{runtime}"))
            .env("DGON_RUNTIMES_DETECT", "false")
            .current_dir(dir)
            .stdout(std::process::Stdio::null())
            .stderr(std::fs::File::create(dir.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self(program)
    }
}

#[cfg(unix)]
async fn status_of(state: &StateDir, wanted: impl Fn(&Status) -> bool) -> Status {
    let give_up = Instant::now() + WITHIN;
    loop {
        let answer = local::ask(&state.socket(), Request::Status).await;
        match answer {
            Ok(Answer::Status(status)) if wanted(&status) => return *status,
            other => assert!(Instant::now() < give_up, "{other:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_idle_sockets_with_few_files_disturb_nobody() {
    // Once per process; a second test in it finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let dir = tempfile::tempdir().unwrap();
    let state = enrolled(dir.path());
    let stub = StubControlPlane::start(node_id(), &[0; 32], Script::default())
        .await
        .unwrap();
    let sim = SimRuntime::start(SimConfig::new(Kind::Ollama))
        .await
        .unwrap();
    let _agent = Squeezed::start(dir.path(), 128, stub.address(), sim.addr());
    let is_up = |status: &Status| {
        status.link.phase == Phase::Connected && status.runtimes.iter().any(|one| one.ready)
    };
    let before = status_of(&state, is_up).await;
    let proxy: SocketAddr = before
        .proxy
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(tokio::net::TcpStream::connect(proxy).await.unwrap());
    }
    let model = &before.runtimes[0].models[0].id;
    let asked = timeout(WITHIN, chat(&before.proxy, model)).await.unwrap();
    assert_eq!(asked, 200, "a request is served");
    let seen = timeout(WITHIN, stub.until(|seen| seen.receipts.len() == 1)).await;
    assert!(seen.is_ok(), "its receipt is sent");
    let after = status_of(&state, |status| status.spool.acked_seq == 1).await;
    assert_eq!(after.link.phase, Phase::Connected);
    assert_eq!(
        after.link.session_id, before.link.session_id,
        "the link was not cut"
    );
    assert_eq!(after.spool.not_ready, None);
    assert!(after.runtimes.iter().any(|one| one.ready), "looks go on");
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("may open 128 files"), "{log}");
    let refusals = log
        .lines()
        .filter(|line| line.contains("cannot accept"))
        .count();
    assert_eq!(refusals, 0, "clients never take what is set aside: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_loopback_addresses_are_served() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // A machine without IPv6 has one only.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let state = enrolled(dir.path());
    let sim = SimRuntime::start(SimConfig::new(Kind::Ollama))
        .await
        .unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let running = Running::start(&config(nobody, sim.addr()), &state);
    let status = running
        .until(|status| status.runtimes.iter().any(|one| one.ready))
        .await;
    let model = &status.runtimes[0].models[0].id;
    let other = status.proxy.replace("127.0.0.1", "[::1]");
    for proxy in [&status.proxy, &other] {
        assert_eq!(chat(proxy, model).await, 200, "{proxy}");
    }
    running.stop().await;
}
