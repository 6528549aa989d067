//! The base address of an HTTP service, checked where it enters.

use crate::net::Target;
use http::Uri;
use serde::{Deserialize, Serialize};
use std::fmt;

/// `http://` or `https://`, a host, maybe a port and a path; never a user, query or fragment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl {
    target: Target,
    /// As the `Host` header has it.
    authority: String,
    /// Without the last slash; empty for the root.
    path: String,
}

impl BaseUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what an address must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text.trim()).ok_or_else(|| {
            format!(
                "{text:?} is not an address; write http://HOST[:PORT] or https://HOST[:PORT] without user, query \
                 or fragment"
            )
        })
    }

    fn read(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok().filter(|_| !text.contains('#'))?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        let host = authority.host().to_ascii_lowercase();
        let implied = if tls { 443 } else { 80 };
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => implied,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() || port == 0 || uri.query().is_some() {
            return None;
        }
        Some(Self {
            target: Target {
                host: bare.to_owned(),
                port,
                tls,
            },
            authority: if port == implied {
                host
            } else {
                format!("{host}:{port}")
            },
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// The address of `path`, which starts with a slash, below this one.
    pub fn at(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// `path`, which starts with a slash, as it is asked for at this host.
    pub fn path_of(&self, path: &str) -> String {
        format!("{}{path}", self.path)
    }

    /// Where to connect.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Host without brackets.
    pub fn host(&self) -> &str {
        &self.target.host
    }

    /// Port, also where the scheme implies it.
    pub fn port(&self) -> u16 {
        self.target.port
    }

    /// Host and port as the `Host` header has them: without the port that the scheme implies.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.target.tls
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.target.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> String {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_laid_below_the_base() {
        let at = |base: &str| BaseUrl::parse(base).unwrap().at("/api/v1/x");
        assert_eq!(at("http://h:8080"), "http://h:8080/api/v1/x");
        assert_eq!(at("https://h/dgon/"), "https://h/dgon/api/v1/x");
        assert_eq!(BaseUrl::parse("http://[::1]:9/").unwrap().host(), "::1");
        assert_eq!(BaseUrl::parse("https://h").unwrap().port(), 443);
        let shown = |base: &str| BaseUrl::parse(base).unwrap().to_string();
        assert_eq!(
            shown(" HTTPS://Plane.Example:443/ "),
            "https://plane.example"
        );
        assert_eq!(shown("http://h:443/a/b/"), "http://h:443/a/b");
        assert_eq!(
            BaseUrl::parse("http://[::1]:80").unwrap().authority(),
            "[::1]"
        );
    }

    #[test]
    fn what_is_no_base_address_is_refused() {
        for bad in [
            "",
            "h:1",
            "ftp://h",
            "http://",
            "http://u:p@h",
            "http://h/?q",
            "http://h/#f",
            "h",
            "http://h:",
            "http://h:0",
            "http://h:99999",
            "http://a b",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
