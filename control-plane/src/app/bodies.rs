//! Memory for bodies whose sender has not proved who it is, shared by all callers.
//!
//! A body takes room as it comes, so a caller that announces much and sends little holds little. Small bodies have room
//! that large ones cannot take, and the callers of one network have a part of each: so many of one network may stall or
//! flood, those of others find room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Networks that fill a kind of room together.
const NETWORKS: usize = 8;
/// Largest small bodies that fill the room for small ones together.
const SMALL_BODIES: usize = 256;

/// The room that there is.
#[derive(Debug, Clone)]
pub struct Bodies(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    wait: Duration,
    /// Largest body that is small, KiB.
    small_kib: usize,
    kinds: Mutex<Kinds>,
    /// Rung when room is given back.
    given_back: Notify,
}

#[derive(Debug)]
struct Kinds {
    small: Room,
    large: Room,
}

/// Room of one kind.
#[derive(Debug)]
struct Room {
    free: usize,
    /// The most that the callers of one network hold.
    part: usize,
    networks: HashMap<IpAddr, usize>,
}

impl Room {
    fn new(kib: usize) -> Self {
        Self {
            free: kib,
            part: kib / NETWORKS,
            networks: HashMap::new(),
        }
    }

    fn take(&mut self, network: Option<IpAddr>, kib: usize) -> bool {
        let of_network = network.map(|network| self.networks.get(&network).copied().unwrap_or(0));
        if kib > self.free || of_network.is_some_and(|held| held + kib > self.part) {
            return false;
        }
        self.free -= kib;
        if let Some(network) = network.filter(|_| kib > 0) {
            *self.networks.entry(network).or_default() += kib;
        }
        true
    }

    fn give_back(&mut self, network: Option<IpAddr>, kib: usize) {
        self.free += kib;
        if let Some(network) = network
            && let Some(held) = self.networks.get_mut(&network)
        {
            *held -= kib;
            if *held == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

/// There was no room in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much was sent at once by callers who have not proved who they are; send it again")]
pub struct NoRoom;

impl Bodies {
    /// Room of `kib` KiB, a quarter of it for small bodies; who finds none waits for at most `wait`.
    pub fn new(kib: u32, wait: Duration) -> Self {
        let kib = kib as usize;
        let small = kib / 4;
        Self(Arc::new(Shared {
            wait,
            small_kib: (small / SMALL_BODIES).max(1),
            kinds: Mutex::new(Kinds {
                small: Room::new(small),
                large: Room::new(kib - small),
            }),
            given_back: Notify::new(),
        }))
    }

    /// The part of one body; empty at first. `network` is that of the caller; a caller without one, on this machine, is
    /// held to the whole alone.
    pub fn share(&self, network: Option<IpAddr>) -> BodyShare {
        BodyShare {
            shared: Arc::clone(&self.0),
            network,
            held_kib: 0,
        }
    }

    /// What is free now, KiB.
    pub fn free_kib(&self) -> usize {
        let kinds = self.0.kinds();
        kinds.small.free + kinds.large.free
    }
}

impl Shared {
    fn kinds(&self) -> MutexGuard<'_, Kinds> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kinds {
    /// The room that a body of so many KiB is in.
    fn of(&mut self, kib: usize, small_kib: usize) -> &mut Room {
        if kib <= small_kib {
            &mut self.small
        } else {
            &mut self.large
        }
    }
}

/// What one body holds; given back when this is dropped.
#[derive(Debug)]
pub struct BodyShare {
    shared: Arc<Shared>,
    network: Option<IpAddr>,
    held_kib: usize,
}

impl BodyShare {
    /// Grows to `bytes` in all.
    ///
    /// # Errors
    /// [`NoRoom`]; what is held stays held.
    pub async fn cover(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let kib = bytes.div_ceil(1024);
        let give_up = Instant::now() + self.shared.wait;
        let shared = Arc::clone(&self.shared);
        while kib > self.held_kib {
            // Before the look, so that what is given back in between is not missed.
            let given_back = shared.given_back.notified();
            if self.grow(kib) {
                break;
            }
            tokio::time::timeout_at(give_up, given_back)
                .await
                .map_err(|_| NoRoom)?;
        }
        Ok(())
    }

    /// A body that is not small any more moves to the room for large ones.
    fn grow(&mut self, kib: usize) -> bool {
        let small_kib = self.shared.small_kib;
        let mut kinds = self.shared.kinds();
        let moves = (self.held_kib <= small_kib) != (kib <= small_kib);
        let more = if moves { kib } else { kib - self.held_kib };
        if !kinds.of(kib, small_kib).take(self.network, more) {
            return false;
        }
        if moves {
            kinds.small.give_back(self.network, self.held_kib);
        }
        self.held_kib = kib;
        drop(kinds);
        if moves {
            self.shared.given_back.notify_waiters();
        }
        true
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        if self.held_kib == 0 {
            return;
        }
        let small_kib = self.shared.small_kib;
        let mut kinds = self.shared.kinds();
        let room = kinds.of(self.held_kib, small_kib);
        room.give_back(self.network, self.held_kib);
        drop(kinds);
        self.shared.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const KIB: usize = 1024;

    fn network(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, number]))
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_taken_as_it_is_needed_and_given_back() {
        let bodies = Bodies::new(16, Duration::from_secs(1));
        let mut first = bodies.share(None);
        assert_eq!(first.cover(1).await, Ok(()));
        assert_eq!(first.cover(KIB).await, Ok(()));
        assert_eq!(bodies.free_kib(), 15);
        assert_eq!(first.cover(KIB + 1).await, Ok(()));
        assert_eq!(bodies.free_kib(), 14);
        let mut second = bodies.share(None);
        assert_eq!(second.cover(11 * KIB).await, Err(NoRoom));
        assert_eq!(second.cover(10 * KIB).await, Ok(()));
        // Large bodies have all of theirs; small ones have their own.
        let mut small = bodies.share(None);
        assert_eq!(small.cover(1).await, Ok(()));
        drop((first, small));
        assert_eq!(second.cover(12 * KIB).await, Ok(()));
        drop(second);
        assert_eq!(bodies.free_kib(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_leaves_room_to_the_others() {
        let bodies = Bodies::new(64 * 1024, Duration::from_secs(1));
        let mut held = Vec::new();
        for number in 0..1_000 {
            let mut share = bodies.share(network(1));
            let size = if number % 2 == 0 { 3 * 1024 } else { 40 };
            if share.cover(size * KIB).now_or_never() == Some(Ok(())) {
                held.push(share);
            }
        }
        assert!(held.len() > 2, "{}", held.len());
        for size in [4 * 1024, 60] {
            let mut other = bodies.share(network(2));
            assert_eq!(other.cover(size * KIB).await, Ok(()), "{size}");
        }
        drop(held);
        assert_eq!(bodies.free_kib(), 64 * 1024);
        assert!(bodies.0.kinds().large.networks.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_when_room_is_given_back() {
        let bodies = Bodies::new(16, Duration::from_secs(1));
        let mut first = bodies.share(None);
        assert_eq!(first.cover(12 * KIB).await, Ok(()));
        let mut second = bodies.share(None);
        let waits = second.cover(12 * KIB);
        let (waited, ()) = tokio::join!(waits, async { drop(first) });
        assert_eq!(waited, Ok(()));
    }
}
