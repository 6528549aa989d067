//! Redirects of a server to itself.
//!
//! A server behind the proxy knows its own address alone. A client that followed a redirect to it would leave the
//! proxy, and its work would go unmeasured. Such a reference becomes one to the same path on whatever address the
//! client used. References to other machines are not touched.

use crate::host::is_this_machine;

/// Where a server is.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// Host name or address, IPv6 without brackets.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
}

/// A `Location` of `server` that names the server itself, as a path; `None` where it is to be left alone.
pub fn without_own_authority(location: &str, server: Server<'_>) -> Option<String> {
    let location = location.trim();
    let (default_port, rest) = match location.split_once("//")? {
        (scheme, rest) if scheme.eq_ignore_ascii_case("http:") => (80, rest),
        (scheme, rest) if scheme.eq_ignore_ascii_case("https:") => (443, rest),
        // The scheme is the one that the client came with, which says nothing of the server's port.
        ("", rest) => (server.port, rest),
        _ => return None,
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_own(authority, default_port, server) {
        return None;
    }
    Some(match path.as_bytes() {
        // Two slashes at the start would name another host.
        [b'/' | b'\\', b'/' | b'\\', ..] => format!("/.{path}"),
        [b'/', ..] => path.to_owned(),
        [b'\\', ..] => return None,
        _ => format!("/{path}"),
    })
}

fn is_own(authority: &str, default_port: u16, server: Server<'_>) -> bool {
    let Some((host, port)) = split(authority) else {
        return false;
    };
    let port = if port.is_empty() {
        Some(default_port)
    } else {
        port.parse().ok()
    };
    let same_host = host.eq_ignore_ascii_case(server.host)
        || (is_this_machine(host) && is_this_machine(server.host));
    port == Some(server.port) && same_host
}

/// Host and port; `None` for a name with a user in it, which is no address of a server of ours.
fn split(authority: &str) -> Option<(&str, &str)> {
    if authority.contains('@') {
        return None;
    }
    match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            Some((host, port.strip_prefix(':').unwrap_or(port)))
        }
        None => Some(authority.split_once(':').unwrap_or((authority, ""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Server<'static> = Server {
        host: "127.0.0.1",
        port: 8000,
    };

    #[test]
    fn a_server_that_names_itself_is_kept_behind_the_proxy() {
        for (location, path) in [
            ("http://127.0.0.1:8000/v1/x?a=1#f", "/v1/x?a=1#f"),
            ("http://localhost:8000/v1", "/v1"),
            ("HTTP://LocalHost:8000/v1", "/v1"),
            ("http://[::1]:8000/v1", "/v1"),
            ("http://[::ffff:127.0.0.1]:8000/v1", "/v1"),
            ("http://0.0.0.0:8000/v1", "/v1"),
            ("https://127.0.0.1:8000/v1", "/v1"),
            ("//localhost:8000/v1", "/v1"),
            ("http://localhost:8000", "/"),
            ("http://localhost:8000?x", "/?x"),
            (" http://localhost:8000/v1 ", "/v1"),
        ] {
            assert_eq!(
                without_own_authority(location, LOCAL).as_deref(),
                Some(path),
                "{location}"
            );
        }
        let named = Server {
            host: "gpu-box",
            port: 80,
        };
        assert_eq!(
            without_own_authority("http://GPU-box/a", named).as_deref(),
            Some("/a")
        );
    }

    #[test]
    fn other_places_and_relative_references_are_left_alone() {
        for location in [
            "",
            "/v1/x",
            "v1",
            "?x=http://127.0.0.1:8000/",
            "http://127.0.0.1:8001/v1",
            "http://127.0.0.1/v1",
            "http://example.com:8000/v1",
            "http://127.0.0.1:8000@example.com/v1",
            "http://user@127.0.0.1:8000/v1",
            "http://127.0.0.1.example.com:8000/",
            "ftp://127.0.0.1:8000/",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:8000\\x",
            "javascript://127.0.0.1:8000/",
        ] {
            assert_eq!(without_own_authority(location, LOCAL), None, "{location}");
        }
    }

    #[test]
    fn a_path_never_turns_into_a_host() {
        for location in [
            "http://localhost:8000//evil.example/",
            "http://localhost:8000/\\evil.example/",
        ] {
            let path = without_own_authority(location, LOCAL).unwrap();
            assert!(
                path.starts_with("/./") || path.starts_with("/./\\"),
                "{path}"
            );
        }
    }
}
