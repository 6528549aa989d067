//! An agent's link and spool without the rest of the agent: real files, real sockets.

use dgon_agent::link::{self, LinkSettings, LinkStatus, Parts, Prober};
use dgon_agent::liveness::LivenessSignal;
use dgon_agent::mode::ModeSwitch;
use dgon_agent::net::Network;
use dgon_agent::proxy::{Proxy, Settings};
use dgon_agent::receipts::{Receipts, Signer};
use dgon_agent::runtime::Registry;
use dgon_agent::sink::ReceiptSink as _;
use dgon_agent::spool::{DeadLetters, Folder, Spool};
use dgon_agent_core::facts::{RequestFacts, TokensSource};
use dgon_agent_core::link::Backoff;
use dgon_agent_core::spool::Limits;
use dgon_protocol::frame::{Heartbeat, Inventory, Permission, Probe, ProbeOutcome, ProbeResult};
use dgon_protocol::id::{NodeId, RequestId};
use dgon_protocol::key::{NodeKey, PublicKey};
use dgon_protocol::receipt::{Sha256Hash, Source, Status};
use dgon_testkit::link_server::{Script, Seen, StubControlPlane};
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const SECRET: [u8; 32] = [5; 32];
const KEY: [u8; 32] = [3; 32];
/// How long a test waits for what must come.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// Answers every probe at once.
struct Echo;

impl Prober for Echo {
    fn probe(&self, probe: Probe) -> Result<BoxFuture<'static, ProbeResult>, Box<ProbeResult>> {
        Ok(Box::pin(async move {
            ProbeResult {
                probe_id: probe.probe_id,
                request_id: Some(probe.request_id),
                outcome: ProbeOutcome::Ok,
                message: None,
                model: probe.model,
                tokens_input: 1,
                tokens_output: 1,
                ttft_ms: Some(1),
                latency_ms: 1,
            }
        }))
    }
}

/// The key that the agent's receipts are signed with.
pub(crate) fn agent_key() -> PublicKey {
    NodeKey::from_seed(&KEY).public()
}

pub(crate) fn node_id() -> NodeId {
    NodeId::parse("rig-7").unwrap()
}

pub(crate) async fn control_plane(script: Script) -> StubControlPlane {
    StubControlPlane::start(node_id(), &SECRET, script)
        .await
        .unwrap()
}

pub(crate) struct Agent {
    pub(crate) receipts: Receipts,
    pub(crate) letters: DeadLetters,
    pub(crate) mode: ModeSwitch,
    pub(crate) refresh: Arc<Notify>,
    pub(crate) inventory: watch::Sender<Arc<Inventory>>,
    pub(crate) status: watch::Receiver<LinkStatus>,
    stop: CancellationToken,
    link: JoinHandle<()>,
    _dir: TempDir,
}

impl Agent {
    /// An agent with `receipts` made before its link begins.
    pub(crate) async fn start(at: SocketAddr, receipts: u64, allow: &[Permission]) -> Self {
        Self::start_with(at, receipts, allow, |_| {}).await
    }

    /// The same with other parts.
    pub(crate) async fn start_with(
        at: SocketAddr,
        receipts: u64,
        allow: &[Permission],
        change: impl FnOnce(&mut Parts),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::from_seed(&KEY);
        let disk = Folder::open(&dir.path().join("spool")).unwrap();
        let spool = Spool::open(disk, &key.public().key_id(), Limits::default(), 0).unwrap();
        let letters = DeadLetters::in_dir(dir.path());
        let signer = Signer::new(key.clone(), node_id(), Some("eu".to_owned()));
        let sink = Receipts::start(spool, signer, letters.clone(), None).unwrap();
        record(&sink, receipts).await;

        let (inventory, inventory_in) = watch::channel(Arc::new(Inventory::default()));
        let (status_out, status) = watch::channel(LinkStatus::new(None));
        let (mode, refresh) = (ModeSwitch::default(), Arc::new(Notify::new()));
        let stop = CancellationToken::new();
        let settings = LinkSettings {
            url: StubControlPlane::link_url(at),
            node_id: node_id(),
            key,
            secret: SECRET.to_vec().into(),
            allow: allow.to_vec(),
            agent_version: "0.0.0".to_owned(),
            boot_id: "boot".to_owned(),
            flush_within: Duration::from_secs(10),
            backoff: Backoff::between(Duration::from_millis(1), Duration::from_millis(10)),
            network: Network::default(),
        };
        let mut parts = Parts {
            receipts: sink.clone(),
            inventory: inventory_in,
            heartbeat: heartbeat(sink.clone(), mode.clone()),
            prober: Arc::new(Echo),
            proxy: Proxy::new(
                Registry::fixed(Vec::new()),
                Arc::new(sink.clone()),
                Settings::with_hash_key([7; 32]),
            ),
            orders: Arc::default(),
            mode: mode.clone(),
            refresh: Arc::clone(&refresh),
            liveness: LivenessSignal::new("link"),
        };
        change(&mut parts);
        let link = tokio::spawn(link::run(settings, parts, status_out, stop.clone()));
        Self {
            receipts: sink,
            letters,
            mode,
            refresh,
            inventory,
            status,
            stop,
            link,
            _dir: dir,
        }
    }

    /// Makes receipts, a few dozen at a time.
    pub(crate) async fn record(&self, count: u64) {
        record(&self.receipts, count).await;
    }

    pub(crate) async fn until_link(&mut self, condition: impl FnMut(&LinkStatus) -> bool) {
        let waiting = self.status.wait_for(condition);
        let reached = tokio::time::timeout(WITHIN, waiting).await.is_ok();
        assert!(reached, "{:?}", self.status.borrow());
    }

    /// Waits until the agent knows that everything is acknowledged.
    pub(crate) async fn until_acknowledged(&self) {
        let mut status = self.receipts.watch();
        let reached = tokio::time::timeout(WITHIN, status.wait_for(|now| now.depth() == 0)).await;
        assert!(reached.is_ok(), "{:?}", self.receipts.status());
    }

    /// A client of this machine is served: the gate that the proxy asks is open, and its receipt is made.
    pub(crate) async fn serves(&self) {
        self.receipts.room().unwrap();
        self.record(1).await;
        assert!(!self.link.is_finished(), "the link's task is gone");
    }

    /// Waits for a panic of the link.
    pub(crate) async fn link_panic(self) -> bool {
        let ended = tokio::time::timeout(WITHIN, self.link).await.unwrap();
        ended.is_err_and(|error| error.is_panic())
    }

    /// Stops the link as the agent does, then the spool.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(WITHIN, self.link).await;
        ended.unwrap().unwrap();
        self.receipts.close().await;
    }
}

fn heartbeat(receipts: Receipts, mode: ModeSwitch) -> link::TakeHeartbeat {
    Arc::new(move || {
        let beat = Heartbeat {
            spool_depth: receipts.status().depth(),
            paused: mode.get() != dgon_agent::mode::Mode::Serving,
            paused_reason: mode.reason(),
            ..Heartbeat::default()
        };
        Box::pin(async move { beat })
    })
}

async fn record(receipts: &Receipts, count: u64) {
    let mut left = count;
    while left > 0 {
        let now = left.min(64);
        left -= now;
        let waiting = (0..now).map(|_| receipts.record(facts(receipts)));
        for recorded in futures_util::future::join_all(waiting).await {
            recorded.unwrap();
        }
    }
}

fn facts(receipts: &Receipts) -> RequestFacts {
    facts_of(receipts.next_request_id())
}

fn facts_of(request_id: RequestId) -> RequestFacts {
    RequestFacts {
        request_id,
        source: Source::Local,
        status: Status::Ok,
        failure: None,
        model_id: "m".to_owned(),
        model_hash: None,
        runtime: Some("ollama".to_owned()),
        started_ms: 1_800_000_000_000,
        ended_ms: 1_800_000_001_000,
        latency_ms: 1000,
        ttft_ms: None,
        gap_p95_ms: None,
        tokens_input: 1,
        tokens_output: 1,
        tokens_cached: None,
        tokens_source: TokensSource::Usage,
        prompt_hash: None,
        output_hash: None,
        checkpoints: Vec::new(),
        energy_mwh: None,
        order_hash: None,
    }
}

/// Entry bytes of a receipt that this node's key signed for this `seq`.
pub(crate) fn own_receipt(seq: u64) -> Vec<u8> {
    signed_receipt(seq, &NodeKey::from_seed(&KEY))
}

/// The same, signed with any key.
pub(crate) fn signed_receipt(seq: u64, key: &NodeKey) -> Vec<u8> {
    let signer = Signer::new(key.clone(), node_id(), None);
    let id = RequestId::parse("r_shown").unwrap();
    signer
        .sign(&facts_of(id), seq, Sha256Hash::ZERO)
        .entry_bytes
}

/// Everything up to `last_seq` is there once, in order, and the agent broke no rule.
pub(crate) fn assert_whole(seen: &Seen, last_seq: u64) {
    assert_eq!(seen.violations, Vec::<String>::new());
    assert_eq!(seen.receipts.len() as u64, last_seq);
    assert!(seen.receipts.keys().copied().eq(1..=last_seq));
}
