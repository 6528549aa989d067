//! The proxy of the environment: which one stands before a target, and the tunnel through it.
//!
//! Names in lower case win over those in capitals, as with curl. Only plain HTTP proxies with `CONNECT` are spoken
//! to; Basic is the one way to log in. A tunnel is used for unencrypted targets too, because the link is a
//! WebSocket and needs one. A proxy's address is shown without its user and password, always.

use super::{Target, resolve};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// Longest head of a proxy's answer, bytes.
const HEAD_BYTES: usize = 8 * 1024;
/// Port of a proxy whose address names none.
const DEFAULT_PORT: u16 = 80;

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The variable holds no address that can be used. Its value is not repeated: it may hold a password.
    #[error("{variable} holds no usable proxy address: {why}")]
    Invalid {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The proxy takes no connection.
    #[error("the proxy {proxy} takes no connection")]
    Unreachable {
        /// The proxy.
        proxy: Box<Proxy>,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The proxy wants to know who asks.
    #[error("the proxy {proxy} {}", if *.knows_us { "does not accept its user and password" } else { "asks for a user and a password" })]
    Login {
        /// The proxy.
        proxy: Box<Proxy>,
        /// Whether the variable names a user.
        knows_us: bool,
    },
    /// The proxy makes no tunnel.
    #[error("the proxy {proxy} refuses a tunnel to {target} with status {status}")]
    Refused {
        /// The proxy.
        proxy: Box<Proxy>,
        /// To where.
        target: Target,
        /// Its HTTP status.
        status: u16,
    },
    /// What answers there is no HTTP proxy.
    #[error("what answers at {proxy} is no HTTP proxy")]
    NotAProxy {
        /// The proxy.
        proxy: Box<Proxy>,
    },
}

/// One proxy, as a variable names it.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The variable.
    pub variable: &'static str,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `user:password`, decoded.
    login: Option<Zeroizing<String>>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.target(), self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Proxy {
    fn parse(variable: &'static str, text: &str) -> Result<Self, ProxyError> {
        let refuse = |why| ProxyError::Invalid { variable, why };
        let text = text.trim();
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(refuse("only http:// proxies are supported")),
            None => text,
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(Zeroizing::new(decoded(login))), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place).ok_or(refuse("the port is no number"))?;
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        Ok(Self {
            variable,
            host: host.to_owned(),
            port: port.unwrap_or(DEFAULT_PORT),
            login: login.filter(|login| !login.is_empty()),
        })
    }

    /// The proxy as something to connect to.
    pub fn target(&self) -> Target {
        Target {
            host: self.host.clone(),
            port: self.port,
            tls: false,
        }
    }

    /// Whether the variable names a user.
    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// A connection through the proxy to `target`.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub async fn tunnel(&self, target: &Target) -> Result<TcpStream, ProxyError> {
        let unreachable = |source| ProxyError::Unreachable {
            proxy: Box::new(self.clone()),
            source,
        };
        let mut tcp = self.connect().await.map_err(unreachable)?;
        let mut request =
            Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(login) = &self.login {
            let encoded = Zeroizing::new(STANDARD.encode(login.as_bytes()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&encoded);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        tcp.write_all(request.as_bytes())
            .await
            .map_err(unreachable)?;
        match self.answer(&mut tcp).await? {
            200..=299 => Ok(tcp),
            407 => Err(ProxyError::Login {
                proxy: Box::new(self.clone()),
                knows_us: self.has_login(),
            }),
            status => Err(ProxyError::Refused {
                proxy: Box::new(self.clone()),
                target: target.clone(),
                status,
            }),
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let text = |error: super::ConnectError| match error {
            super::ConnectError::Tcp { source, .. } | super::ConnectError::Name { source, .. } => {
                source
            }
            other => io::Error::other(other.to_string()),
        };
        let target = self.target();
        let addresses = resolve(&target).await.map_err(text)?;
        super::connect_to_any(&target, &addresses)
            .await
            .map_err(text)
    }

    /// The status of the proxy's answer. After a tunnel is made the target speaks only when spoken to, so nothing
    /// may follow the head.
    async fn answer(&self, tcp: &mut TcpStream) -> Result<u16, ProxyError> {
        let stranger = || ProxyError::NotAProxy {
            proxy: Box::new(self.clone()),
        };
        let mut head = Vec::with_capacity(512);
        loop {
            let read = tcp.read_buf(&mut head).await.map_err(|_| stranger())?;
            let begins_well = head.starts_with(&b"HTTP/1."[..head.len().min(7)]);
            if read == 0 || head.len() > HEAD_BYTES || !begins_well {
                return Err(stranger());
            }
            let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") else {
                continue;
            };
            let status = head
                .get(9..12)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| digits.parse().ok())
                .filter(|status| (100..600).contains(status))
                .ok_or_else(stranger)?;
            let is_exact = head.len() == end + 4;
            if (200..300).contains(&status) && !is_exact {
                return Err(stranger());
            }
            return Ok(status);
        }
    }
}

/// What the environment says about proxies, as it was when this was read.
#[derive(Debug, Default)]
pub struct ProxyVariables {
    https: Option<Result<Proxy, (&'static str, &'static str)>>,
    http: Option<Result<Proxy, (&'static str, &'static str)>>,
    direct: Vec<Direct>,
}

/// A target that needs no proxy.
#[derive(Debug, PartialEq, Eq)]
enum Direct {
    Everything,
    /// The name itself and all below it.
    Name(String, Option<u16>),
    /// Addresses with these leading bits.
    Network(IpAddr, u8),
}

impl ProxyVariables {
    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in lower case first.
    pub fn read(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 4]| {
            names.into_iter().find_map(|name| {
                let value = Zeroizing::new(environment(name)?);
                if value.trim().is_empty() {
                    return None;
                }
                Some(Proxy::parse(name, &value).map_err(|error| match error {
                    ProxyError::Invalid { variable, why } => (variable, why),
                    _ => (name, "it cannot be read"),
                }))
            })
        };
        let no_proxy = ["no_proxy", "NO_PROXY"]
            .into_iter()
            .find_map(environment)
            .unwrap_or_default();
        Self {
            https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            direct: no_proxy
                .split([',', ' '])
                .filter_map(Direct::parse)
                .collect(),
        }
    }

    /// The proxy on the way to `target`.
    ///
    /// # Errors
    /// [`ProxyError::Invalid`].
    pub fn proxy_for(&self, target: &Target) -> Result<Option<&Proxy>, ProxyError> {
        if target.is_this_machine() || self.direct.iter().any(|direct| direct.covers(target)) {
            return Ok(None);
        }
        let chosen = if target.tls { &self.https } else { &self.http };
        match chosen {
            None => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err((variable, why))) => Err(ProxyError::Invalid { variable, why }),
        }
    }
}

impl Direct {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = text.split_once('/') {
            return Some(Self::Network(address.parse().ok()?, bits.parse().ok()?));
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            let bits = if address.is_ipv4() { 32 } else { 128 };
            return Some(Self::Network(address, bits));
        }
        let (name, port) = split_port(text)?;
        let name = name.trim_start_matches("*.").trim_matches('.');
        (!name.is_empty()).then(|| Self::Name(name.to_ascii_lowercase(), port))
    }

    fn covers(&self, target: &Target) -> bool {
        match self {
            Self::Everything => true,
            Self::Name(name, port) => {
                let host = target.host.trim_end_matches('.').to_ascii_lowercase();
                let is_below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
                is_below && port.is_none_or(|port| port == target.port)
            }
            Self::Network(network, bits) => target
                .host
                .parse()
                .is_ok_and(|host| shares_bits(*network, host, *bits)),
        }
    }
}

fn shares_bits(network: IpAddr, host: IpAddr, bits: u8) -> bool {
    let wide = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((network, size), (host, host_size)) = (wide(network), wide(host));
    let shift = 128 - u32::from(bits.min(size));
    size == host_size && network.checked_shr(shift) == host.checked_shr(shift)
}

/// Host without brackets, and the port where there is one; `None` where the port is no number.
fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    match place.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((place, None)),
    }
}

/// Undoes the percent signs of a user and password.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match after.get(..2).filter(|_| first == b'%').and_then(hex) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, tls: bool) -> Target {
        Target {
            host: host.to_owned(),
            port: if tls { 443 } else { 80 },
            tls,
        }
    }

    fn variables(set: &[(&str, &str)]) -> ProxyVariables {
        ProxyVariables::read(&|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_scheme_has_its_variable_and_lower_case_wins() {
        let set = [
            ("HTTPS_PROXY", "http://upper:1"),
            ("https_proxy", "lower:2"),
            ("ALL_PROXY", "http://all"),
        ];
        let proxies = variables(&set);
        let name = |tls| {
            proxies
                .proxy_for(&target("plane.example", tls))
                .unwrap()
                .unwrap()
                .to_string()
        };
        assert_eq!(name(true), "lower:2 of https_proxy");
        assert_eq!(name(false), "all:80 of ALL_PROXY");
        assert!(
            variables(&[])
                .proxy_for(&target("x", true))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn this_machine_and_what_no_proxy_names_are_asked_directly() {
        let no_proxy = "corp.example, .lan,10.0.0.0/8,[fd00::1],h:8080";
        let proxies = variables(&[("HTTP_PROXY", "p:1"), ("NO_PROXY", no_proxy)]);
        for (host, direct) in [
            ("localhost", true),
            ("127.0.0.9", true),
            ("::1", true),
            ("corp.example", true),
            ("a.CORP.example", true),
            ("notcorp.example", false),
            ("box.lan", true),
            ("10.200.3.4", true),
            ("11.0.0.1", false),
            ("fd00::1", true),
            ("fd00::2", false),
            ("h", false),
        ] {
            let found = proxies.proxy_for(&target(host, false)).unwrap();
            assert_eq!(found.is_none(), direct, "{host}");
        }
        let all = variables(&[("HTTP_PROXY", "p:1"), ("NO_PROXY", "*")]);
        assert!(
            all.proxy_for(&target("x.example", false))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_repeating_it() {
        for bad in [
            "socks5://u:hunter2@h:1",
            "http://u:hunter2@:1",
            "http://u:hunter2@h:x",
        ] {
            let proxies = variables(&[("HTTPS_PROXY", bad)]);
            let error = proxies.proxy_for(&target("x.example", true)).unwrap_err();
            let text = format!("{error} {error:?} {proxies:?}");
            assert!(
                text.contains("HTTPS_PROXY") && !text.contains("hunter2"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_login_is_decoded_and_never_shown() {
        let proxy = Proxy::parse("HTTPS_PROXY", "http://me:p%40ss%3a@h:3128/").unwrap();
        assert_eq!(proxy.login.as_ref().unwrap().as_str(), "me:p@ss:");
        assert_eq!((proxy.host.as_str(), proxy.port), ("h", 3128));
        let shown = format!("{proxy} {proxy:?}");
        assert!(!shown.contains("me") && !shown.contains("ss"), "{shown}");
    }
}
