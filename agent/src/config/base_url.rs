//! The base address of an HTTP service, checked where it enters.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::fmt;

/// `http://` or `https://`, a host, maybe a port and a path; never a user, query or fragment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence that says what an address must be.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "{text:?} is not an address; write http://HOST[:PORT] or https://HOST[:PORT] without user, query \
                 or fragment"
            )
        };
        let url = Url::parse(text.trim()).map_err(|_| refuse())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then_some(Self(url)).ok_or_else(refuse)
    }

    /// The address of `path`, which starts with a slash, below this one.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        url
    }

    /// Host without brackets.
    pub fn host(&self) -> &str {
        self.0
            .host_str()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']')
    }

    /// Port, also where the scheme implies it.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(80)
    }

    /// Host and port as the `Host` header has them: without the port that the scheme implies.
    pub fn authority(&self) -> &str {
        self.0.authority()
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address as a URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
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
        let at = |base: &str| BaseUrl::parse(base).unwrap().at("/api/v1/x").to_string();
        assert_eq!(at("http://h:8080"), "http://h:8080/api/v1/x");
        assert_eq!(at("https://h/dgon/"), "https://h/dgon/api/v1/x");
        assert_eq!(BaseUrl::parse("http://[::1]:9/").unwrap().host(), "::1");
        assert_eq!(BaseUrl::parse("https://h").unwrap().port(), 443);
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
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
