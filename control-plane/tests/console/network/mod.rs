//! A network of agents over real links, and what the console says of it. No row here was written by a test: each figure
//! is proven from what an agent sent.

mod access;
mod figures;
mod nodes;
mod pools;
mod receipts;
mod sums;
mod transfers;

use crate::agents::{self, SOON, answer_probe, probe, quick, status};
use crate::server::{Server, Who};
use dgon_control_plane::app::{Clock, Settings};
use dgon_control_plane_model::sketch::Sketch;
use dgon_protocol::frame::{
    Gpu, GpuLoad, Heartbeat, Host, Inventory, LifecycleStatus, Model, ProbeOutcome, Runtime,
    ToControlPlane,
};
use dgon_protocol::id::NodeId;
use dgon_protocol::receipt::{Draft, Source, Status, TokensSource};
use dgon_testkit::fleet::{Enrol, SimAgent, SimLink, unix_now};
use serde_json::Value;
use std::time::Duration;

/// The organisation of everybody who signs in here.
const OWN_ORG: &str = "main";
/// Between the two halves of what the agents send, ms.
const BETWEEN_MS: i64 = 60_000;
/// From the enrolment of an agent to its probe, ms.
const ENROLLED_MS: i64 = 7_000;

/// A receipt that an agent sent.
struct Sent {
    draft: Draft,
    hash: String,
    received_ms: i64,
}

/// A control plane with its console, and the agents on it. Their links stay open.
struct Network {
    console: Server,
    clock: Clock,
    /// The newest first.
    sent: Vec<Sent>,
    agents: Vec<(SimAgent, SimLink)>,
    // Last: the links end before the server does.
    server: agents::Server,
}

impl Network {
    async fn on(server: agents::Server, clock: Clock) -> Self {
        let console = Server::over(std::sync::Arc::clone(&server.app)).await;
        Self {
            console,
            clock,
            sent: Vec::new(),
            agents: Vec::new(),
            server,
        }
    }

    /// Enrols an agent of an organisation, which connects.
    async fn join(&mut self, name: &str, region: &str, org_id: Option<&str>) -> usize {
        let token = self.server.token_of(org_id, 1).await;
        self.join_with(name, Some(region), &token).await
    }

    /// Enrols an agent with a token, which connects.
    async fn join_with(&mut self, name: &str, region: Option<&str>, token: &str) -> usize {
        let options = Enrol {
            node_id: Some(NodeId::parse(name).expect("name")),
            region: region.map(str::to_owned),
        };
        let agent = SimAgent::enrol(&self.server.http, &self.server.url, token, options)
            .await
            .expect("enrol");
        let link = agent.connect().await.expect("connect");
        self.agents.push((agent, link));
        self.agents.len() - 1
    }

    /// Sends the next receipt of an agent and waits until it is acknowledged.
    async fn send(&mut self, at: usize, edit: impl FnOnce(&mut Draft)) {
        let (agent, link) = &mut self.agents[at];
        let mut kept = None;
        let receipt = agent
            .next_receipt_with(|draft| {
                edit(draft);
                kept = Some(draft.clone());
            })
            .expect("receipt");
        link.send_receipts([&receipt]).await.expect("send");
        let ack = agents::ack(link, receipt.seq).await;
        assert_eq!(ack.refused.len(), 0, "{ack:?}");
        let sent = Sent {
            draft: kept.expect("edited"),
            hash: receipt.signed.entry_hash.to_hex(),
            received_ms: self.clock.now_ms(),
        };
        self.sent.insert(0, sent);
    }

    /// Answers the probe of an agent, with its receipt.
    async fn activate(&mut self, at: usize) {
        let asked = probe(&mut self.agents[at].1).await;
        let id = asked.request_id.clone();
        self.send(at, |draft| {
            (draft.request_id, draft.source) = (id, Source::Probe)
        })
        .await;
        let link = &mut self.agents[at].1;
        answer_probe(link, &asked, ProbeOutcome::Ok).await;
        assert_eq!(status(link, LifecycleStatus::Active).await, "probe_passed");
    }

    async fn say(&mut self, at: usize, frame: ToControlPlane) {
        self.agents[at].1.send(&frame).await.expect("send");
    }

    /// Asks until the answer is as wanted; asks again after each event, and after a second, because what an event tells of may
    /// be written later. The clock moves, because sums are kept a second.
    async fn until(&self, who: &Who, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut events = self.server.app.bus.subscribe();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut last = Value::Null;
        let waiting = async {
            loop {
                self.clock.advance(1_000);
                last = self.console.read(who, path).await;
                if wanted(&last) {
                    return;
                }
                tokio::select! {
                    event = events.recv() => drop(event.expect("bus")),
                    _ = second.tick() => {}
                }
            }
        };
        let came = tokio::time::timeout(SOON, waiting).await;
        assert!(came.is_ok(), "{path} stays {last}");
        last
    }
}

/// Silence that makes a node offline stays below the age that the node headers may have.
fn settings() -> Settings {
    Settings {
        offline_after: Duration::from_secs(100),
        // The gaps are looked for as often as this.
        gap_after: Duration::from_millis(50),
        ..quick()
    }
}

/// Runs a test on SQLite and on PostgreSQL, on a clock that stands at now.
async fn on_both<F, Fut>(test: F)
where
    F: Fn(Network) -> Fut,
    Fut: Future<Output = ()>,
{
    on_both_with(settings, test).await;
}

/// The same with other thresholds.
async fn on_both_with<F, Fut>(settings: fn() -> Settings, test: F)
where
    F: Fn(Network) -> Fut,
    Fut: Future<Output = ()>,
{
    let now = || Clock::manual(i64::try_from(unix_now().as_millis()).expect("time"));
    let clock = now();
    let server = agents::Server::start_with(settings(), clock.clone()).await;
    test(Network::on(server, clock).await).await;
    let clock = now();
    let server = agents::Server::start_on_postgres_with(settings(), clock.clone()).await;
    test(Network::on(server, clock).await).await;
}

/// Two active agents in two regions, one of them another organisation's, that served in two halves a minute apart.
async fn busy(network: &mut Network) {
    let own = network.join("rig-own", "eu-west", Some(OWN_ORG)).await;
    let foreign = network.join("rig-foreign", "us-east", Some("others")).await;
    network.clock.advance(ENROLLED_MS);
    for at in [own, foreign] {
        network.activate(at).await;
    }
    for half in 0..2u64 {
        if half > 0 {
            network.clock.advance(BETWEEN_MS);
        }
        for n in 0..6u64 {
            let at = if n % 3 == 0 { foreign } else { own };
            network.send(at, |draft| vary(draft, half * 6 + n)).await;
        }
    }
}

/// Receipts that differ in everything that a filter or a sum looks at.
fn vary(draft: &mut Draft, n: u64) {
    draft.model_id = ["llama3.1:8b", "phi4"][(n % 2) as usize].to_owned();
    draft.source = [Source::Local, Source::Gateway, Source::Job][(n % 3) as usize];
    draft.status = match n % 6 {
        1 => Status::Error,
        4 => Status::Cancelled,
        _ => Status::Ok,
    };
    draft.hedged = n.is_multiple_of(4);
    draft.cache_hit = [None, Some(true), Some(false)][(n / 2 % 3) as usize];
    draft.ttft_ms = Some(50 + 10 * n);
    (draft.tokens_input, draft.tokens_output) = (100 + n, 10 + n);
    if n == 5 {
        (draft.tokens_source, draft.tokens_input) = (Some(TokensSource::Unknown), 0);
        draft.tokens_output = 0;
    }
}

/// The 50th and 95th percentile of the time to first token, as the sums have it.
fn ttft(of: &[&Sent]) -> (Value, Value) {
    let whole = of.iter().filter(|sent| sent.draft.status == Status::Ok);
    let sketch: Sketch = whole.filter_map(|sent| sent.draft.ttft_ms).collect();
    let value = |ms: Option<u64>| ms.map_or(Value::Null, Value::from);
    (value(sketch.p50()), value(sketch.p95()))
}

/// A time as answers have it.
fn time(unix_ms: i64) -> Value {
    let time = jiff::Timestamp::from_millisecond(unix_ms).expect("a time");
    Value::String(format!("{time:.3}"))
}

/// A machine with a GPU and two runtimes.
fn machine() -> Inventory {
    let runtime = |kind: &str, ready: bool, model: &str| Runtime {
        kind: kind.to_owned(),
        version: Some("1.2.3".to_owned()),
        ready,
        models: vec![Model {
            id: model.to_owned(),
            digest: Some("sha256:0123".to_owned()),
            size_bytes: Some(4_000_000_000),
            loaded: Some(false),
        }],
    };
    Inventory {
        host: Host {
            os_version: Some("Debian GNU/Linux 12".to_owned()),
            cpu: Some("Ryzen 9".to_owned()),
            cores: Some(24),
            memory_mib: Some(65_536),
        },
        gpus: vec![Gpu {
            index: 0,
            name: "NVIDIA GeForce RTX 4090".to_owned(),
            uuid: Some("GPU-1".to_owned()),
            vram_mib: Some(24_564),
            unified_memory: None,
            driver: Some("550.54".to_owned()),
            cuda: Some("12.4".to_owned()),
            pci: None,
            backend: "nvml".to_owned(),
            mig: Vec::new(),
        }],
        runtimes: vec![
            runtime("vllm", true, "phi4"),
            runtime("ollama", true, "llama3.1:8b"),
        ],
        ..Inventory::default()
    }
}

fn beat() -> Heartbeat {
    Heartbeat {
        uptime_s: 77,
        gpus: vec![GpuLoad {
            index: 0,
            util_pct: Some(63.0),
            vram_used_mib: Some(9_000),
            temp_c: Some(71.0),
            power_w: Some(310.0),
            ..GpuLoad::default()
        }],
        cpu_pct: Some(12.5),
        in_flight: 3,
        queue: Some(2),
        spool_depth: 5,
        ..Heartbeat::default()
    }
}
