//! TLS: who vouches for the control plane, and what is wrong with the certificate that it shows.
//!
//! Exactly one source vouches: `control_plane.ca_file`, else `SSL_CERT_FILE`, else Mozilla's list that is built into
//! this program. The system's own store is not read: a static binary then trusts the same everywhere, and the list
//! costs less than the code that finds and parses the stores of three systems. Files are read at each connection,
//! so that a renewed one needs no restart.

use super::{ConnectError, Stream, Target};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Names a file of certificates for every program of a user.
const VARIABLE: &str = "SSL_CERT_FILE";
/// Largest file of certificates, bytes. The list of a whole system has a quarter of that.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
const DAY_S: u64 = 24 * 3600;

/// Where the certificates come from that vouch for the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TrustSource {
    /// Mozilla's list, built into this program.
    #[default]
    BuiltIn,
    /// A `ca_file` of agent.yaml.
    Configured(PathBuf),
    /// `SSL_CERT_FILE`.
    Environment(PathBuf),
}

impl fmt::Display for TrustSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the certificate authorities built into this program"),
            Self::Configured(file) => write!(f, "ca_file ({})", file.display()),
            Self::Environment(file) => write!(f, "{VARIABLE} ({})", file.display()),
        }
    }
}

/// Why nobody can vouch.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("the certificates of {from} cannot be read")]
    Read {
        /// Which file.
        from: TrustSource,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file has no certificate.
    #[error("{from} has no certificate in PEM form")]
    Empty {
        /// Which file.
        from: TrustSource,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// What is wrong with an encrypted connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// The certificate has expired.
    Expired {
        /// For how long, days; `None` where it is not known.
        days: Option<u64>,
    },
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is of another host.
    WrongHost {
        /// The names that it is for.
        names: Vec<String>,
    },
    /// None of ours vouches for it.
    UnknownIssuer,
    /// What answers speaks no TLS.
    NotTls,
    /// The connection was closed in the middle of the handshake.
    Closed,
    /// Anything else, in the library's words.
    Other(String),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { days: Some(days) } if *days > 0 => {
                write!(f, "the server's certificate expired {days} days ago")
            }
            Self::Expired { .. } => f.write_str("the server's certificate has expired"),
            Self::NotYetValid => f.write_str("the server's certificate is not valid yet"),
            Self::WrongHost { names } if names.is_empty() => {
                f.write_str("the server's certificate is of another host")
            }
            Self::WrongHost { names } => write!(
                f,
                "the server's certificate is of another host ({})",
                names.join(", ")
            ),
            Self::UnknownIssuer => {
                f.write_str("nobody that this agent trusts vouches for the server's certificate")
            }
            Self::NotTls => f.write_str("what answers there does not speak TLS"),
            Self::Closed => f.write_str("the server closed the connection during the handshake"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl TlsFault {
    fn of(error: &io::Error) -> Self {
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(bad)) => Self::of_certificate(bad),
            Some(rustls::Error::InvalidMessage(_)) => Self::NotTls,
            Some(other) => Self::Other(other.to_string()),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => Self::Closed,
                _ => Self::Other(error.to_string()),
            },
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired { days: None },
            CertificateError::ExpiredContext { time, not_after } => Self::Expired {
                days: Some(time.as_secs().saturating_sub(not_after.as_secs()) / DAY_S),
            },
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName => Self::WrongHost { names: Vec::new() },
            CertificateError::NotValidForNameContext { presented, .. } => Self::WrongHost {
                names: presented.iter().take(4).cloned().collect(),
            },
            // Another authority of the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            other => Self::Other(format!(
                "the server's certificate is not accepted ({other})"
            )),
        }
    }
}

/// Who vouches for the control plane.
#[derive(Debug, Default)]
pub struct Trust {
    source: TrustSource,
}

impl Trust {
    /// The configured file, else the environment's, else what is built in.
    pub fn choose(environment: &dyn Fn(&str) -> Option<String>, ca_file: Option<&Path>) -> Self {
        let source = match (ca_file, environment(VARIABLE).filter(|v| !v.is_empty())) {
            (Some(file), _) => TrustSource::Configured(file.to_owned()),
            (None, Some(file)) => TrustSource::Environment(file.into()),
            (None, None) => TrustSource::BuiltIn,
        };
        Self { source }
    }

    /// Which of the three it is.
    pub fn source(&self) -> &TrustSource {
        &self.source
    }

    /// Reads the certificates.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn roots(&self) -> Result<RootCertStore, TrustError> {
        let file = match &self.source {
            TrustSource::BuiltIn => {
                return Ok(RootCertStore {
                    roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
                });
            }
            TrustSource::Configured(file) | TrustSource::Environment(file) => file,
        };
        let text =
            crate::files::read_small(file, FILE_BYTES).map_err(|source| TrustError::Read {
                from: self.source.clone(),
                source,
            })?;
        let mut roots = RootCertStore::empty();
        // A block that cannot be read is passed over, as other programs do: the rest may be what is needed.
        let certificates = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(TrustError::Empty {
                from: self.source.clone(),
            });
        }
        Ok(roots)
    }

    /// How to speak TLS to who is vouched for.
    ///
    /// # Errors
    /// [`TrustError`].
    pub(crate) fn config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Setup(error.to_string()))?;
        let mut config = builder
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Encrypts a connection, once the server has proven its name.
    pub(super) async fn secure(
        &self,
        tcp: TcpStream,
        target: &Target,
    ) -> Result<Stream, ConnectError> {
        let config = self.config()?;
        let failed = |fault| ConnectError::Tls {
            target: target.clone(),
            fault,
        };
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| failed(TlsFault::Other("the host is no name for TLS".to_owned())))?;
        match TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
        {
            Ok(tls) => Ok(Stream::Tls(Box::new(tls))),
            Err(error) => Err(failed(TlsFault::of(&error))),
        }
    }
}
