//! A connection to an endpoint, plain or TLS: the one way in which the agent reaches a runtime.

use super::{Access, Endpoint};
use crate::stream::Stream;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Connects. The caller sets the deadline.
///
/// # Errors
/// What the system or TLS says.
pub async fn connect(endpoint: &Endpoint, access: &Access) -> io::Result<Stream> {
    let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
    // A request is one small write; it must not wait for the one before.
    stream.set_nodelay(true)?;
    if !endpoint.is_https() {
        return Ok(Stream::Plain(stream));
    }
    let Some(tls) = access.tls() else {
        let message = "the endpoint is https and no certificates were loaded for it";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    let name = ServerName::try_from(endpoint.host().to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let stream = TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await?;
    Ok(Stream::Tls(Box::new(stream)))
}
