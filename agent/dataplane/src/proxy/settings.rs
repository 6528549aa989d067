//! Limits of the proxy.

use crate::mode::ModeSwitch;
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Key of the hashes of prompts and outputs. Clones are one key: it changes with the node's key, while requests run.
#[derive(Clone)]
pub struct HashKey(Arc<Mutex<[u8; 32]>>);

impl HashKey {
    /// This key.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(key)))
    }

    /// The key now.
    pub fn get(&self) -> [u8; 32] {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another key from now on.
    pub fn set(&self, key: [u8; 32]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key;
    }
}

/// Measures what requests cost in energy.
pub trait EnergyMeter: Send + Sync {
    /// Begins to measure a request, without waiting; `None` where the cards tell nothing.
    fn begin(&self) -> Option<EnergyUse>;
}

/// The measurement of one request: awaited at its end it gives its share, thousandths of a watt-hour, or `None`
/// where the cards do not tell in time; dropped, it is forgotten.
pub type EnergyUse = BoxFuture<'static, Option<u64>>;

/// Limits and the key for hashes of prompts and outputs.
#[derive(Clone)]
pub struct Settings {
    /// Key of the hashes of prompts and outputs; derived from the node's key.
    pub hash_key: HashKey,
    /// Origins of web pages that may ask besides those of this machine.
    pub origins: Vec<String>,
    /// Names under which this machine may be asked, besides its own and its network's; `*` is any.
    pub hosts: Vec<String>,
    /// Whether work of the network is taken.
    pub mode: ModeSwitch,
    /// Work served at once; more is told to come back.
    pub max_in_flight: u32,
    /// Probes served at once, over all sessions of the link.
    pub max_probes: u32,
    /// Client connections at once, idle ones too. Where more come, the one that has idled longest is closed; where none
    /// idles, they wait to be accepted.
    pub max_connections: usize,
    /// Idle connections to runtimes that are kept.
    pub max_idle_upstream: usize,
    /// Largest request body that is read to find its model, bytes.
    pub max_body_bytes: usize,
    /// All request bodies held at once, bytes.
    pub body_budget_bytes: usize,
    /// How long a client may take for its request head, and may idle between requests.
    pub header_timeout: Duration,
    /// How long a client may pause inside its request body, or stop reading its answer. What moves is never given up.
    pub client_timeout: Duration,
    /// How long connecting to a runtime may take.
    pub connect_timeout: Duration,
    /// How long a runtime may take to its first byte once the request no longer moves; waiting in its queue, loading a model, and all of an answer
    /// that is no stream are inside of it. A client that has less patience leaves, which cancels the work.
    pub first_byte_timeout: Duration,
    /// How long a runtime may be silent after its first byte; some begin a stream before they have read the prompt.
    pub stall_timeout: Duration,
    /// How long running answers may go on after a shutdown was asked for.
    pub drain_timeout: Duration,
    /// Measures what requests cost in energy; without it receipts carry none.
    pub energy: Option<Arc<dyn EnergyMeter>>,
}

impl Settings {
    /// The defaults with this key.
    pub fn with_hash_key(hash_key: [u8; 32]) -> Self {
        Self {
            hash_key: HashKey::new(hash_key),
            origins: Vec::new(),
            hosts: Vec::new(),
            mode: ModeSwitch::default(),
            max_in_flight: 512,
            max_probes: 4,
            max_connections: 1024,
            max_idle_upstream: 256,
            max_body_bytes: 64 << 20,
            body_budget_bytes: 256 << 20,
            header_timeout: Duration::from_secs(30),
            client_timeout: Duration::from_secs(120),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(1800),
            stall_timeout: Duration::from_secs(600),
            drain_timeout: Duration::from_secs(30),
            energy: None,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("max_in_flight", &self.max_in_flight)
            .field("max_connections", &self.max_connections)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}
