//! The proxy of the environment: which one stands before a target, and the tunnel through it.
//!
//! Names in lower case win over those in capitals, as with curl; what the values mean is hyper-util's matcher's to say.
//! An address that it cannot use is an error here and never a reason to go without the proxy. Only plain HTTP proxies
//! with `CONNECT` are spoken to; Basic is the one way to log in. A tunnel is used for unencrypted targets too, because the link is a
//! WebSocket and needs one. A proxy's address is shown without its user and password, always.

use super::{Target, resolve};
use http::header::HeaderValue;
use http::uri::{Scheme, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use std::fmt;
use std::io;
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
    /// What the header for it says, user and password in it.
    login: Option<HeaderValue>,
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
    fn parse(variable: &'static str, value: &str) -> Result<Self, ProxyError> {
        let refuse = |why| ProxyError::Invalid { variable, why };
        let matcher = Matcher::builder().all(value.trim()).build();
        let found = matcher
            .intercept(&Uri::from_static("http://any.invalid/"))
            .ok_or(refuse("it is no address of a proxy"))?;
        let uri = found.uri();
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(refuse("only http:// proxies are supported"));
        }
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err(refuse("it names no host"));
        }
        // The matcher lets pass what stands for a port and is none.
        let after = uri
            .authority()
            .and_then(|place| place.as_str().strip_prefix(host));
        let port = match after.and_then(|after| after.strip_prefix(':')) {
            None => DEFAULT_PORT,
            Some(port) => port.parse().map_err(|_| refuse("the port is no number"))?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            variable,
            host: host.to_owned(),
            port,
            login: found.basic_auth().cloned(),
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
        let mut request = Zeroizing::new(Vec::with_capacity(512));
        request.extend_from_slice(
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").as_bytes(),
        );
        if let Some(login) = &self.login {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(login.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        tcp.write_all(&request).await.map_err(unreachable)?;
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
#[derive(Debug)]
pub struct ProxyVariables {
    https: Option<Result<Proxy, (&'static str, &'static str)>>,
    http: Option<Result<Proxy, (&'static str, &'static str)>>,
    /// Knows what NO_PROXY names; everything else it sends to some proxy.
    direct: Matcher,
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
        let no_proxy = ["no_proxy", "NO_PROXY"].into_iter().find_map(environment);
        // Spaces between entries, brackets and `*.` are read by other programs too, but not by the matcher.
        let no_proxy = no_proxy
            .unwrap_or_default()
            .replace(['[', ']'], "")
            .replace("*.", ".")
            .replace(' ', ",");
        Self {
            https: first(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            direct: Matcher::builder()
                .all("http://any.invalid")
                .no(no_proxy)
                .build(),
        }
    }

    /// The proxy on the way to `target`.
    ///
    /// # Errors
    /// [`ProxyError::Invalid`].
    pub fn proxy_for(&self, target: &Target) -> Result<Option<&Proxy>, ProxyError> {
        if target.is_this_machine() || self.goes_direct(target) {
            return Ok(None);
        }
        let chosen = if target.tls { &self.https } else { &self.http };
        match chosen {
            None => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err((variable, why))) => Err(ProxyError::Invalid { variable, why }),
        }
    }

    /// Whether NO_PROXY names the target. One that is no address is not named.
    fn goes_direct(&self, target: &Target) -> bool {
        let uri = format!("http://{target}/").parse::<Uri>();
        uri.is_ok_and(|uri| self.direct.intercept(&uri).is_none())
    }
}

impl Default for ProxyVariables {
    fn default() -> Self {
        Self::read(&|_| None)
    }
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
            "http://u:hunter2@h h",
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
        // `me:p@ss:` as RFC 7617 writes it.
        assert_eq!(proxy.login.as_ref().unwrap(), "Basic bWU6cEBzczo=");
        assert_eq!((proxy.host.as_str(), proxy.port), ("h", 3128));
        let shown = format!("{proxy} {proxy:?}");
        assert!(!shown.contains("me") && !shown.contains("ss"), "{shown}");
    }
}
