//! Protection of sessions against other sites.
//!
//! Every request that changes something must come from the console itself (`Sec-Fetch-Site`, or `Origin` where
//! a browser does not send that) and, once a session exists, carry its CSRF token in `x-csrf-token`. A program
//! sends neither header and has no cookies that another site could ride on.

use http::header::{self, HeaderMap};
use http::{HeaderName, Method};

/// Carries the CSRF token.
pub static HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// Whether a method changes something.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the browser, if there is one, says that the request comes from this site.
pub fn is_same_site(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match text(HeaderName::from_static("sec-fetch-site")) {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => is_own_origin(headers, public_url),
    }
}

/// Whether the `Origin`, if there is one, is this site: for requests where browsers always send it, such as a
/// WebSocket's.
pub fn is_own_origin(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let Some(origin) = text(header::ORIGIN) else {
        return true;
    };
    let Some((_, authority)) = origin.split_once("://") else {
        return false;
    };
    let is_public =
        public_url.is_some_and(|url| url.trim_end_matches('/').eq_ignore_ascii_case(origin));
    is_public || text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(pairs: &[(&'static str, &'static str)], public_url: Option<&str>) -> bool {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        is_same_site(&headers, public_url)
    }

    #[test]
    fn other_sites_are_told_by_fetch_metadata_then_by_origin() {
        let host = ("host", "dgon.example:8080");
        assert!(check(&[host], None));
        assert!(check(&[host, ("sec-fetch-site", "same-origin")], None));
        assert!(!check(&[host, ("sec-fetch-site", "same-site")], None));
        assert!(!check(
            &[
                host,
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://dgon.example:8080")
            ],
            None
        ));
        assert!(check(&[host, ("origin", "http://dgon.example:8080")], None));
        assert!(!check(&[host, ("origin", "http://dgon.example")], None));
        assert!(!check(&[host, ("origin", "http://evil.example")], None));
        assert!(!check(&[host, ("origin", "null")], None));
        assert!(check(
            &[("host", "inner"), ("origin", "https://dgon.example")],
            Some("https://dgon.example/")
        ));
    }
}
