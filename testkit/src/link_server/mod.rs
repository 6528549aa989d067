//! The control plane's side of the agent link, small enough to step by hand.
//!
//! It speaks the real protocol: checks the upgrade's HMAC and the proof of the key, verifies every receipt and the
//! chain, keeps what it has durably in memory, and acknowledges as its script says. It is no model of the real
//! one's ingest; it is the peer that an agent's tests need.

mod answers;
mod session;

pub use answers::StreamAnswer;

use dgon_protocol::chain::Head;
use dgon_protocol::error::ErrorType;
use dgon_protocol::frame::{
    Heartbeat, Hello, Inventory, IssueKind, JobUpdate, ProbeResult, SealedKeys, SealedWelcome,
    ToAgent,
};
use dgon_protocol::id::NodeId;
use dgon_protocol::order::OrderKeys;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long [`StubControlPlane::until`] waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the stub behaves. It can change between and within sessions.
#[derive(Debug, Clone)]
pub struct Script {
    /// Whether receipts are acknowledged.
    pub acks: bool,
    /// Receipts with these `seq` are refused: acknowledged, and not kept.
    pub refuses: BTreeMap<u64, ErrorType>,
    /// Drop the connection once this `seq` is kept, before it is acknowledged. Happens once.
    pub drop_at: Option<u64>,
    /// Say in `welcome` that everything up to here is there, whatever is.
    pub welcome_acked: Option<u64>,
    /// Refuse the upgrade with this status and `Retry-After` in seconds.
    pub refuse_upgrade: Option<(u16, u64)>,
    /// Heartbeat period of `welcome`, s.
    pub heartbeat_s: u32,
    /// What it does wrong about `welcome`.
    pub welcome: WelcomeFault,
    /// Entry bytes that `welcome` shows as the newest receipt; what is kept, where absent.
    pub welcome_receipt: Option<Vec<u8>>,
    /// Whether it reads what the agent sends once a session stands.
    pub reads: bool,
    /// Keys of orders that `welcome` names.
    pub order_keys: OrderKeys,
    /// The clock of its challenge less this machine's, ms.
    pub clock_ahead_ms: i64,
}

/// How a server fails to prove itself.
#[derive(Debug, Clone, Default)]
pub enum WelcomeFault {
    /// It does not.
    #[default]
    None,
    /// It does not know the secret and makes a proof with another.
    OtherSecret,
    /// It plays a handshake again that it overheard.
    Replay(Recorded),
    /// It sends this instead of a welcome.
    Instead(Box<ToAgent>),
}

/// A handshake as an eavesdropper has it.
#[derive(Debug, Clone)]
pub struct Recorded {
    nonce: String,
    welcome: SealedWelcome,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            acks: true,
            refuses: BTreeMap::new(),
            drop_at: None,
            welcome_acked: None,
            refuse_upgrade: None,
            heartbeat_s: 10,
            welcome: WelcomeFault::None,
            welcome_receipt: None,
            reads: true,
            order_keys: OrderKeys::default(),
            clock_ahead_ms: 0,
        }
    }
}

/// What the stub has seen. Grows only.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Kept receipts by `seq`: their entry bytes.
    pub receipts: BTreeMap<u64, Vec<u8>>,
    /// Receipts that came again with the same bytes.
    pub repeats: u64,
    /// `seq` of refused receipts.
    pub refused: Vec<u64>,
    /// Sessions that reached `welcome`.
    pub sessions: u64,
    /// Upgrades that were refused.
    pub refused_upgrades: u64,
    /// Whether a session stands now.
    pub connected: bool,
    /// The last `hello`.
    pub hello: Option<Hello>,
    /// Heartbeats so far.
    pub heartbeats: u64,
    /// The last heartbeat.
    pub heartbeat: Option<Heartbeat>,
    /// Inventories after `hello`.
    pub inventories: Vec<Inventory>,
    /// Results of probes.
    pub probes: Vec<ProbeResult>,
    /// What became of jobs.
    pub jobs: Vec<JobUpdate>,
    /// Issues that the agent told of.
    pub issues: Vec<IssueKind>,
    /// Reasons of `bye`.
    pub byes: Vec<String>,
    /// Binary frames.
    pub relayed: Vec<Vec<u8>>,
    /// What the agent did wrong. A test ends with this empty.
    pub violations: Vec<String>,
    /// The last handshake that reached a welcome.
    pub recorded: Option<Recorded>,
    /// Handshakes that got an answer to `hello`, whatever it was.
    pub answered: u64,
    head: Head,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            receipts: BTreeMap::new(),
            repeats: 0,
            refused: Vec::new(),
            sessions: 0,
            refused_upgrades: 0,
            connected: false,
            hello: None,
            heartbeats: 0,
            heartbeat: None,
            inventories: Vec::new(),
            probes: Vec::new(),
            jobs: Vec::new(),
            issues: Vec::new(),
            byes: Vec::new(),
            relayed: Vec::new(),
            violations: Vec::new(),
            recorded: None,
            answered: 0,
            head: Head::EMPTY,
        }
    }
}

/// What a session is asked to send.
enum Out {
    Frame(ToAgent),
    Relay(Vec<u8>),
    /// Any text, frame or not.
    Text(String),
    Ping,
}

struct Shared {
    node_id: NodeId,
    secret: Vec<u8>,
    script: watch::Sender<Script>,
    seen: watch::Sender<Seen>,
    /// Frames for the session that stands, taken by it.
    outbox: watch::Sender<Option<mpsc::Sender<Out>>>,
    cut: watch::Sender<CancellationToken>,
}

/// The stub. It ends when this is dropped.
pub struct StubControlPlane {
    address: SocketAddr,
    shared: Arc<Shared>,
    _ends: DropGuard,
}

impl StubControlPlane {
    /// Starts a control plane that knows one node.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(node_id: NodeId, secret: &[u8], script: Script) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            node_id,
            secret: secret.to_vec(),
            script: watch::Sender::new(script),
            seen: watch::Sender::new(Seen::default()),
            outbox: watch::Sender::new(None),
            cut: watch::Sender::new(CancellationToken::new()),
        });
        let end = CancellationToken::new();
        tokio::spawn(session::accept(listener, Arc::clone(&shared), end.clone()));
        Ok(Self {
            address,
            shared,
            _ends: end.drop_guard(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of the link on this host, or on a proxy before it.
    pub fn link_url(at: SocketAddr) -> String {
        format!("ws://{at}{}", dgon_protocol::frame::LINK_PATH)
    }

    /// Changes the script.
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        self.shared.script.send_modify(change);
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// Forgets receipts after `seq`, like a database that was restored from a backup.
    pub fn restore_to(&self, seq: u64) {
        self.shared.seen.send_modify(|seen| {
            seen.receipts.split_off(&(seq + 1));
            seen.head = session::head_of(&seen.receipts);
        });
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// What was seen instead, after 30 seconds.
    pub async fn until(&self, condition: impl FnMut(&Seen) -> bool) -> Result<Seen, Box<Seen>> {
        let mut seen = self.shared.seen.subscribe();
        match tokio::time::timeout(PATIENCE, seen.wait_for(condition)).await {
            Ok(Ok(seen)) => Ok(seen.clone()),
            _ => Err(Box::new(self.seen())),
        }
    }

    /// Sends a frame in the session that stands; `false` where there is none.
    pub async fn send(&self, frame: ToAgent) -> bool {
        self.put(Out::Frame(frame)).await
    }

    /// Sends a binary frame in the session that stands; `false` where there is none.
    pub async fn send_relay(&self, frame: Vec<u8>) -> bool {
        self.put(Out::Relay(frame)).await
    }

    /// Sends a set of order keys, sealed with `secret` for the session that stands; `false` where there is none.
    pub async fn send_keys(&self, keys: OrderKeys, secret: &[u8]) -> bool {
        let session_id = format!("s-{}", self.seen().sessions);
        match SealedKeys::seal(keys, secret, &session_id) {
            Ok(sealed) => self.send(ToAgent::Keys(sealed)).await,
            Err(_) => false,
        }
    }

    /// Sends any text; `false` where no session stands.
    pub async fn send_text(&self, text: String) -> bool {
        self.put(Out::Text(text)).await
    }

    /// Sends a WebSocket ping; `false` where no session stands.
    pub async fn ping(&self) -> bool {
        self.put(Out::Ping).await
    }

    async fn put(&self, frame: Out) -> bool {
        let outbox = self.shared.outbox.borrow().clone();
        match outbox {
            Some(outbox) => outbox.send(frame).await.is_ok(),
            None => false,
        }
    }

    /// Drops the connection of the session that stands, without a word.
    pub fn cut(&self) {
        self.shared
            .cut
            .send_replace(CancellationToken::new())
            .cancel();
    }
}
