//! Simulated LLM runtimes: real HTTP servers that are byte-shaped like the servers an operator may run.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use dgon_testkit::runtime::{Kind, SimConfig, SimRuntime};
//! let runtime = SimRuntime::start(SimConfig::new(Kind::Ollama)).await?;
//! println!("http://{}", runtime.addr());
//! # Ok(()) }
//! ```
//!
//! One file per server holds all that is particular to it: routes, shapes, errors, metrics. The rest is shared:
//! `text` decides what is said, `engine` who may speak and for how long, `server` sends it.
//! Every answer tells the truth about its tokens, except where a fault asks for silence.

mod answer;
mod config;
mod engine;
mod llama_cpp;
mod ollama;
mod server;
mod stats;
mod tensorrt_llm;
mod text;
mod tgi;
mod triton;
mod vllm;

pub use config::{Faults, Kind, SimConfig};
pub use stats::{Exchange, Outcome, Stats};

use engine::Sim;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

type Dialect = fn(&Sim, &answer::Call) -> answer::Answer;

fn dialect(kind: Kind) -> Dialect {
    match kind {
        Kind::Ollama => ollama::answer,
        Kind::Vllm => vllm::answer,
        Kind::Tgi => tgi::answer,
        Kind::TensorRtLlm => tensorrt_llm::answer,
        Kind::LlamaCpp => llama_cpp::answer,
        Kind::Triton => triton::answer,
    }
}

/// How far Triton's metrics port is above its HTTP port.
const METRICS_OFFSET: u16 = 2;
/// Free ports that are tried for one whose metrics port is free too.
const PORT_TRIES: u32 = 64;

/// The socket of the server, and of its metrics where they have their own.
fn bind(config: &SimConfig) -> io::Result<(TcpSocket, Option<TcpSocket>)> {
    let socket_at = |at: SocketAddr| {
        let socket = if at.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_reuseaddr(true)?;
        socket.bind(at).map(|()| socket)
    };
    let mut tries = 0;
    loop {
        let socket = socket_at(config.bind)?;
        if config.kind != Kind::Triton {
            return Ok((socket, None));
        }
        let mut at = socket.local_addr()?;
        at.set_port(at.port().saturating_add(METRICS_OFFSET));
        tries += 1;
        match socket_at(at) {
            Ok(metrics) => return Ok((socket, Some(metrics))),
            Err(error) if config.bind.port() != 0 || tries == PORT_TRIES => return Err(error),
            Err(_) => {}
        }
    }
}

/// A running simulated runtime. Stops when it is dropped.
pub struct SimRuntime {
    sim: Arc<Sim>,
    addr: SocketAddr,
    _stop: DropGuard,
}

impl SimRuntime {
    /// Binds and serves. Servers that listen only when their model is loaded refuse connections until then.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        let (socket, metrics) = bind(&config)?;
        let addr = socket.local_addr()?;
        let listens_late = matches!(config.kind, Kind::Vllm | Kind::Tgi | Kind::TensorRtLlm);
        let sim = Sim::new(config);
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        if let Some(metrics) = metrics {
            let serve = server::serve(Arc::clone(&sim), metrics.listen(64)?, stop.clone(), true);
            tokio::spawn(serve);
        }
        if listens_late && !sim.config.loading.is_zero() {
            let sim = Arc::clone(&sim);
            tokio::spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(sim.config.loading) => {}
                    () = stop.cancelled() => return,
                }
                // The port is ours already, so this fails only where the machine is out of sockets.
                if let Ok(listener) = socket.listen(1024) {
                    server::serve(sim, listener, stop, false).await;
                }
            });
        } else {
            let listener = socket.listen(1024)?;
            tokio::spawn(server::serve(Arc::clone(&sim), listener, stop, false));
        }
        Ok(Self {
            sim,
            addr,
            _stop: guard,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it plays.
    pub fn kind(&self) -> Kind {
        self.sim.config.kind
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        self.sim.log().stats.clone()
    }

    /// The latest generation requests and what was sent to them, oldest first. Bounded.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.sim.log().exchanges()
    }

    /// Changes what goes wrong, for requests that come from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.sim.set_faults(faults);
    }
}
