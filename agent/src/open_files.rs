//! How many files and sockets the agent may have open, and how many of them clients may take.
//!
//! The limit that a program starts with is often a small part of what its user may have: it is raised as far as that
//! goes. What the agent itself needs is set aside: receipts, the link, the looks at runtimes, the local socket and the
//! metrics must work however many clients there are.

/// Set aside for the agent itself: event loops and listeners (24), spool and other files (12), the link (2), the local
/// socket (9), metrics (9), drivers of GPUs (24), and some more.
const RESERVE: u64 = 88;
/// The same where the limit is so small that the whole would leave too little for clients: half of it.
const RESERVE_OF_LIMIT: u64 = 2;
/// What one client's connection may take: its own, one to a runtime, and one to another runtime that idles.
const PER_CONNECTION: u64 = 3;
/// Connections are never fewer, one for each thread of the proxy.
const FEWEST: usize = 2;
/// Never more, whatever the limit.
const MOST: usize = 1024;

/// What clients may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The limit of this process; `None` where the system has none or does not tell.
    pub limit: Option<u64>,
    /// Connections of clients at once.
    pub connections: usize,
    /// Idle connections to runtimes that are kept.
    pub idle_upstream: usize,
}

impl Share {
    /// The share under this limit, with one look at a time at each of `endpoints` places.
    pub fn of(limit: Option<u64>, endpoints: usize) -> Self {
        let connections = limit.map_or(MOST, |limit| {
            let reserve = RESERVE.saturating_add(endpoints as u64);
            let left = limit.saturating_sub(reserve.min(limit / RESERVE_OF_LIMIT));
            usize::try_from(left / PER_CONNECTION)
                .unwrap_or(MOST)
                .clamp(FEWEST, MOST)
        });
        Self {
            limit,
            connections,
            idle_upstream: connections,
        }
    }
}

/// Raises this process's limit as far as its user may, and says what it is then.
#[cfg(unix)]
pub fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// The most that macOS takes, where it says that there is no limit.
    const MACOS_MOST: u64 = 10_240;
    let before = getrlimit(Resource::Nofile);
    let wanted = [before.maximum, Some(MACOS_MOST)];
    for current in wanted {
        let is_more = match (before.current, current) {
            (Some(before), Some(wanted)) => wanted > before,
            (Some(_), None) => true,
            (None, _) => false,
        };
        let raised = Rlimit {
            current,
            maximum: before.maximum,
        };
        if is_more && setrlimit(Resource::Nofile, raised).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current
}

/// Raises this process's limit: this system has none.
#[cfg(not(unix))]
pub fn raise_limit() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_agent_does_not_need() {
        let connections = |limit, endpoints| Share::of(limit, endpoints).connections;
        assert_eq!(connections(None, 5), 1024);
        assert_eq!(connections(Some(1_048_576), 5), 1024);
        assert_eq!(connections(Some(1024), 5), (1024 - 93) / 3);
        assert_eq!(connections(Some(128), 5), 64 / 3);
        assert_eq!(connections(Some(1024), 37), (1024 - 125) / 3);
        assert_eq!(connections(Some(0), 5), 2);
        for limit in [64, 128, 256, 1024, 4096] {
            let share = Share::of(Some(limit), 36);
            let taken = (share.connections * 2 + share.idle_upstream) as u64;
            let set_aside = limit - taken;
            assert!(
                set_aside >= (RESERVE + 36).min(limit / 2),
                "{limit}: {taken}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_raised_to_what_the_user_may_have() {
        use rustix::process::{Resource, getrlimit};
        let raised = raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(raised, limit.current);
        assert!(limit.current == limit.maximum || limit.maximum.is_none());
    }
}
