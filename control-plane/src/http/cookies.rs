//! The two cookies of a session, those of requests to a wallet and to an issuer, that of a sign-in that lacks its code, and that
//! of a browser in which a password was right before.
//! `HttpOnly` and `SameSite=Lax` always; over HTTPS also `Secure` and the
//! `__Host-` prefix, which plain HTTP on a local network cannot have.

use crate::accounts::{BrowserMark, Tokens};
use http::header::{self, HeaderMap, HeaderValue};

const ACCESS: &str = "dgon_access";
const REFRESH: &str = "dgon_refresh";
const WALLET: &str = "dgon_wallet";
const PENDING: &str = "dgon_pending";
const OIDC: &str = "dgon_oidc";
const BROWSER: &str = "dgon_browser";
const HOST_PREFIX: &str = "__Host-";

/// Reads and writes the cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookies {
    is_https: bool,
}

impl Cookies {
    /// Cookies for an HTTPS or a plain address.
    pub fn new(is_https: bool) -> Self {
        Self { is_https }
    }

    /// The access token of a request.
    pub fn access<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.find(headers, ACCESS)
    }

    /// The refresh token of a request.
    pub fn refresh<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.find(headers, REFRESH)
    }

    /// The request that a wallet of this browser is to sign.
    pub fn wallet<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.find(headers, WALLET)
    }

    /// The header that gives a browser such a request; an empty one takes it away.
    pub fn set_wallet(
        &self,
        sealed: &str,
        lifetime_s: i64,
    ) -> [(http::HeaderName, HeaderValue); 1] {
        [self.header(WALLET, sealed, lifetime_s)]
    }

    /// The sign-in of this browser that lacks its second factor.
    pub fn pending<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.find(headers, PENDING)
    }

    /// The header that gives a browser such a sign-in; an empty one takes it away.
    pub fn set_pending(
        &self,
        sealed: &str,
        lifetime_s: i64,
    ) -> [(http::HeaderName, HeaderValue); 1] {
        [self.header(PENDING, sealed, lifetime_s)]
    }

    /// The sign-in at an issuer that this browser began.
    pub fn oidc<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.find(headers, OIDC)
    }

    /// The header that gives a browser such a request; an empty one takes it away.
    pub fn set_oidc(&self, sealed: &str, lifetime_s: i64) -> [(http::HeaderName, HeaderValue); 1] {
        [self.header(OIDC, sealed, lifetime_s)]
    }

    /// What makes this browser known to an account. It outlasts the session: it is for the next sign-in.
    pub fn browser<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.find(headers, BROWSER)
    }

    /// Headers that give a browser the tokens of a session, and what makes it known.
    pub fn set(
        &self,
        tokens: &Tokens,
        browser: Option<&BrowserMark>,
    ) -> Vec<(http::HeaderName, HeaderValue)> {
        let mut headers = vec![
            self.header(ACCESS, &tokens.access, tokens.access_s),
            self.header(REFRESH, &tokens.refresh, tokens.refresh_s),
        ];
        headers.extend(browser.map(|mark| self.header(BROWSER, &mark.sealed, mark.lifetime_s)));
        headers
    }

    /// Headers that take the tokens away.
    pub fn clear(&self) -> [(http::HeaderName, HeaderValue); 2] {
        [self.header(ACCESS, "", 0), self.header(REFRESH, "", 0)]
    }

    fn prefix(&self) -> &'static str {
        if self.is_https { HOST_PREFIX } else { "" }
    }

    fn find<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, value)| key.strip_prefix(self.prefix()) == Some(name) && !value.is_empty())
            .map(|(_, value)| value)
    }

    fn header(&self, name: &str, value: &str, max_age_s: i64) -> (http::HeaderName, HeaderValue) {
        let secure = if self.is_https { "; Secure" } else { "" };
        let text = format!(
            "{}{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
            self.prefix(),
            max_age_s.max(0)
        );
        // Tokens are base64url and names are ours: always a header value.
        let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
        (header::SET_COOKIE, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        Tokens {
            access: "aaa".into(),
            refresh: "rrr".into(),
            access_s: 600,
            refresh_s: 604_800,
        }
    }

    #[test]
    fn cookies_are_written_exactly() {
        let mark = BrowserMark {
            sealed: "bbb".into(),
            lifetime_s: 86_400,
        };
        let texts = |is_https, mark| {
            let headers = Cookies::new(is_https).set(&tokens(), mark).into_iter();
            let texts = headers.map(|(_, value)| value.to_str().expect("text").to_owned());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            texts(true, Some(&mark)),
            [
                "__Host-dgon_access=aaa; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure",
                "__Host-dgon_refresh=rrr; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure",
                "__Host-dgon_browser=bbb; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure",
            ]
        );
        assert_eq!(
            texts(false, None),
            [
                "dgon_access=aaa; Path=/; Max-Age=600; HttpOnly; SameSite=Lax",
                "dgon_refresh=rrr; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax",
            ]
        );
        let [(_, gone), _] = Cookies::new(false).clear();
        assert_eq!(
            gone,
            "dgon_access=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("x=1; dgon_access=a=b"),
        );
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("__Host-dgon_refresh=r"),
        );
        assert_eq!(Cookies::new(false).access(&headers), Some("a=b"));
        assert_eq!(Cookies::new(false).refresh(&headers), None);
        assert_eq!(Cookies::new(true).access(&headers), None);
        assert_eq!(Cookies::new(true).refresh(&headers), Some("r"));
    }
}
