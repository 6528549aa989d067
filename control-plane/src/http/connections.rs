//! How many connections each address has open, so that one address cannot take the places of all.

use super::client_ip::{ClientIp, IpBlock, network};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts open connections by IPv4 address and by IPv6 /64. Bounded by the connections that are open.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    exempt: Vec<IpBlock>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Option<(Arc<Inner>, IpAddr)>);

impl Connections {
    /// At most `most` for each address that is in none of `exempt`.
    pub(super) fn new(most: usize, exempt: Vec<IpBlock>) -> Self {
        Self(Arc::new(Inner {
            most,
            exempt,
            open: Mutex::default(),
        }))
    }

    /// Counts a connection; `None` where the address has as many as it may.
    pub(super) fn open(&self, ip: IpAddr) -> Option<Counted> {
        let ip = ip.to_canonical();
        if self.0.exempt.iter().any(|block| block.contains(ip)) {
            return Some(Counted(None));
        }
        let caller = network(ClientIp(ip));
        let mut open = self.0.lock();
        let count = open.entry(caller).or_insert(0);
        if *count >= self.0.most {
            return None;
        }
        *count += 1;
        Some(Counted(Some((Arc::clone(&self.0), caller))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((inner, caller)) = &self.0 else {
            return;
        };
        let mut open = inner.lock();
        if let Some(count) = open.get_mut(caller) {
            *count -= 1;
            if *count == 0 {
                open.remove(caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("ip")
    }

    #[test]
    fn each_address_has_its_own_count_and_an_ipv6_network_one() {
        let exempt = vec!["10.0.0.0/8".parse().expect("block")];
        let connections = Connections::new(2, exempt);
        let first = connections.open(ip("1.1.1.1")).expect("first");
        let _second = connections.open(ip("::ffff:1.1.1.1")).expect("second");
        assert!(connections.open(ip("1.1.1.1")).is_none());
        let _other = connections.open(ip("1.1.1.2")).expect("another address");
        drop(first);
        let _again = connections.open(ip("1.1.1.1")).expect("room again");
        let _six =
            [ip("2001:db8::1"), ip("2001:db8::2")].map(|ip| connections.open(ip).expect("two"));
        assert!(connections.open(ip("2001:db8::3")).is_none());
        assert!(connections.open(ip("2001:db8:0:1::3")).is_some());
        let proxied: Vec<_> = (0..9).map(|_| connections.open(ip("10.1.2.3"))).collect();
        assert!(proxied.iter().all(Option::is_some));
    }

    #[test]
    fn what_closed_is_forgotten() {
        let connections = Connections::new(1, Vec::new());
        for n in 0..1_000_u32 {
            let counted = connections.open(IpAddr::V4(n.into()));
            assert!(counted.is_some());
        }
        assert!(connections.0.lock().is_empty());
    }
}
