//! Connections to the control plane, for the link and the HTTP calls alike.
//!
//! | module | owns |
//! |---|---|
//! | [`proxy`] | HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, and the tunnel through a proxy |
//! | [`tls`] | which certificates vouch for the control plane, and what is wrong with the one it shows |
//!
//! Invariants: both callers take the same way, so that what `enroll` and `doctor` can reach, the link can reach.
//! This machine itself is never asked through a proxy. Credentials of a proxy are neither logged nor shown. Every
//! way to fail is a type of its own, because each needs another cure.

pub mod proxy;
pub mod tls;

pub use dgon_agent_dataplane::stream::Stream;
pub use proxy::{Proxy, ProxyError, ProxyVariables};
pub use tls::{TlsFault, Trust, TrustError, TrustSource};

use dgon_agent_core::host::is_this_machine;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one of several addresses of a name may take; a dead IPv6 route must not hide a living IPv4 one.
const ONE_ADDRESS: Duration = Duration::from_millis(600);

/// What is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl Target {
    /// Whether this is the machine that the agent runs on.
    pub fn is_this_machine(&self) -> bool {
        is_this_machine(&self.host)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name service does not know the name, or does not answer.
    #[error("the name {host} cannot be resolved")]
    Name {
        /// The name.
        host: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nobody takes the connection.
    #[error("{target} takes no connection")]
    Tcp {
        /// Where.
        target: Target,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The proxy of the environment is in the way.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The certificates that should vouch for the control plane cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The connection cannot be encrypted, or not with whom it should be.
    #[error("no encrypted connection to {target}: {fault}")]
    Tls {
        /// Where.
        target: Target,
        /// Why.
        fault: TlsFault,
    },
}

/// How this machine reaches the control plane. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Network {
    proxies: Arc<ProxyVariables>,
    trust: Arc<Trust>,
}

impl Network {
    /// By these variables and this certificate file of the configuration.
    pub fn new(environment: &dyn Fn(&str) -> Option<String>, ca_file: Option<&Path>) -> Self {
        Self {
            proxies: Arc::new(ProxyVariables::read(environment)),
            trust: Arc::new(Trust::choose(environment, ca_file)),
        }
    }

    /// By the environment of this process.
    pub fn from_environment(ca_file: Option<&Path>) -> Self {
        Self::new(&|name| std::env::var(name).ok(), ca_file)
    }

    /// What vouches for the control plane.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The proxy on the way to `target`, where there is one.
    ///
    /// # Errors
    /// [`ProxyError::Invalid`] where the variable holds no usable address.
    pub fn proxy_for(&self, target: &Target) -> Result<Option<&Proxy>, ProxyError> {
        self.proxies.proxy_for(target)
    }

    /// A TCP connection to `target`, or to the proxy before it and through its tunnel.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn reach(&self, target: &Target) -> Result<TcpStream, ConnectError> {
        match self.proxy_for(target)? {
            Some(proxy) => Ok(proxy.tunnel(target).await?),
            None => dial(target).await,
        }
    }

    /// Encrypts a connection where the target asks for it.
    ///
    /// # Errors
    /// [`ConnectError::Trust`] and [`ConnectError::Tls`].
    pub async fn secure(&self, tcp: TcpStream, target: &Target) -> Result<Stream, ConnectError> {
        if target.tls {
            self.trust.secure(tcp, target).await
        } else {
            Ok(Stream::Plain(tcp))
        }
    }

    /// Reaches and secures.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self, target: &Target) -> Result<Stream, ConnectError> {
        let tcp = self.reach(target).await?;
        self.secure(tcp, target).await
    }
}

/// The addresses of a name.
///
/// # Errors
/// [`ConnectError::Name`].
pub async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, ConnectError> {
    let failed = |source| ConnectError::Name {
        host: target.host.clone(),
        source,
    };
    let found: Vec<SocketAddr> = tokio::net::lookup_host((target.host.as_str(), target.port))
        .await
        .map_err(failed)?
        .collect();
    if found.is_empty() {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )));
    }
    Ok(found)
}

/// Connects to the first address that answers.
async fn dial(target: &Target) -> Result<TcpStream, ConnectError> {
    connect_to_any(target, &resolve(target).await?).await
}

/// Connects to the first of these addresses that answers.
///
/// # Errors
/// [`ConnectError::Tcp`].
pub async fn connect_to_any(
    target: &Target,
    addresses: &[SocketAddr],
) -> Result<TcpStream, ConnectError> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (index, address) in addresses.iter().enumerate() {
        let is_last = index + 1 == addresses.len();
        let connecting = TcpStream::connect(address);
        // The last address may take as long as the caller gives it.
        let connected = if is_last {
            connecting.await
        } else {
            timeout(ONE_ADDRESS, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Tcp {
        target: target.clone(),
        source: last,
    })
}
