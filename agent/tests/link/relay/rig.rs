//! A node with a real proxy before a simulated runtime, and a control plane that signs orders.

use crate::setup::{Agent, SECRET, WITHIN, node_id};
use dgon_agent::proxy::{Proxy, Settings};
use dgon_agent::runtime::{Endpoint, FoundRuntime, Registry, RuntimeKind};
use dgon_protocol::content::ContentKey;
use dgon_protocol::frame::{Model, Permission};
use dgon_protocol::id::RequestId;
use dgon_protocol::order::{OrderKeys, OrderSigningKey, WorkOrder};
use dgon_protocol::receipt::Sha256Hash;
use dgon_protocol::relay::{CancelReason, Cancelled, Kind, OpenStream, RelayFrame};
use dgon_testkit::link_server::{Script, Seen, StreamAnswer, StubControlPlane};
use dgon_testkit::runtime::{Kind as Server, SimConfig, SimRuntime};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const MODEL: &str = "dgon/sim-chat";
pub(crate) const CHAT: &str = "/v1/chat/completions";
/// Digest that the node knows of its model.
pub(crate) const DIGEST: Sha256Hash = Sha256Hash([0xab; 32]);

pub(crate) fn order_key(seed: u8) -> OrderSigningKey {
    OrderSigningKey::from_seed(&[seed; 32])
}

/// A live set of these keys.
pub(crate) fn live(keys: &[&OrderSigningKey]) -> OrderKeys {
    let now = now_ms();
    let keys = keys.iter().map(|key| {
        let hour = 3_600_000;
        key.order_key(now - 2 * hour, now + 2 * hour)
    });
    OrderKeys::new(keys.collect()).unwrap()
}

pub(crate) fn now_ms() -> i64 {
    i64::try_from(dgon_agent::clock::unix_ms()).unwrap()
}

/// The node and everything around it.
pub(crate) struct Rig {
    pub(crate) stub: StubControlPlane,
    pub(crate) agent: Agent,
    pub(crate) runtime: SimRuntime,
    pub(crate) proxy: Arc<Proxy>,
    _stop: DropGuard,
}

/// A fast runtime whose answers have so many tokens.
pub(crate) fn fast(tokens: u32) -> SimConfig {
    SimConfig {
        answer_tokens: Some(tokens),
        context: 1_000_000,
        parallel: 512,
        ..SimConfig::new(Server::Vllm)
    }
}

/// A runtime that would take an hour for its answer.
pub(crate) fn slow() -> SimConfig {
    SimConfig {
        tokens_per_second: Some(50.0),
        ..fast(180_000)
    }
}

pub(crate) fn found(addr: std::net::SocketAddr) -> FoundRuntime {
    let endpoint = Endpoint::new(addr.ip().to_string(), addr.port());
    let mut found = FoundRuntime::new(RuntimeKind::Vllm, endpoint);
    found.models = vec![Model {
        id: MODEL.to_owned(),
        digest: Some(DIGEST.to_string()),
        size_bytes: None,
        loaded: Some(true),
    }];
    found
}

impl Rig {
    pub(crate) async fn start(config: SimConfig) -> Self {
        Self::start_with(config, &[Permission::Gateway, Permission::Probe], |_, _| {}).await
    }

    /// The same with another permission, script and settings of the proxy.
    pub(crate) async fn start_with(
        config: SimConfig,
        allow: &[Permission],
        change: impl FnOnce(&mut Script, &mut Settings),
    ) -> Self {
        let runtime = SimRuntime::start(config).await.unwrap();
        let runtimes = vec![found(runtime.addr())];
        Self::before(runtime, runtimes, allow, change).await
    }

    /// The same before any runtimes.
    pub(crate) async fn before(
        runtime: SimRuntime,
        runtimes: Vec<FoundRuntime>,
        allow: &[Permission],
        change: impl FnOnce(&mut Script, &mut Settings),
    ) -> Self {
        let mut script = Script {
            heartbeat_s: 1,
            order_keys: live(&[&order_key(1)]),
            ..Script::default()
        };
        let mut settings = Settings::with_hash_key([7; 32]);
        change(&mut script, &mut settings);
        let stub = StubControlPlane::start(node_id(), &SECRET, script);
        let stub = stub.await.unwrap();
        let mut served = None;
        let agent = Agent::start_with(stub.address(), 0, allow, |parts| {
            settings.mode = parts.mode.clone();
            let sink = Arc::new(parts.receipts.clone());
            parts.proxy = Proxy::new(Registry::fixed(runtimes), sink, settings);
            served = Some(Arc::clone(&parts.proxy));
        })
        .await;
        let proxy = served.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let serving = Arc::clone(&proxy).serve_on_threads(vec![listener], stop.clone());
        tokio::spawn(serving);
        stub.until(|seen| seen.connected).await.unwrap();
        Self {
            stub,
            agent,
            runtime,
            proxy,
            _stop: stop.drop_guard(),
        }
    }

    pub(crate) async fn send(&self, id: u32, kind: Kind, payload: &[u8]) {
        let frame = RelayFrame {
            kind,
            stream_id: id,
            payload,
        };
        assert!(self.stub.send_relay(frame.encode().unwrap()).await);
    }

    pub(crate) async fn credit(&self, id: u32, bytes: u32) {
        self.send(id, Kind::Window, &bytes.to_be_bytes()).await;
    }

    pub(crate) async fn cancel(&self, id: u32) {
        let why = Cancelled::new(CancelReason::ClientGone, "nobody waits for it");
        self.send(id, Kind::Cancel, &why.encode().unwrap()).await;
    }

    /// Opens a stream and sends its body, as far as there is credit for it at the start.
    pub(crate) async fn ask(&self, id: u32, ask: &Ask) {
        self.send(id, Kind::Open, &ask.open()).await;
        assert!(ask.body.len() <= 64 * 1024);
        self.send(id, Kind::Body, &ask.body).await;
        self.send(id, Kind::End, b"").await;
    }

    pub(crate) async fn until(&self, condition: impl FnMut(&Seen) -> bool) -> Seen {
        let reached = self.stub.until(condition).await;
        let reached = reached.map_err(|seen| (seen.relayed.len(), seen.violations, seen.sessions));
        reached.unwrap()
    }

    /// Waits until the agent has ended the stream.
    pub(crate) async fn whole(&self, id: u32) -> StreamAnswer {
        let seen = self.until(|seen| seen.answer(id).is_over()).await;
        let answer = seen.answer(id);
        assert_eq!(answer.faults, Vec::<String>::new());
        assert_eq!(seen.violations, Vec::<String>::new());
        answer
    }

    /// Waits until the agent has given the stream up, and says why.
    pub(crate) async fn refused(&self, id: u32) -> CancelReason {
        let answer = self.whole(id).await;
        let why = answer.cancelled.unwrap();
        assert!(why.message.as_str().len() > 10, "{why:?}");
        assert_eq!((answer.head, answer.body.len()), (None, 0));
        why.reason
    }

    /// Waits for something of the runtime's, which tells of no changes.
    pub(crate) async fn until_runtime(&self, what: impl Fn(&SimRuntime) -> bool) {
        let mut look = tokio::time::interval(Duration::from_millis(5));
        let reached = tokio::time::timeout(WITHIN, async {
            while !what(&self.runtime) {
                look.tick().await;
            }
        });
        assert!(reached.await.is_ok(), "{:?}", self.runtime.stats());
    }
}

/// One request, and the order that it is asked under.
pub(crate) struct Ask {
    pub(crate) order: WorkOrder,
    pub(crate) signer: OrderSigningKey,
    pub(crate) content_key: ContentKey,
    pub(crate) path: String,
    pub(crate) body_bytes: u64,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    /// A streamed chat that says what was used.
    pub(crate) fn chat(number: u32) -> Self {
        Self::body(
            number,
            &serde_json::json!({
                "model": MODEL,
                "messages": [{"role": "user", "content": format!("question {number}")}],
                "stream": true,
                "stream_options": {"include_usage": true},
            }),
        )
    }

    pub(crate) fn body(number: u32, body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        let mut key = [9; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let content_key = ContentKey::from_bytes(key);
        let now = now_ms();
        Self {
            order: WorkOrder {
                request_id: RequestId::parse(format!("r_{number:026}.1")).unwrap(),
                node_id: node_id(),
                lease_id: None,
                model_id: MODEL.to_owned(),
                model_hash: Some(DIGEST),
                max_tokens: 1_000_000,
                temperature_micros: None,
                seed: None,
                request_hash: content_key.request_hash(&body).unwrap(),
                body_hash: content_key.body_hash(&body),
                content_key_hash: content_key.hash(),
                price_version: 0,
                start_by_ms: now + 60_000,
                finish_by_ms: now + 3_600_000,
                attempt: 1,
                parent: None,
                prefix_hash: None,
            },
            signer: order_key(1),
            content_key,
            path: CHAT.to_owned(),
            body_bytes: body.len() as u64,
            body,
        }
    }

    /// The same with something changed in its order.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut WorkOrder)) -> Self {
        change(&mut self.order);
        self
    }

    pub(crate) fn order_hash(&self) -> Sha256Hash {
        self.order.sign(&self.signer).unwrap().order_hash()
    }

    /// Payload of the `open` frame.
    pub(crate) fn open(&self) -> Vec<u8> {
        let signed = self.order.sign(&self.signer).unwrap();
        let order = String::from_utf8(signed.entry_bytes().to_vec()).unwrap();
        self.open_with(&order)
    }

    /// The same with any order.
    pub(crate) fn open_with(&self, order: &str) -> Vec<u8> {
        OpenStream {
            order: RawValue::from_string(order.to_owned()).unwrap(),
            content_key: self.content_key.clone(),
            path: self.path.clone(),
            content_type: "application/json".to_owned(),
            body_bytes: self.body_bytes,
        }
        .encode()
        .unwrap()
    }
}
