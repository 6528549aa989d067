//! What a spool holds, by segment, and the decisions that follow: admit, rotate, trim.
//!
//! Counting needs no index of records: `seq` has no gaps, so everything follows from the first `seq` of each
//! segment. Damage counts as present: its `seq` numbers are spent.

use super::record::framed_len;
use super::segment::HEADER_BYTES;
use std::collections::VecDeque;

/// No receipt that this agent signs is larger, bytes: its texts and its list of checkpoints are bounded.
pub const LARGEST_RECEIPT: u64 = 12 * 1024;

/// Bounds of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most receipts that wait for an acknowledgement.
    pub max_receipts: u64,
    /// Most bytes on disk.
    pub max_bytes: u64,
    /// How long acknowledged receipts are kept, s.
    pub keep_s: u64,
    /// Most bytes of acknowledged receipts that are kept.
    pub keep_bytes: u64,
    /// Size at which a new segment is begun.
    pub segment_bytes: u64,
}

impl Limits {
    /// Receipts that a spool holds unless its owner says otherwise.
    pub const DEFAULT_RECEIPTS: u64 = 100_000;
    /// Bytes that a spool holds unless its owner says otherwise.
    pub const DEFAULT_BYTES: u64 = 256 * 1024 * 1024;

    /// Bounds from the two that an owner sets; the rest follow from them.
    pub fn new(max_receipts: u64, max_bytes: u64) -> Self {
        Self {
            max_receipts: max_receipts.max(1),
            max_bytes: max_bytes.max(64 * 1024),
            keep_s: 30 * 24 * 3600,
            keep_bytes: max_bytes / 4,
            segment_bytes: (max_bytes / 16).clamp(16 * 1024, 4 * 1024 * 1024),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Self::DEFAULT_RECEIPTS, Self::DEFAULT_BYTES)
    }
}

/// One segment in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// `seq` of its first record.
    pub first_seq: u64,
    /// When it was begun, unix s.
    pub created_s: u64,
    /// Its durable bytes, header included.
    pub bytes: u64,
}

/// Why a spool takes nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Too many receipts wait.
    #[error("{waiting} receipts wait for the control plane and the limit is {limit}")]
    Receipts {
        /// How many wait.
        waiting: u64,
        /// Most that may.
        limit: u64,
    },
    /// Too many bytes are in use.
    #[error("receipts that wait for the control plane use {used} bytes and the limit is {limit}")]
    Bytes {
        /// Bytes in use.
        used: u64,
        /// Most that may be.
        limit: u64,
    },
}

/// The index of one spool. The last segment is the one being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolIndex {
    limits: Limits,
    segments: VecDeque<SegmentInfo>,
    next_seq: u64,
    acked_seq: u64,
    settled_seq: u64,
}

impl SpoolIndex {
    /// An index of what was found. `segments` are in order; `acked_seq` is fitted into what is there.
    pub fn new(
        limits: Limits,
        segments: impl IntoIterator<Item = SegmentInfo>,
        next_seq: u64,
        acked_seq: u64,
    ) -> Self {
        let mut index = Self {
            limits,
            segments: segments.into_iter().collect(),
            next_seq,
            acked_seq: 0,
            settled_seq: 0,
        };
        index.set_acked(acked_seq);
        index
    }

    /// Bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// `seq` that the next receipt gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Last durable `seq`; 0 where there is none.
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Everything up to here is acknowledged.
    pub fn acked_seq(&self) -> u64 {
        self.acked_seq
    }

    /// The most that was ever acknowledged. A control plane that says later that it has less is sent the receipts
    /// again from the archive, which takes no room from new ones.
    pub fn settled_seq(&self) -> u64 {
        self.settled_seq
    }

    /// Receipts that nobody ever acknowledged: what the limit of receipts is about.
    fn unsettled(&self) -> u64 {
        self.last_seq() - self.settled_seq
    }

    /// Oldest `seq` that is still kept; `next_seq` where nothing is.
    pub fn oldest_seq(&self) -> u64 {
        self.segments
            .front()
            .map_or(self.next_seq, |segment| segment.first_seq)
    }

    /// Receipts that wait for an acknowledgement.
    pub fn depth(&self) -> u64 {
        self.last_seq() - self.acked_seq
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &SegmentInfo> {
        self.segments.iter()
    }

    /// The segment being written.
    pub fn active(&self) -> Option<&SegmentInfo> {
        self.segments.back()
    }

    /// The segment that holds `seq`, and the `seq` after its last record.
    pub fn locate(&self, seq: u64) -> Option<(SegmentInfo, u64)> {
        if seq >= self.next_seq {
            return None;
        }
        let after = self
            .segments
            .partition_point(|segment| segment.first_seq <= seq);
        let segment = *self.segments.get(after.checked_sub(1)?)?;
        let end = self
            .segments
            .get(after)
            .map_or(self.next_seq, |next| next.first_seq);
        Some((segment, end))
    }

    /// How many more receipts of whatever size there is room for, at least one.
    ///
    /// # Errors
    /// [`Full`] where there is room for none.
    pub fn room(&self) -> Result<u64, Full> {
        let by_count = self.limits.max_receipts.saturating_sub(self.unsettled());
        if by_count == 0 {
            return Err(Full::Receipts {
                waiting: self.unsettled(),
                limit: self.limits.max_receipts,
            });
        }
        let used = self.unsettled_bytes();
        let free = self
            .limits
            .max_bytes
            .saturating_sub(used + HEADER_BYTES as u64);
        let by_bytes = free / (LARGEST_RECEIPT + framed_len(0) as u64);
        if by_bytes == 0 {
            return Err(Full::Bytes {
                used,
                limit: self.limits.max_bytes,
            });
        }
        Ok(by_count.min(by_bytes))
    }

    /// Whether a batch of `receipts` with `receipt_bytes` in total fits.
    ///
    /// # Errors
    /// [`Full`] when it does not.
    pub fn admit(&self, receipts: u64, receipt_bytes: u64) -> Result<(), Full> {
        if self.unsettled() + receipts > self.limits.max_receipts {
            return Err(Full::Receipts {
                waiting: self.unsettled(),
                limit: self.limits.max_receipts,
            });
        }
        let used = self.unsettled_bytes();
        let framed = receipt_bytes + receipts * framed_len(0) as u64 + HEADER_BYTES as u64;
        if used + framed > self.limits.max_bytes {
            return Err(Full::Bytes {
                used,
                limit: self.limits.max_bytes,
            });
        }
        Ok(())
    }

    /// Whether the segment being written is large enough to begin another.
    pub fn wants_rotation(&self) -> bool {
        self.active()
            .is_none_or(|active| active.bytes >= self.limits.segment_bytes)
    }

    /// A segment was begun and is durable.
    pub fn rotated(&mut self, created_s: u64) {
        self.segments.push_back(SegmentInfo {
            first_seq: self.next_seq,
            created_s,
            bytes: HEADER_BYTES as u64,
        });
    }

    /// Records became durable in the segment being written.
    pub fn appended(&mut self, receipts: u64, framed_bytes: u64) {
        self.next_seq += receipts;
        if let Some(active) = self.segments.back_mut() {
            active.bytes += framed_bytes;
        }
    }

    /// Moves the acknowledged position, also backwards, as far as what is kept allows.
    pub fn set_acked(&mut self, seq: u64) {
        let oldest = self.oldest_seq().max(1) - 1;
        self.acked_seq = seq.clamp(oldest.min(self.last_seq()), self.last_seq());
        self.settled_seq = self.settled_seq.max(self.acked_seq);
    }

    /// How many of the oldest segments may go now: wholly acknowledged, and too old or too many.
    pub fn trimmable(&self, now_s: u64) -> usize {
        let mut acked_bytes: u64 = self
            .segments_up_to(self.acked_seq)
            .map(|(segment, _)| segment.bytes)
            .sum();
        let mut bytes = self.bytes();
        let mut count = 0;
        for (segment, next) in self.segments_up_to(self.acked_seq) {
            let old = now_s.saturating_sub(next.created_s) > self.limits.keep_s;
            if !old && acked_bytes <= self.limits.keep_bytes && bytes <= self.limits.max_bytes {
                break;
            }
            acked_bytes -= segment.bytes;
            bytes -= segment.bytes;
            count += 1;
        }
        count
    }

    /// The oldest segment is gone from the disk.
    pub fn trimmed_oldest(&mut self) {
        if self.segments.len() > 1 {
            self.segments.pop_front();
        }
    }

    /// Segments wholly up to `seq`, oldest first, each with its successor. The active one is never among them.
    fn segments_up_to(&self, seq: u64) -> impl Iterator<Item = (&SegmentInfo, &SegmentInfo)> {
        self.segments
            .iter()
            .zip(self.segments.iter().skip(1))
            .take_while(move |(_, next)| next.first_seq <= seq + 1)
    }

    fn unsettled_bytes(&self) -> u64 {
        if self.unsettled() == 0 {
            // What is left in the active segment is acknowledged too; it will be trimmed after rotation.
            return 0;
        }
        let settled: u64 = self
            .segments_up_to(self.settled_seq)
            .map(|(segment, _)| segment.bytes)
            .sum();
        self.bytes() - settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            max_receipts: 20,
            max_bytes: 10_000,
            keep_s: 100,
            keep_bytes: 2_000,
            segment_bytes: 1_000,
        }
    }

    fn filled(segments: u64, per_segment: u64) -> SpoolIndex {
        let mut index = SpoolIndex::new(limits(), [], 1, 0);
        for at in 0..segments {
            index.rotated(at * 10);
            index.appended(per_segment, 920);
        }
        index
    }

    #[test]
    fn a_control_plane_that_has_less_than_before_takes_no_room() {
        let mut index = SpoolIndex::new(Limits::new(20, 256 * 1024), [], 1, 0);
        index.rotated(0);
        index.appended(20, 9_000);
        index.set_acked(20);
        assert_eq!(index.room(), Ok(20));
        index.set_acked(0);
        assert_eq!((index.acked_seq(), index.settled_seq()), (0, 20));
        assert_eq!((index.depth(), index.room()), (20, Ok(20)));
        assert_eq!(index.admit(1, 100), Ok(()));
        // What it does not have again is not trimmed before it is sent.
        assert_eq!(index.trimmable(1_000_000), 0);
        index.appended(20, 9_000);
        let full = Full::Receipts {
            waiting: 20,
            limit: 20,
        };
        assert_eq!(index.room(), Err(full));
    }

    #[test]
    fn seqs_are_found_in_their_segment() {
        let index = filled(3, 4);
        assert_eq!(
            index.locate(1).map(|(s, end)| (s.first_seq, end)),
            Some((1, 5))
        );
        assert_eq!(
            index.locate(8).map(|(s, end)| (s.first_seq, end)),
            Some((5, 9))
        );
        assert_eq!(
            index.locate(12).map(|(s, end)| (s.first_seq, end)),
            Some((9, 13))
        );
        assert_eq!(index.locate(13), None);
        assert_eq!(index.locate(0), None);
    }

    #[test]
    fn room_is_told_for_receipts_of_the_largest_size() {
        let limits = Limits::new(20, 256 * 1024);
        let mut index = SpoolIndex::new(limits, [], 1, 0);
        assert_eq!(index.room(), Ok(20));
        index.rotated(0);
        index.appended(18, 18_000);
        assert_eq!(index.room(), Ok(2));
        assert_eq!(index.admit(2, 2 * LARGEST_RECEIPT), Ok(()));
        // What is promised always fits.
        let few = SpoolIndex::new(Limits::new(100, 64 * 1024), [], 1, 0);
        let room = few.room().unwrap();
        assert!(room < 100);
        assert_eq!(few.admit(room, room * LARGEST_RECEIPT), Ok(()));
        index.appended(2, 2_000);
        let full = Full::Receipts {
            waiting: 20,
            limit: 20,
        };
        assert_eq!(index.room(), Err(full));
        index.set_acked(20);
        assert_eq!(index.room(), Ok(20));
    }

    #[test]
    fn bytes_count_until_they_are_acknowledged() {
        let mut index = filled(10, 1);
        assert!(matches!(index.room(), Err(Full::Bytes { .. })));
        index.set_acked(10);
        // Ten thousand bytes hold no receipt of the largest size, so the bounds of these tests let none in.
        assert_eq!(index.admit(1, 1_000), Ok(()));
    }

    #[test]
    fn acknowledged_segments_go_when_too_many_or_too_old_and_never_the_active_one() {
        let mut index = filled(5, 2);
        assert_eq!(index.trimmable(0), 0, "nothing is acknowledged");
        index.set_acked(10);
        assert_eq!(index.trimmable(0), 2, "two thousand bytes may stay");
        assert_eq!(index.trimmable(10_000), 4, "all are old but the active one");
        for _ in 0..9 {
            index.trimmed_oldest();
        }
        assert_eq!(index.oldest_seq(), 9);
        assert_eq!(index.depth(), 0);
    }

    #[test]
    fn the_acknowledged_position_stays_within_what_is_kept() {
        let mut index = filled(3, 4);
        index.set_acked(99);
        assert_eq!(index.acked_seq(), 12);
        index.trimmed_oldest();
        index.set_acked(0);
        assert_eq!((index.acked_seq(), index.depth()), (4, 8));
    }
}
