//! Which receipts to send next in one session.
//!
//! Invariant: sent in rising `seq`, at most the agreed number beyond what is acknowledged. Each session starts
//! from what the control plane says that it has; it alone decides what counts twice.

use dgon_protocol::frame::LinkLimits;
use dgon_protocol::limits::{RECEIPTS_IN_FLIGHT, RECEIPTS_PER_BATCH};

/// Room in a frame for everything that is not a receipt.
const FRAME_OVERHEAD: usize = 4096;
/// Largest frame of receipts that we make: a frame that has begun is finished before one that is more urgent.
const BULK_FRAME_BYTES: usize = 256 * 1024;

/// Receipts to read from the spool and send in one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First `seq`.
    pub from: u64,
    /// At most this many.
    pub max_count: usize,
    /// At most this many bytes of receipts.
    pub max_bytes: usize,
}

/// The window of one session.
#[derive(Debug, Clone)]
pub struct Window {
    acked_seq: u64,
    sent_seq: u64,
    in_flight: u64,
    batch: usize,
    frame_bytes: usize,
    needed: Option<u64>,
}

impl Window {
    /// A session in which the control plane has everything up to `acked_seq` and the spool still has everything
    /// from `oldest_seq` on. Limits of the peer count only where they are tighter than ours.
    pub fn new(acked_seq: u64, oldest_seq: u64, limits: &LinkLimits) -> Self {
        let cap =
            |theirs: u32, ours: usize| usize::try_from(theirs).map_or(ours, |t| t.clamp(1, ours));
        Self {
            acked_seq,
            sent_seq: acked_seq.max(oldest_seq.saturating_sub(1)),
            in_flight: cap(limits.receipts_in_flight, RECEIPTS_IN_FLIGHT) as u64,
            batch: cap(limits.receipts_per_batch, RECEIPTS_PER_BATCH),
            frame_bytes: cap(limits.frame_bytes, BULK_FRAME_BYTES),
            needed: None,
        }
    }

    /// What to send now, where the spool ends at `last_seq`; `None` while there is nothing or no room.
    pub fn next_span(&self, last_seq: u64) -> Option<Span> {
        let room = self
            .in_flight
            .saturating_sub(self.sent_seq.saturating_sub(self.acked_seq));
        let waiting = last_seq.saturating_sub(self.sent_seq);
        let count = room.min(waiting);
        (count > 0).then(|| Span {
            from: self.sent_seq + 1,
            max_count: usize::try_from(count).map_or(self.batch, |c| c.min(self.batch)),
            max_bytes: self.frame_bytes.saturating_sub(FRAME_OVERHEAD),
        })
    }

    /// Everything up to `seq` was sent, or cannot be: damaged receipts are left out.
    pub fn sent(&mut self, seq: u64) {
        self.sent_seq = self.sent_seq.max(seq);
    }

    /// The control plane has everything up to `seq`.
    pub fn acked(&mut self, seq: u64) {
        self.acked_seq = self.acked_seq.max(seq);
        self.sent_seq = self.sent_seq.max(self.acked_seq);
    }

    /// The control plane misses receipts from `from` on: they are sent again, if the spool has them. Asking twice
    /// in a row for the same changes nothing: what did not come the first time is not there.
    pub fn need(&mut self, from: u64, oldest_seq: u64) {
        let is_kept = from >= oldest_seq.max(1) && from <= self.sent_seq;
        if is_kept && self.needed != Some(from) {
            self.needed = Some(from);
            self.acked_seq = self.acked_seq.min(from - 1);
            self.sent_seq = from - 1;
        }
    }

    /// Everything up to here was sent, or need not be.
    pub fn sent_seq(&self) -> u64 {
        self.sent_seq
    }

    /// Everything up to here is acknowledged in this session.
    pub fn acked_seq(&self) -> u64 {
        self.acked_seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(acked_seq: u64) -> Window {
        Window::new(acked_seq, 1, &LinkLimits::default())
    }

    /// Sends until the window is full; the spans' ends.
    fn fill(window: &mut Window, last_seq: u64) -> Vec<u64> {
        let mut ends = Vec::new();
        while let Some(span) = window.next_span(last_seq) {
            let end = span.from + span.max_count as u64 - 1;
            window.sent(end);
            ends.push(end);
        }
        ends
    }

    #[test]
    fn frames_fill_the_window_and_acks_open_it() {
        let mut window = window(10);
        assert_eq!(fill(&mut window, 5000), [266, 522, 778, 1034]);
        window.acked(266);
        assert_eq!(fill(&mut window, 5000), [1290]);
        window.acked(1290);
        assert_eq!(fill(&mut window, 1300), [1300]);
    }

    #[test]
    fn nothing_is_sent_that_is_not_there() {
        let mut ahead = window(500);
        assert_eq!(ahead.next_span(300), None);
        assert_eq!(ahead.next_span(500), None);
        assert_eq!(fill(&mut ahead, 501), [501]);
    }

    #[test]
    fn what_was_trimmed_is_skipped() {
        let window = Window::new(3, 100, &LinkLimits::default());
        assert_eq!(window.next_span(200).map(|span| span.from), Some(100));
    }

    #[test]
    fn a_needed_stretch_is_sent_again_once() {
        let mut window = window(0);
        fill(&mut window, 50);
        window.need(20, 1);
        assert_eq!(fill(&mut window, 50), [50]);
        window.need(20, 1);
        assert_eq!(window.next_span(50), None, "asked twice");
        window.need(3, 10);
        assert_eq!(window.next_span(50), None, "no longer kept");
    }

    #[test]
    fn a_peer_cannot_widen_limits_nor_stop_the_flow() {
        let odd = |value| LinkLimits {
            frame_bytes: value,
            receipts_per_batch: value,
            receipts_in_flight: value,
        };
        let wide = Window::new(0, 1, &odd(u32::MAX)).next_span(9999);
        assert_eq!(wide.map(|span| span.max_count), Some(RECEIPTS_PER_BATCH));
        let none = Window::new(0, 1, &odd(0)).next_span(9999);
        assert_eq!(none.map(|span| span.max_count), Some(1));
    }

    proptest::proptest! {
        #[test]
        fn in_flight_never_exceeds_the_limit_and_order_holds(
            steps in proptest::collection::vec((0u8..4, 0u64..3000), 1..200),
        ) {
            let mut window = window(0);
            let mut last_seq = 0;
            for (kind, amount) in steps {
                match kind {
                    0 => last_seq += amount,
                    1 => window.acked(amount.min(window.sent_seq)),
                    2 => window.need(amount, 1),
                    _ => {
                        if let Some(span) = window.next_span(last_seq) {
                            proptest::prop_assert_eq!(span.from, window.sent_seq + 1);
                            window.sent(span.from + span.max_count as u64 - 1);
                        }
                    }
                }
                proptest::prop_assert!(window.sent_seq <= last_seq.max(window.acked_seq));
                proptest::prop_assert!(window.sent_seq - window.acked_seq <= RECEIPTS_IN_FLIGHT as u64);
            }
        }
    }
}
