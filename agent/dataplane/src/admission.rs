//! One door for all work: whoever asks, a request begins with a [`Permit`] and gives it back when its receipt is durable.
//!
//! What limits work is decided here and nowhere else: whether the agent stops, whether its owner lets the network
//! in, how much is served at once, room in the spool for the receipt to be, memory for request bodies. So a limit
//! holds for every source alike, and a stop knows what it must wait for: [`Admission::close`], then
//! [`Admission::drained`], and only then may the receipts' writer end.

use crate::mode::ModeSwitch;
use crate::sink::{ReceiptSink, SinkError};
use dgon_agent_core::owner::orders::describe;
use dgon_protocol::frame::PausedReason;
use dgon_protocol::receipt::Source;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use tokio::sync::watch;

/// Sources of work.
const SOURCES: usize = 4;

/// How much work is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests served at once, of all sources.
    pub in_flight: u32,
    /// Probes served at once, over all sessions.
    pub probes: u32,
    /// All request bodies held at once, bytes.
    pub body_bytes: usize,
}

/// Why work is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The agent is stopping.
    #[error("the agent is stopping and takes no more requests; try again when it runs")]
    Stopping,
    /// The node takes no work from the network.
    #[error("this node takes no work now: {}", describe(*.0))]
    Paused(PausedReason),
    /// As much is served as may be.
    #[error("this node serves as many requests as it may; try again")]
    Busy,
    /// As many probes are served as may be.
    #[error("this node serves as many probes as it may; try again")]
    Probes,
    /// There would be no receipt.
    #[error(transparent)]
    Spool(SinkError),
}

/// The door. Clones are the same door.
#[derive(Clone)]
pub struct Admission(Arc<Shared>);

struct Shared {
    sink: Arc<dyn ReceiptSink>,
    mode: ModeSwitch,
    limits: Limits,
    /// Requests in flight, by source.
    counts: [AtomicU32; SOURCES],
    /// All of them; each has room in the spool for one receipt.
    all: AtomicU32,
    body_bytes: AtomicUsize,
    state: watch::Sender<AdmissionState>,
}

/// What a stop looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AdmissionState {
    is_closed: bool,
    /// Once it is closed: whether nothing is in flight any more.
    is_drained: bool,
}

/// Work that was let in. It holds a place, and room in the spool for its receipt, until it is dropped.
pub struct Permit {
    shared: Arc<Shared>,
    source: Source,
}

/// Memory that one request body takes of what all may take; given back when dropped.
pub struct BodyShare {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Admission {
    /// A door before `sink`; `mode` says whether the network's work is let in.
    pub fn new(sink: Arc<dyn ReceiptSink>, mode: ModeSwitch, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            sink,
            mode,
            limits,
            counts: Default::default(),
            all: AtomicU32::new(0),
            body_bytes: AtomicUsize::new(0),
            state: watch::Sender::new(AdmissionState {
                is_closed: false,
                is_drained: false,
            }),
        }))
    }

    /// Lets one request in.
    ///
    /// # Errors
    /// [`Refused`] says why not; nothing is held then.
    pub fn admit(&self, source: Source) -> Result<Permit, Refused> {
        let shared = &self.0;
        if source != Source::Local
            && let Some(reason) = shared.mode.reason()
        {
            return Err(Refused::Paused(reason));
        }
        // Counted first and judged after, so that two at once never both take the last place.
        let (permit, all, of_source) = Permit::count(shared, source);
        // After counting: a stop that did not see this permit closed the door before, and is seen here.
        shared.judge(all)?;
        if source == Source::Probe && of_source > shared.limits.probes {
            return Err(Refused::Probes);
        }
        Ok(permit)
    }

    /// Whether a client would be let in now. Nothing is held: it is for a request whose body has still to come, which
    /// is asked for again when it has.
    ///
    /// # Errors
    /// [`Refused`] says why it would not be.
    pub fn would_admit(&self) -> Result<(), Refused> {
        self.0.judge(self.in_flight().saturating_add(1))
    }

    /// Memory for the body of a request.
    pub fn body_share(&self) -> BodyShare {
        BodyShare {
            shared: Arc::clone(&self.0),
            bytes: 0,
        }
    }

    /// Lets nothing in from now on.
    pub fn close(&self) {
        self.0.state.send_modify(|state| state.is_closed = true);
        self.0.look_whether_drained();
    }

    /// Waits until nothing is let in any more.
    pub async fn closed(&self) {
        let mut state = self.0.state.subscribe();
        // An error is a sender that is gone; this handle holds it.
        drop(state.wait_for(|state| state.is_closed).await);
    }

    /// Waits until the door is closed and every request that came through it has its receipt.
    pub async fn drained(&self) {
        let mut state = self.0.state.subscribe();
        // An error is a sender that is gone; this handle holds it.
        drop(state.wait_for(|state| state.is_drained).await);
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.0.all.load(Ordering::SeqCst)
    }

    /// Requests of one source in flight.
    pub fn in_flight_of(&self, source: Source) -> u32 {
        self.0.counts[index(source)].load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Whether so many, of all sources, may be in flight.
    fn judge(&self, all: u32) -> Result<(), Refused> {
        if self.state.borrow().is_closed {
            return Err(Refused::Stopping);
        }
        if all > self.limits.in_flight {
            return Err(Refused::Busy);
        }
        let room = self.sink.room().map_err(Refused::Spool)?;
        if u64::from(all) > room {
            return Err(Refused::Spool(self.sink.full()));
        }
        Ok(())
    }

    fn look_whether_drained(&self) {
        // Most requests end while the door is open; who closes it looks again.
        if !self.state.borrow().is_closed {
            return;
        }
        self.state.send_if_modified(|state| {
            // Counted under the door's lock: what was true before it closed says nothing.
            let is_empty = self.all.load(Ordering::SeqCst) == 0;
            let drained_now = state.is_closed && is_empty && !state.is_drained;
            state.is_drained |= drained_now;
            drained_now
        });
    }
}

impl Permit {
    /// One more in flight, which it is of all, and which of its source.
    fn count(shared: &Arc<Shared>, source: Source) -> (Self, u32, u32) {
        let all = shared.all.fetch_add(1, Ordering::SeqCst) + 1;
        let of_source = shared.counts[index(source)].fetch_add(1, Ordering::SeqCst) + 1;
        let shared = Arc::clone(shared);
        (Self { shared, source }, all, of_source)
    }

    /// Who asks.
    pub fn source(&self) -> Source {
        self.source
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.counts[index(self.source)].fetch_sub(1, Ordering::SeqCst);
        if self.shared.all.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.look_whether_drained();
        }
    }
}

impl BodyShare {
    /// Takes `bytes` more; `false` where all bodies together would hold more than they may.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let before = self.shared.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        before.saturating_add(bytes) <= self.shared.limits.body_bytes
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.shared
            .body_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

const fn index(source: Source) -> usize {
    match source {
        Source::Local => 0,
        Source::Gateway => 1,
        Source::Probe => 2,
        Source::Job => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dgon_agent_core::facts::RequestFacts;
    use dgon_protocol::id::RequestId;
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use std::sync::atomic::AtomicU64;

    /// A sink with room for so many receipts.
    struct Room(AtomicU64);

    impl ReceiptSink for Room {
        fn room(&self) -> Result<u64, SinkError> {
            Ok(self.0.load(Ordering::Relaxed))
        }

        fn full(&self) -> SinkError {
            SinkError::Full {
                receipts: 0,
                bytes: 0,
            }
        }

        fn next_request_id(&self) -> RequestId {
            RequestId::generate(0, 0)
        }

        fn record(&self, _facts: RequestFacts) -> BoxFuture<'_, Result<u64, SinkError>> {
            Box::pin(async { Ok(1) })
        }
    }

    fn door(in_flight: u32, probes: u32, room: u64) -> (Admission, ModeSwitch) {
        let mode = ModeSwitch::default();
        let limits = Limits {
            in_flight,
            probes,
            body_bytes: 100,
        };
        let sink = Arc::new(Room(AtomicU64::new(room)));
        (Admission::new(sink, mode.clone(), limits), mode)
    }

    #[test]
    fn every_request_has_a_place_and_room_for_its_receipt() {
        let (door, _) = door(10, 10, 2);
        let first = door.admit(Source::Local).ok();
        let second = door.admit(Source::Gateway).ok();
        assert!(first.is_some() && second.is_some());
        // The disk has room for two, and both are promised away.
        let third = door.admit(Source::Local);
        assert!(matches!(third, Err(Refused::Spool(SinkError::Full { .. }))));
        assert_eq!(door.in_flight(), 2, "what was refused holds nothing");
        drop(first);
        assert!(door.admit(Source::Job).is_ok());
    }

    #[test]
    fn sources_share_the_places_and_probes_have_few_of_their_own() {
        let (door, _) = door(3, 1, 100);
        let probe = door.admit(Source::Probe).unwrap_or_else(|_| panic!("one"));
        assert!(matches!(door.admit(Source::Probe), Err(Refused::Probes)));
        let others: Vec<_> = (0..2).map(|_| door.admit(Source::Local)).collect();
        assert!(others.iter().all(Result::is_ok));
        assert!(matches!(door.admit(Source::Local), Err(Refused::Busy)));
        drop(probe);
        assert!(door.admit(Source::Local).is_ok());
        assert_eq!(door.in_flight_of(Source::Local), 2);
    }

    #[test]
    fn the_owner_stops_the_networks_work_alone() {
        let (door, mode) = door(3, 3, 100);
        mode.pause_by_owner(true);
        for source in [Source::Gateway, Source::Probe, Source::Job] {
            let refused = door.admit(source);
            assert!(matches!(refused, Err(Refused::Paused(PausedReason::Owner))));
        }
        assert!(door.admit(Source::Local).is_ok());
    }

    #[test]
    fn a_closed_door_is_drained_when_the_last_request_has_ended() {
        let (door, _) = door(3, 3, 100);
        let permits = [door.admit(Source::Local), door.admit(Source::Probe)];
        assert!(door.drained().now_or_never().is_none(), "it is open");
        door.close();
        assert!(matches!(door.admit(Source::Local), Err(Refused::Stopping)));
        let [local, probe] = permits;
        drop(local);
        assert!(door.drained().now_or_never().is_none(), "a probe goes on");
        drop(probe);
        assert!(door.drained().now_or_never().is_some());
    }

    #[test]
    fn bodies_share_their_memory_and_give_it_back() {
        let (door, _) = door(3, 3, 100);
        let mut large = door.body_share();
        assert!(large.grow(90));
        assert!(!door.body_share().grow(11));
        assert!(door.body_share().grow(10));
        drop(large);
        assert!(door.body_share().grow(100));
    }
}
