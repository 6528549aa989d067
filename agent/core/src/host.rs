//! Which hosts are the machine that the agent runs on.

use std::net::IpAddr;

/// Whether a host is this machine: `localhost` in any case and with or without its last dot, an address of the loopback
/// networks (also an IPv4 one written as IPv6), or the unspecified address, which leads to the same machine where it is
/// connected to. IPv6 with or without brackets.
pub fn is_this_machine(host: &str) -> bool {
    let host = host
        .strip_prefix('[')
        .map_or(host, |rest| rest.strip_suffix(']').unwrap_or(rest));
    host.strip_suffix('.')
        .unwrap_or(host)
        .eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_many_names_and_others_have_none_of_them() {
        for host in [
            "localhost",
            "LocalHost",
            "localhost.",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            ".",
            "localhost..",
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
            "10.0.0.1",
            "[::2]",
            "192.168.0.1",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
