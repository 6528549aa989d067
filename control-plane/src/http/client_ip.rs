//! Whom a request comes from. `X-Forwarded-For` counts only when a trusted proxy sends it.

use crate::rate_limit;
use http::{Extensions, HeaderMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Address of the caller, for rate limits and the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

/// An IPv6 caller owns at least a /64: its addresses count as one.
pub(super) fn network(client: ClientIp) -> IpAddr {
    rate_limit::network(client.0)
}

/// Whether this machine itself asks: over loopback, forwarded by nobody.
pub(super) fn is_here(client: ClientIp, headers: &HeaderMap) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded"];
    client.0.is_loopback() && !forwarded.iter().any(|name| headers.contains_key(*name))
}

/// The network of a caller who is not on this machine.
pub(super) fn outside(extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let client = extensions.get::<ClientIp>().copied()?;
    (!is_here(client, headers)).then(|| network(client))
}

/// Addresses of proxies: one address or a block such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpBlock {
    base: IpAddr,
    prefix: u32,
}

impl std::str::FromStr for IpBlock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address or a block such as 10.0.0.0/8");
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let bits = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => bits,
        };
        if prefix > bits {
            return Err(wrong());
        }
        Ok(Self { base, prefix })
    }
}

impl IpBlock {
    /// This machine's own addresses.
    pub const fn loopback() -> [Self; 2] {
        [
            Self {
                base: IpAddr::V4(Ipv4Addr::LOCALHOST),
                prefix: 8,
            },
            Self {
                base: IpAddr::V6(Ipv6Addr::LOCALHOST),
                prefix: 128,
            },
        ]
    }

    /// Whether `ip` is in the block.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.base, ip.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                u32::from(base) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(base), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                u128::from(base) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }
}

impl ClientIp {
    /// The nearest address in `forwarded` that is no trusted proxy, where the peer is one; else the peer.
    pub fn find<'a>(
        peer: Option<SocketAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
        trusted: &[IpBlock],
    ) -> Option<Self> {
        let is_trusted = |ip: IpAddr| trusted.iter().any(|block| block.contains(ip));
        let mut nearest = peer?.ip().to_canonical();
        let hops = forwarded.flat_map(|line| line.split(',')).map(str::trim);
        for hop in hops.rev() {
            if !is_trusted(nearest) {
                break;
            }
            match hop.parse::<IpAddr>() {
                Ok(ip) => nearest = ip.to_canonical(),
                Err(_) => break,
            }
        }
        Some(Self(nearest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ipv6_network_is_one_caller() {
        let of = |text: &str| network(ClientIp(text.parse().expect("ip")));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::2"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    fn find(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpBlock> = trusted
            .iter()
            .map(|block| block.parse().expect("block"))
            .collect();
        let peer = Some(SocketAddr::new(peer.parse().expect("peer"), 1));
        let found = ClientIp::find(peer, forwarded.iter().copied(), &trusted);
        found.expect("client").0.to_string()
    }

    #[test]
    fn forwarded_addresses_count_only_from_trusted_proxies() {
        assert_eq!(find("1.2.3.4", &["9.9.9.9"], &[]), "1.2.3.4");
        assert_eq!(find("10.0.0.1", &["9.9.9.9"], &["10.0.0.0/8"]), "9.9.9.9");
        assert_eq!(
            find(
                "10.0.0.1",
                &["6.6.6.6, 9.9.9.9", "10.0.0.2"],
                &["10.0.0.0/8"]
            ),
            "9.9.9.9"
        );
        assert_eq!(
            find("::ffff:10.0.0.1", &["9.9.9.9"], &["10.0.0.1"]),
            "9.9.9.9"
        );
        assert_eq!(find("10.0.0.1", &["rubbish"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(
            find("fd00::1", &["2001:db8::7"], &["fd00::/8"]),
            "2001:db8::7"
        );
    }

    #[test]
    fn blocks_are_checked() {
        for bad in ["", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129"] {
            assert!(bad.parse::<IpBlock>().is_err(), "{bad}");
        }
        assert!(
            "0.0.0.0/0"
                .parse::<IpBlock>()
                .expect("all")
                .contains("8.8.8.8".parse().expect("ip"))
        );
    }
}
