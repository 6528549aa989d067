//! Headers that belong to one connection, and those that the proxy must set.

use crate::runtime::Endpoint;
use dgon_agent_core::host::is_this_machine;
use dgon_agent_core::request::location::{Server, without_own_authority};
use http::Request;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, LOCATION, ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Names the receipt of an answer.
pub const REQUEST_ID_HEADER: &str = "x-dgon-request-id";
/// Marks a request of runtime detection, which the proxy must not pass on.
pub const DETECT_HEADER: &str = "x-dgon-detect";

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

/// Makes a client's headers, which hold none that are meant for its connection, fit for a runtime.
pub(super) fn prepare_request(headers: &mut HeaderMap, endpoint: &Endpoint) {
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

/// Turns references of a runtime to its own address into paths, so that a client that follows them stays here.
pub(super) fn keep_redirects(headers: &mut HeaderMap, endpoint: &Endpoint) {
    let server = Server {
        host: endpoint.host(),
        port: endpoint.port(),
    };
    for name in [LOCATION, CONTENT_LOCATION] {
        let path = headers
            .get(&name)
            .and_then(|value| without_own_authority(value.to_str().ok()?, server))
            .and_then(|path| HeaderValue::from_str(&path).ok());
        if let Some(path) = path {
            headers.insert(name, path);
        }
    }
}

/// Whether every host that a request names is this machine's or its network's, or one of `allowed` (`*` is any): a page
/// of another origin that was rebound to this machine's address names its own, wherever this machine listens.
pub fn names_this_machine<B>(request: &Request<B>, allowed: &[String]) -> bool {
    let is_allowed = |name: &str| {
        let plain = name.trim_end_matches('.');
        let mut allowed = allowed.iter();
        is_local_name(name) || allowed.any(|one| one == "*" || one.eq_ignore_ascii_case(plain))
    };
    // In the absolute form the address names a host too.
    let in_uri = request.uri().host().is_none_or(is_allowed);
    in_uri
        && request.headers().get_all(HOST).iter().all(|host| {
            host.to_str()
                .is_ok_and(|host| is_allowed(without_port(host)))
        })
}

/// Whether the web page that asks, if one does, is of this machine or one that the owner allows. A page may send
/// simple requests to any address without asking; only its `Origin` tells it from a program.
pub(super) fn is_local_origin(headers: &HeaderMap, allowed: &[String]) -> bool {
    headers.get_all(ORIGIN).iter().all(|origin| {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        if allowed
            .iter()
            .any(|one| one == "*" || one.eq_ignore_ascii_case(origin))
        {
            return true;
        }
        match origin.split_once("://") {
            // Pages of programs on this machine, such as editors and desktop clients.
            Some(("app" | "file" | "tauri" | "vscode-webview" | "vscode-file", _)) => true,
            Some(("http" | "https", host)) => {
                let name = without_port(host);
                is_same_site(headers, host) || is_loopback_name(name)
            }
            _ => false,
        }
    })
}

/// Whether the page was loaded from the address that it now asks.
fn is_same_site(headers: &HeaderMap, host: &str) -> bool {
    headers
        .get(HOST)
        .is_some_and(|asked| asked.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether a page came from a program on this machine; browsers take every name below `localhost` for it.
fn is_loopback_name(name: &str) -> bool {
    is_this_machine(name) || name.to_ascii_lowercase().ends_with(".localhost")
}

/// Whether a name is an address, a name without a domain, or in a domain that only local networks have.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']');
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
        strip_hop_by_hop(&mut headers);
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

    fn asked(uri: &str, headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn names_of_other_machines_are_not_local() {
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
            let request = asked("/", &[("host", host)]);
            assert!(names_this_machine(&request, &[]), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.evil.example",
        ] {
            let request = asked("/", &[("host", host)]);
            assert!(!names_this_machine(&request, &[]), "{host}");
        }
        let absolute = asked("http://evil.example/v1/models", &[("host", "localhost")]);
        assert!(!names_this_machine(&absolute, &[]));
        let twice = asked("/", &[("host", "localhost"), ("host", "evil.example")]);
        assert!(!names_this_machine(&twice, &[]));
        let allowed = ["Ai.Example.Org".to_owned()];
        let by_name = asked("/", &[("host", "ai.example.org.:11435")]);
        assert!(names_this_machine(&by_name, &allowed));
        assert!(!names_this_machine(&by_name, &[]));
        let below = asked("/", &[("host", "evil.ai.example.org")]);
        assert!(!names_this_machine(&below, &allowed));
        assert!(names_this_machine(&below, &["*".to_owned()]));
        assert!(names_this_machine(&asked("http://[::1]:8/", &[]), &[]));
    }

    #[test]
    fn pages_of_other_sites_are_told_from_programs_and_from_our_own() {
        let from = |origin| asked("/", &[("host", "192.168.1.5:11435"), ("origin", origin)]);
        for origin in [
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:8080",
            "http://192.168.1.5:11435",
            "tauri://localhost",
            "vscode-webview://abc",
        ] {
            assert!(is_local_origin(from(origin).headers(), &[]), "{origin}");
        }
        for origin in [
            "null",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://192.168.1.5:80",
            "http://93.184.216.34",
            "chrome-extension://abc",
            "",
        ] {
            assert!(!is_local_origin(from(origin).headers(), &[]), "{origin}");
        }
        let chat = ["https://chat.example".to_owned()];
        assert!(is_local_origin(
            from("https://chat.example").headers(),
            &chat
        ));
        assert!(!is_local_origin(
            from("https://chat.example:1").headers(),
            &chat
        ));
        assert!(is_local_origin(from("null").headers(), &["*".to_owned()]));
        assert!(is_local_origin(asked("/", &[]).headers(), &[]));
    }
}
