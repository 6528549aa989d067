//! Addresses of runtimes: the well-known ports and what the owner named.

use dgon_agent_core::host::is_this_machine;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Ports that runtimes listen on by default, on the loopback address.
const DEFAULT_PORTS: [u16; 5] = [11434, 8000, 8080, 3000, 80];

/// Where a runtime answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    host: String,
    port: u16,
    is_https: bool,
}

/// Why a text is not the address of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not the address of a runtime: {rule}; write it as http://HOST:PORT or https://HOST:PORT"
)]
pub struct EndpointError {
    text: String,
    rule: &'static str,
}

impl Endpoint {
    /// A plain HTTP endpoint from its parts. An IPv6 host comes without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            is_https: false,
        }
    }

    /// The same place, spoken to over TLS.
    pub fn over_tls(mut self) -> Self {
        self.is_https = true;
        self
    }

    /// Reads `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`.
    ///
    /// # Errors
    /// [`EndpointError`] names the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let refuse = |rule| EndpointError {
            text: text.to_owned(),
            rule,
        };
        let (is_https, authority) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").unwrap_or(text)),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !host.is_empty() => {
                let port = port
                    .parse()
                    .map_err(|_| refuse("the port must be a number from 1 to 65535"))?;
                (host, port)
            }
            _ => (authority, if is_https { 443 } else { 80 }),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(refuse("the host must be a name or an IP address"));
        }
        if port == 0 {
            return Err(refuse("the port must be a number from 1 to 65535"));
        }
        let endpoint = Self::new(host, port);
        Ok(if is_https {
            endpoint.over_tls()
        } else {
            endpoint
        })
    }

    /// The well-known ports on the loopback address.
    pub fn defaults() -> Vec<Self> {
        let loopback = Ipv4Addr::LOCALHOST.to_string();
        DEFAULT_PORTS
            .iter()
            .map(|port| Self::new(loopback.clone(), *port))
            .collect()
    }

    /// Host name or IP address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is spoken to over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// `HOST:PORT` as it is written in a `Host` header.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The same place with its host spelled in one way, so that `localhost` equals `127.0.0.1`. One port speaks
    /// one protocol, so the scheme is left out.
    pub fn normalised(&self) -> Self {
        let host = if is_this_machine(&self.host) {
            Ipv4Addr::LOCALHOST.to_string()
        } else {
            self.host.to_ascii_lowercase()
        };
        Self::new(host, self.port)
    }

    /// Whether who connects here reaches the proxy that listens at `listen`. Two addresses of this machine are two
    /// places, but for those that stand for all of them; the proxy of 127.0.0.1 serves `[::1]` too.
    pub fn reaches(&self, listen: SocketAddr) -> bool {
        let is_served = |ip: IpAddr| {
            ip.is_unspecified()
                || listen.ip().is_unspecified()
                || ip == listen.ip()
                || (ip == Ipv6Addr::LOCALHOST && listen.ip() == Ipv4Addr::LOCALHOST)
        };
        let proxy = Self::new(listen.ip().to_string(), listen.port());
        // A name that is this machine's may be any of its addresses.
        self.normalised() == proxy.normalised() && self.host.parse().map_or(true, is_served)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_usual_form() {
        for (text, authority) in [
            ("http://127.0.0.1:11434", "127.0.0.1:11434"),
            ("http://gpu-box:8000/", "gpu-box:8000"),
            ("localhost:8080", "localhost:8080"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("gpu-box", "gpu-box:80"),
            ("https://gpu-box", "gpu-box:443"),
            ("https://gpu-box:8443/", "gpu-box:8443"),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(endpoint.is_https(), text.starts_with("https"));
            assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), endpoint);
        }
        for text in ["", "http://a:0", "http://a:99999", "http://a/b:1", "a b:1"] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_name_of_this_machine_is_one() {
        let one = Endpoint::new("127.0.0.1", 8080);
        for host in ["localhost", "::1", "0.0.0.0", "127.0.0.1"] {
            assert_eq!(Endpoint::new(host, 8080).normalised(), one);
        }
        assert_ne!(Endpoint::new("gpu-box", 8080).normalised(), one);
    }
}
