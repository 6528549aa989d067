//! Headers that belong to one connection, and those that the proxy must set.

use crate::runtime::Endpoint;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Names the receipt of an answer.
pub const REQUEST_ID_HEADER: &str = "x-dgon-request-id";
/// Marks a request of runtime detection, which the proxy must not pass on.
pub(crate) const DETECT_HEADER: &str = "x-dgon-detect";

const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Takes out what is meant for one connection only: the fixed list and what `Connection` names.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Makes a client's headers fit for a runtime.
pub(super) fn prepare_request(headers: &mut HeaderMap, endpoint: &Endpoint) {
    strip_hop_by_hop(headers);
    // The server side of the proxy has answered the expectation already.
    headers.remove(EXPECT);
    match HeaderValue::from_str(&endpoint.authority()) {
        Ok(host) => headers.insert(HOST, host),
        Err(_) => headers.remove(HOST),
    };
}

/// Makes the headers of work fit: the body is in memory now, and its answer must be readable.
pub(super) fn prepare_work(headers: &mut HeaderMap, body_bytes: usize) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
    headers.remove(ACCEPT_ENCODING);
}

/// Whether the host that a browser or client named is this machine's or its network's: a page of another origin
/// that was rebound to the loopback address names its own.
pub(crate) fn is_local_host(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host else { return true };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.parse::<std::net::IpAddr>().is_ok()
        || !name.contains('.')
        || ["localhost", "local", "internal", "lan", "home.arpa"]
            .iter()
            .any(|suffix| {
                name.strip_suffix(suffix)
                    .is_some_and(|rest| rest.ends_with('.'))
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_stay_on_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("authorization", "Bearer x"),
            ("expect", "100-continue"),
            ("host", "proxy:1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        prepare_request(&mut headers, &Endpoint::new("127.0.0.1", 11434));
        let mut left: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_bytes()))
            .collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [
                ("authorization", &b"Bearer x"[..]),
                ("host", b"127.0.0.1:11434")
            ]
        );
    }

    #[test]
    fn names_of_other_origins_are_not_local() {
        for host in [
            "localhost:11435",
            "127.0.0.1:1",
            "[::1]:1",
            "192.168.1.5",
            "gpu-box",
            "host.docker.internal:1",
            "box.local",
            "app.localhost",
        ] {
            assert!(
                is_local_host(Some(&HeaderValue::from_static(host))),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.evil.example",
        ] {
            assert!(
                !is_local_host(Some(&HeaderValue::from_static(host))),
                "{host}"
            );
        }
    }
}
