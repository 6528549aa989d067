//! What is remembered of nodes between requests and links: shares per node and second, nonces, who was sent away, and the
//! memory of bodies whose sender is not known yet. All are bounded.

use super::{Bodies, Settings};
use crate::rate_limit::RateLimit;
use dgon_protocol::id::NodeId;
use dgon_protocol::limits::NONCE_TTL;
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Nonces of one generation; more are refused, because forgetting one would let it be used again.
const NONCES_KEPT: usize = 1_000_000;
/// Of one node: about three requests a second over the whole time of a generation.
const NONCES_OF_NODE: u32 = 1_000;
/// The same for opening links, which have memory of their own: whatever nodes ask over HTTP, others can connect.
const LINKS_OF_NODE: u32 = 600;

/// `nodes.*` requests per second and node.
const NODE_REQUESTS: u32 = 10;
/// Posts of receipts per second and node.
const RECEIPT_POSTS: u32 = 5;

/// Nodes that are remembered; when there are more, those that were quiet are forgotten first.
const NODES_KEPT: usize = 65_536;

/// Nodes and tokens of one network that nobody knows, in a minute: each is a question to the database.
const STRANGERS: u32 = 120;

/// Told to a node that was sent away.
pub const SENT_AWAY: &str =
    "too many receipts of this node were refused; see the agent's dead letters";

/// Refused receipts after which a node is sent away.
const REFUSED_MAX: f64 = 256.0;
/// For how long.
///
/// Nodes that count for nothing any more are forgotten as often. Those that are remembered have proved who they are, so
/// there are no more of them than nodes.
const AWAY: Duration = Duration::from_secs(60);

/// Which share is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Share {
    /// Everything under `nodes`.
    Nodes,
    /// Posts of receipts.
    Receipts,
}

impl Share {
    const fn per_second(self) -> u32 {
        match self {
            Self::Nodes => NODE_REQUESTS,
            Self::Receipts => RECEIPT_POSTS,
        }
    }
}

/// Counts per node and whole second.
#[derive(Debug, Default)]
pub struct Limits(Mutex<HashMap<(String, Share), (i64, u32)>>);

impl Limits {
    /// Uses one of the node's share in this second.
    ///
    /// # Errors
    /// Seconds to wait, when the share is used up.
    pub fn take(&self, node_id: &str, share: Share, now_ms: i64) -> Result<(), u32> {
        let second = now_ms.div_euclid(1000);
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= NODES_KEPT {
            nodes.retain(|_, (at, _)| *at == second);
        }
        let (at, used) = nodes
            .entry((node_id.to_owned(), share))
            .or_insert((second, 0));
        if *at != second {
            (*at, *used) = (second, 0);
        }
        if *used >= share.per_second() {
            return Err(1);
        }
        *used += 1;
        Ok(())
    }
}

/// Refused receipts of each node, and who was sent away because of them: whatever way they came and however many
/// sessions they were spread over.
#[derive(Debug, Default)]
pub struct Conduct(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    nodes: HashMap<NodeId, Refusals>,
    /// When those that count for nothing were forgotten.
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Refusals {
    /// How many count now; they halve every [`AWAY`].
    count: f64,
    at: Instant,
    away_until: Option<Instant>,
}

impl Refusals {
    fn now(self, now: Instant) -> Self {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        Self {
            count: self.count * (-passed / AWAY.as_secs_f64()).exp2(),
            at: now,
            away_until: self.away_until.filter(|until| *until > now),
        }
    }
}

impl Conduct {
    /// Receipts of a node were refused: where they are too many, it is sent away.
    pub fn refused(&self, node_id: &NodeId, count: usize) {
        if count > 0 && self.refused_at(node_id, count, Instant::now()) {
            metrics::counter!("nodes_sent_away_total").increment(1);
            tracing::info!(%node_id, away_s = AWAY.as_secs(), "node sent away: too many of its receipts were refused");
        }
    }

    /// Whether it is sent away now.
    fn refused_at(&self, node_id: &NodeId, count: usize, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = known.swept.is_none_or(|at| now >= at + AWAY);
        if is_due {
            known.swept = Some(now);
            known.nodes.retain(|_, one| {
                *one = one.now(now);
                one.count >= 1.0 || one.away_until.is_some()
            });
        }
        let one = known.nodes.entry(node_id.clone()).or_insert(Refusals {
            count: 0.0,
            at: now,
            away_until: None,
        });
        *one = one.now(now);
        one.count += count as f64;
        let too_many = one.count >= REFUSED_MAX;
        if too_many {
            (one.count, one.away_until) = (0.0, Some(now + AWAY));
        }
        too_many
    }

    /// For how long a node has to stay away, s; `None` where it may come.
    pub fn away_s(&self, node_id: &NodeId) -> Option<u32> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = known.nodes.get(node_id)?.away_until?;
        let left = until.saturating_duration_since(Instant::now());
        let seconds = u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        (seconds > 0).then_some(seconds)
    }
}

/// What authentication remembers between requests.
#[derive(Debug)]
pub struct NodeGuard {
    /// Shares of requests.
    pub limits: Limits,
    /// Nonces of requests that were used.
    pub nonces: Nonces,
    /// Nonces of links that were opened.
    pub link_nonces: Nonces,
    /// Refused receipts, and who was sent away.
    pub conduct: Conduct,
    /// Memory for bodies whose sender is not known yet.
    pub bodies: Bodies,
    /// Nodes and enrolment tokens that are none, by network.
    pub strangers: RateLimit<IpAddr>,
}

impl NodeGuard {
    /// Nothing is remembered yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            limits: Limits::default(),
            nonces: Nonces::new(NONCES_OF_NODE),
            link_nonces: Nonces::new(LINKS_OF_NODE),
            conduct: Conduct::default(),
            bodies: Bodies::new(settings.unproved_bodies_kib, settings.body_room_within),
            strangers: RateLimit::new(STRANGERS),
        }
    }
}

/// Nonces in two generations, each at least as long as a nonce must be remembered.
#[derive(Debug)]
pub struct Nonces {
    /// Of one node in a generation.
    part: u32,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    since_ms: i64,
    young: HashSet<[u8; 16]>,
    /// How many of the young ones each node used.
    used: HashMap<NodeId, u32>,
    old: HashSet<[u8; 16]>,
}

/// What is known of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceState {
    /// New, and remembered now.
    Fresh,
    /// Used before.
    Seen,
    /// The node has used its part, or there is no room to remember it: it must not be used.
    Full,
}

impl Nonces {
    /// Nothing is remembered; a node has so many in a generation.
    fn new(part: u32) -> Self {
        Self {
            part,
            generations: Mutex::default(),
        }
    }

    /// Looks a nonce up and remembers it.
    pub fn remember(&self, node_id: &NodeId, nonce: &str, now_ms: i64) -> NonceState {
        let digest = Sha256::new()
            .chain_update(node_id.as_str())
            .chain_update([0])
            .chain_update(nonce)
            .finalize();
        let mut key = [0u8; 16];
        key.copy_from_slice(&digest[..16]);
        let ttl_ms = i64::try_from(NONCE_TTL.as_millis()).unwrap_or(i64::MAX);
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if now_ms - generations.since_ms >= ttl_ms {
            generations.old = std::mem::take(&mut generations.young);
            if now_ms - generations.since_ms >= 2 * ttl_ms {
                generations.old.clear();
            }
            generations.since_ms = now_ms;
            generations.used.clear();
        }
        if generations.old.contains(&key) || generations.young.contains(&key) {
            return NonceState::Seen;
        }
        let is_full = generations.young.len() >= NONCES_KEPT;
        let used = generations.used.entry(node_id.clone()).or_default();
        if is_full || *used >= self.part {
            return NonceState::Full;
        }
        *used += 1;
        generations.young.insert(key);
        NonceState::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_own_share_per_second() {
        let limits = Limits::default();
        for _ in 0..RECEIPT_POSTS {
            assert_eq!(limits.take("a", Share::Receipts, 1_000), Ok(()));
        }
        assert_eq!(limits.take("a", Share::Receipts, 1_999), Err(1));
        assert_eq!(limits.take("b", Share::Receipts, 1_999), Ok(()));
        assert_eq!(limits.take("a", Share::Nodes, 1_999), Ok(()));
        assert_eq!(limits.take("a", Share::Receipts, 2_000), Ok(()));
    }

    #[test]
    fn refused_receipts_count_over_sessions_and_are_forgotten() {
        let (conduct, start) = (Conduct::default(), Instant::now());
        let node = NodeId::parse("a").expect("id");
        assert!(!conduct.refused_at(&node, 255, start));
        assert_eq!(conduct.away_s(&node), None);
        // Half of them count after a minute.
        let later = start + AWAY;
        assert!(!conduct.refused_at(&node, 100, later));
        assert!(conduct.refused_at(&node, 100, later));
        assert!(conduct.away_s(&node).is_some_and(|left_s| left_s > 60));
        assert_eq!(conduct.away_s(&NodeId::parse("b").expect("id")), None);
    }

    #[test]
    fn a_nonce_is_remembered_for_at_least_its_time() {
        let nonces = Nonces::new(10);
        let (a, b) = (
            NodeId::parse("a").expect("id"),
            NodeId::parse("b").expect("id"),
        );
        let start = 1_700_000_000_000;
        assert_eq!(nonces.remember(&a, "n", start), NonceState::Fresh);
        assert_eq!(nonces.remember(&a, "n", start + 1), NonceState::Seen);
        assert_eq!(nonces.remember(&b, "n", start + 1), NonceState::Fresh);
        assert_eq!(nonces.remember(&a, "n", start + 300_000), NonceState::Seen);
        assert_eq!(
            nonces.remember(&a, "n", start + 1_000_000),
            NonceState::Fresh
        );
    }

    #[test]
    fn one_node_uses_up_its_own_part_alone() {
        let nonces = Nonces::new(3);
        let [a, b] = ["a", "b"].map(|id| NodeId::parse(id).expect("id"));
        let start = 1_700_000_000_000;
        let fresh = |node: &NodeId, at_ms| {
            let used = (0..5).map(|n| nonces.remember(node, &format!("{at_ms}-{n}"), at_ms));
            used.filter(|state| *state == NonceState::Fresh).count()
        };
        assert_eq!(fresh(&a, start), 3);
        assert_eq!(fresh(&b, start), 3);
        assert_eq!(fresh(&a, start + 1), 0);
        assert_eq!(fresh(&a, start + 1_000_000), 3);
    }
}
