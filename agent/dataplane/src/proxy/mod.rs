//! The metering proxy: stands in front of the runtimes, passes bytes through and measures.
//!
//! | module | owns |
//! |---|---|
//! | [`settings`] | limits |
//! | `listener`, `idle_connections`, `wait_budget` | accepting clients, their limits, stopping |
//! | `worker_threads` | serving on threads of the proxy's own |
//! | `route` | which runtime a request is for |
//! | `serve` | what a request is, and its body |
//! | `exchange` | work whose body is in memory, up to the head of its answer |
//! | `client_body`, `body_reader` | request bodies: the client's time, size and memory |
//! | `headers`, `reply` | headers, the proxy's own answers |
//! | `model_list` | lists of models over several runtimes |
//! | `answer` | the body that a client gets, with its end held until the receipt is durable |
//! | `in_flight` | a request in progress and the promise that it ends in a receipt |
//! | `upstream`, `wake_filter` | connections to runtimes, and waking their task no more than it takes |
//! | `usage_refusals` | runtimes that refuse to be asked for usage |
//! | `probe` | the control plane's known prompt |
//! | [`relay`] | requests of consumers that the control plane relays, each under a work order |
//!
//! Invariants: answers pass through unchanged and unbuffered; no work looks finished to its client before its
//! receipt is durable; every request for work that was let in ends in exactly one receipt, also where it fails or the
//! client goes away; prompts and outputs are neither stored nor logged; memory per connection is bounded.

mod answer;
mod body_reader;
mod client_body;
mod exchange;
mod headers;
mod idle_connections;
mod in_flight;
mod listener;
mod model_list;
mod probe;
pub mod relay;
mod reply;
mod route;
mod serve;
pub mod settings;
mod upstream;
mod usage_refusals;
mod wait_budget;
mod wake_filter;
mod worker_threads;

pub use crate::sink::{ReceiptSink, SinkError};
pub use headers::REQUEST_ID_HEADER;
pub use model_list::MISSING_HEADER;
pub use settings::{HashKey, Settings};

pub use headers::{DETECT_HEADER, names_this_machine};
pub use reply::SERVER_NAME;

use crate::admission::{Admission, Limits};
use crate::runtime::Registry;
use dgon_protocol::receipt::Source;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use upstream::Pool;
use usage_refusals::UsageRefusals;
use worker_threads::Workers;

/// The proxy. Cheap to share behind an [`Arc`].
pub struct Proxy {
    registry: Registry,
    sink: Arc<dyn ReceiptSink>,
    admission: Admission,
    settings: Settings,
    pool: Arc<Pool>,
    usage_refusals: Arc<UsageRefusals>,
    workers: Arc<Workers>,
    /// Cut what is still in flight when the drain time is over.
    cut: CancellationToken,
}

impl Proxy {
    /// A proxy over the runtimes of `registry`, with receipts into `sink`.
    pub fn new(registry: Registry, sink: Arc<dyn ReceiptSink>, settings: Settings) -> Arc<Self> {
        let limits = Limits {
            in_flight: settings.max_in_flight,
            probes: settings.max_probes,
            body_bytes: settings.body_budget_bytes,
        };
        Arc::new(Self {
            registry,
            admission: Admission::new(Arc::clone(&sink), settings.mode.clone(), limits),
            sink,
            pool: Pool::keeping(settings.max_idle_upstream),
            settings,
            usage_refusals: Arc::default(),
            workers: Arc::default(),
            cut: CancellationToken::new(),
        })
    }

    /// The door that all work goes through.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Requests that are being served now, for the heartbeat.
    pub fn in_flight(&self) -> u32 {
        self.admission.in_flight()
    }

    /// Those of the machine's own users among them; the rest is the network's.
    pub fn in_flight_local(&self) -> u32 {
        self.admission.in_flight_of(Source::Local)
    }
}
